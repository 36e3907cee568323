// One domain as its spawner keeps it: what it was started with, how it stands, what becomes of it.
#pragma once

#include <array>

#include "lib/base/text.hpp"
#include "lib/os/line_joiner.hpp"
#include "lib/os/loader.hpp"
#include "lib/os/manifest.hpp"
#include "usr/spawn/environment.hpp"
#include "usr/spawn/keepers.hpp"
#include "usr/spawn/restarts.hpp"

namespace spawn {

/// As in launch.if.
enum class State : uint32_t { prepared, running, exited, faulted, killed, ending };

using DomainName = Text<abi::name_bytes>;

struct Given {
    DomainName label;
    os::OwnedCap what;
};

/// What a domain is started with but capabilities.
struct Terms {
    DomainName name;
    Bytes image;
    uint64_t quota{};
    uint32_t priority{};
    os::RestartPolicy restart;
    bool bus_master{};
    bool control{};     // may end others
    uint32_t keeper{};  // of a bus master, among Keepers
    uint32_t first{};   // number of a bus master when it was first started: its device's
    uint32_t replica{}; // a worker, from 1, of a domain that spans cores; 0: a domain of its own
    std::array<char, 256> arguments{};
    size_t argument_bytes{};
    Environment environment;

    std::string_view argument_text() const { return {arguments.data(), argument_bytes}; }
};

/// Everything a domain is started with.
struct Plan : Terms {
    static constexpr size_t most_given = 16;

    std::array<Given, most_given> given{}; // kept only if the policy may need them
    size_t given_count{};
    bool lacks_given{}; // it was given something that was not kept

    std::span<const Given> all_given() const { return std::span{given}.first(given_count); }

    /// Those of `former`, which cannot be started again then.
    void take_given(Plan& former) {
        given = std::move(former.given);
        given_count = std::exchange(former.given_count, 0);
        former.lacks_given = true;
    }
};

struct Child {
    uint32_t id{}; // 0: the entry was never used
    State state{};
    State how{}; // what `ending` leads to
    int64_t code{};
    uint64_t quota{};    // what it got of what it wanted
    uint32_t restarts{}; // since somebody asked for it
    bool was_started{};
    bool has_device{};    // of a bus master: it may reach its memory
    bool renewed{};       // a task starts it again by this entry's plan
    bool awaits_memory{}; // its policy starts it again when some is free
    bool by_hand{};       // its end is asked for: no policy starts it again
    bool attended{};      // a task brings its end about
    bool device_quiet{};  // of a bus master
    bool lost{};          // a device may reach its memory for good: neither is used again
    RestartHistory history;
    os::LineJoiner words; // its last ones
    Plan plan;
    os::OwnedCap ram;
    os::Child domain;

    /// Nothing is left of it but this entry, which may be used again.
    bool is_over() const {
        return state == State::exited || state == State::faulted || state == State::killed;
    }

    /// For another domain. What a device may write to for good stays, and who is started again.
    bool may_be_used() const { return is_over() && !lost && !renewed && !awaits_memory; }

    bool is_alive() const { return id != 0 && !is_over() && state != State::ending; }
};

} // namespace spawn
