// What the machine starts besides its first domains, and which devices exist for them: a text file
// of the bundle, one line an entry. Pure; a line that cannot be read is told and left out.
//
//   device LABEL ports FIRST COUNT | irq ISA_NUMBER | lines FIRST COUNT | window
//   domain NAME PLACE PRIORITY QUOTA_KIB WORD...    (a PLACE is a core, or whose domain it shares)
//   counted NAME PLACE PRIORITY QUOTA_KIB WORD...    (only by the setting count=NAME:...)
//   image NAME PRIORITY QUOTA_KIB WORD...            (not started by itself)
//
// A WORD is the label of a device, or of what every core has its own of (is_local_label), or
//   restart=never | on-fault[/TIMES/SECONDS] | always[/TIMES/SECONDS]
//   bus-master        it programs a device that reaches all memory: docs/domains.md
//   control           it may bind the names that end others, and hand devices: docs/security.md
//   env:NAME=VALUE    of its environment
// `#` begins a comment. The order of domains is the order of starting. The same file tells a
// spawner the quota, priority, policy and environment of what it is asked to start by name.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "lib/base/cmdline.hpp"
#include "lib/base/result.hpp"
#include "lib/base/time.hpp"

namespace os {

enum class DeviceKind : uint8_t { ports, irq, lines, window };

struct DeviceEntry {
    std::string_view label;
    DeviceKind kind{};
    uint32_t first{}, count{};
};

enum class Start : uint8_t { with_machine, when_counted, by_others };

/// Whether the spawner starts a domain again that has ended by itself. An exit code other than 0 is
/// a fault. At most `times` in any `within`, or it stays away.
struct RestartPolicy {
    enum class When : uint8_t { never, on_fault, always };
    static constexpr unsigned most_times = 16;

    When when{};
    uint8_t times{5};
    Duration within{seconds(60)};
};

struct DomainEntry {
    static constexpr size_t max_labels = 8, max_variables = 4;

    std::string_view name;
    Start start{};
    uint8_t place{};         // core, modulo the number of cores
    std::string_view shares; // the program in whose domain it is; empty: it has one of its own
    uint8_t priority{};
    uint64_t quota{}; // bytes, a power of two
    std::array<std::string_view, max_labels> label{};
    size_t label_count{};
    RestartPolicy restart{};
    bool bus_master{};
    bool control{};
    std::array<std::string_view, max_variables> variable{}; // NAME=VALUE
    size_t variable_count{};

    std::span<const std::string_view> variables() const {
        return std::span{variable}.first(variable_count);
    }

    std::span<const std::string_view> labels() const { return std::span{label}.first(label_count); }
};

class Manifest {
  public:
    static constexpr size_t max_devices = 16, max_domains = 32;

    /// Why a line is left out. `word` is where reading stopped, empty at the line's end.
    struct Problem {
        unsigned line;
        std::string_view text, word;
        Fault why;
    };

    /// Calls bad(Problem) for each line that is left out. The views point into `text`.
    template <std::invocable<const Problem&> Bad>
    static Manifest parse(std::string_view text, Bad&& bad) {
        Manifest manifest;
        for (unsigned number = 1; !text.empty(); ++number) {
            const std::string_view line = take_until(text, '\n');
            if (const auto taken = manifest.take_line(line); !taken)
                bad(Problem{number, line, manifest.word_, taken.error()});
        }
        return manifest;
    }

    std::span<const DeviceEntry> devices() const {
        return std::span{devices_}.first(device_count_);
    }

    std::span<const DomainEntry> domains() const {
        return std::span{domains_}.first(domain_count_);
    }

    const DomainEntry* domain(std::string_view name) const {
        for (const DomainEntry& d : domains())
            if (d.name == name) return &d;
        return nullptr;
    }

    /// The program in whose domain that one is, by the settings or else by this file; empty: it has
    /// one of its own. Who starts PROGRAM starts the image PROGRAM-NAME then, which is both.
    std::string_view shared_with(std::string_view name, const Cmdline& settings) const {
        const DomainEntry* const entry = domain(name);
        if (entry == nullptr || settings.core_for(name)) return {};
        const std::string_view wish = settings.shared_with(name);
        return wish.empty() ? entry->shares : wish;
    }

    /// Of that program and that other one as one domain; null: there is none.
    const DomainEntry* image_of_both(std::string_view program, std::string_view name) const;

    /// The image that is started for that domain: PROGRAM-NAME if another has a part in it.
    const DomainEntry& image_of(const DomainEntry& program, const Cmdline& settings) const;

    const DeviceEntry* device(std::string_view label) const {
        for (const DeviceEntry& d : devices())
            if (d.label == label) return &d;
        return nullptr;
    }

  private:
    std::string_view next_word(std::string_view& line);
    Result<> take_line(std::string_view line);
    Result<> take_device(std::string_view rest);
    Result<> take_domain(std::string_view rest, Start start);
    static Result<> take_place(DomainEntry& entry, std::string_view word);
    Result<> take_option(DomainEntry& entry, std::string_view word) const;

    std::string_view word_; // read last
    std::array<DeviceEntry, max_devices> devices_{};
    size_t device_count_{};
    std::array<DomainEntry, max_domains> domains_{};
    size_t domain_count_{};
};

/// `on-fault/3/60`. Errors: malformed.
Result<RestartPolicy> parse_restart(std::string_view text);

/// NAME=VALUE with a name, and no spaces.
bool is_variable(std::string_view text);

/// `launch` and `memory`: endpoints of the core's spawner and memory server; `bundle`, `boot.info`.
bool is_local_label(std::string_view label);

/// The next word of a line, empty at its end.
std::string_view take_word(std::string_view& line);

} // namespace os
