// What the machine starts besides its first domains, and which devices exist for them: a text file
// of the bundle, one line an entry. Pure; a line that cannot be read is told and left out.
//
//   device LABEL ports FIRST COUNT | irq ISA_NUMBER | lines FIRST COUNT | window
//   domain NAME PLACE PRIORITY QUOTA_KIB LABEL...
//   counted NAME PLACE PRIORITY QUOTA_KIB LABEL...    (only by the setting count=NAME:...)
//   image NAME PRIORITY QUOTA_KIB          (not started by itself)
//
// A LABEL of a domain is a device's, or what every core has its own of (is_local_label).
// `#` begins a comment. The order of domains is the order of starting. The same file tells a
// spawner the quota and priority of what it is asked to start by name.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "lib/base/cmdline.hpp"
#include "lib/base/result.hpp"

namespace os {

enum class DeviceKind : uint8_t { ports, irq, lines, window };

struct DeviceEntry {
    std::string_view label;
    DeviceKind kind{};
    uint32_t first{}, count{};
};

enum class Start : uint8_t { with_machine, when_counted, by_others };

struct DomainEntry {
    static constexpr size_t max_labels = 8;

    std::string_view name;
    Start start{};
    uint8_t place{}; // core, modulo the number of cores
    uint8_t priority{};
    uint64_t quota{}; // bytes, a power of two
    std::array<std::string_view, max_labels> label{};
    size_t label_count{};

    std::span<const std::string_view> labels() const { return std::span{label}.first(label_count); }
};

class Manifest {
  public:
    static constexpr size_t max_devices = 16, max_domains = 32;

    /// Calls bad(line) for each line that is left out. The views point into `text`.
    template <std::invocable<std::string_view> Bad>
    static Manifest parse(std::string_view text, Bad&& bad) {
        Manifest manifest;
        while (!text.empty()) {
            const std::string_view line = take_until(text, '\n');
            if (!manifest.take_line(line)) bad(line);
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

    const DeviceEntry* device(std::string_view label) const {
        for (const DeviceEntry& d : devices())
            if (d.label == label) return &d;
        return nullptr;
    }

  private:
    Result<> take_line(std::string_view line);
    Result<> take_device(std::string_view rest);
    Result<> take_domain(std::string_view rest, Start start);

    std::array<DeviceEntry, max_devices> devices_{};
    size_t device_count_{};
    std::array<DomainEntry, max_domains> domains_{};
    size_t domain_count_{};
};

/// `launch` and `memory`: endpoints of the core's spawner and memory server; `bundle`, `boot.info`.
bool is_local_label(std::string_view label);

/// The next word of a line, empty at its end.
std::string_view take_word(std::string_view& line);

} // namespace os
