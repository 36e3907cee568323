// What monitors say to each other, lib/interfaces/intermon.if as values: the protocol is written
// against these, and only main.cpp knows how they become channel lines.
#pragma once

#include <variant>

#include "lib/abi/capability.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"
#include "monitor/name.hpp"

namespace monitor {

/// How a dispatcher of another core is rung.
struct Bell {
    uint32_t apic{}, vector{};
    friend constexpr bool operator==(Bell, Bell) = default;
};

enum class CoreState : uint32_t { absent, starting, up, failed };

/// First word of whoever joins: to the hub, who answers with Welcome.
struct Hello {
    CoreId from{};
    Bell bell{};
};

struct Welcome {
    CoreId from{};
    Bell bell{};
};

/// The hub's word on one core.
struct CoreChange {
    CoreId core{};
    uint32_t apic{};
    CoreState state{};
};

/// `present` or not, the name is offered by `home`. Says how things are, so may be said twice.
struct NameChange {
    Name name{};
    CoreId home{};
    bool present{};
};

struct Bind {
    uint32_t binding{}; // the sender's number, comes back in the answer
    Name name{};
    PhysAddr base{};
    uint64_t bytes{};
    abi::Rights rights{};
    Bell bell{}; // the client's
};

struct BindAnswer {
    uint32_t binding{};
    Fault status{Err::none};
    Bell bell{}; // the server's
};

/// One end is gone. `from_client`: the sender has the client's end; `binding` is the client's
/// number in either case, as that is the one both sides know.
struct Unbind {
    uint32_t binding{};
    bool from_client{};
};

/// A device capability that the sender's core gave up.
struct Hand {
    abi::Kind kind{};
    uint64_t base{}, bytes{};
    abi::Rights rights{};
    Name label{};
};

/// By way of the hub: `from` made a channel for the two and waits for Welcome on it.
struct Connect {
    CoreId from{}, to{};
    PhysAddr base{};
    uint64_t bytes{};
    Bell bell{};
};

/// The hub's answer to a Connect: `to` is not up.
struct Refused {
    CoreId to{};
};

using Message = std::variant<
    Hello,
    Welcome,
    CoreChange,
    NameChange,
    Bind,
    BindAnswer,
    Unbind,
    Hand,
    Connect,
    Refused>;

} // namespace monitor
