// What monitors say to each other, lib/interfaces/intermon.if as values: the protocol is written
// against these, and only wire.cpp and link.hpp know how they become channel lines.
#pragma once

#include <array>
#include <string_view>
#include <variant>

#include "lib/abi/capability.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"
#include "monitor/core_set.hpp"
#include "monitor/name.hpp"

namespace monitor {

/// Of intermon.if: monitors of different versions do not talk.
constexpr uint32_t protocol_version = 6;

/// How a dispatcher of another core is rung.
struct Bell {
    uint32_t apic{}, vector{};
    friend constexpr bool operator==(Bell, Bell) = default;
};

/// `failing`, `stopping`: it is stopped, and what it had is being gathered up; then it is `failed`
/// or `stopped`, and may be started again.
enum class CoreState : uint32_t { absent, starting, up, failed, failing, stopping, stopped };

/// First word of whoever joins: to its parent, who answers with Welcome.
struct Hello {
    CoreId from{};
    Bell bell{};
    uint32_t version{}; // of intermon.if
    PhysAddr doorstep{};
};

struct Welcome {
    CoreId from{};
    Bell bell{};
    uint32_t version{};
    uint32_t life{}; // version of the receiver's record
};

/// How a core is. The later version counts.
struct CoreChange {
    CoreId core{}, parent{};
    CoreState state{};
    uint32_t version{};
    uint32_t apic{}, vector{};
    PhysAddr doorstep{};
    bool loud{}; // it failed, and nobody can silence its drivers' devices
};

/// Whose this RAM is. The later version counts.
struct OwnerChange {
    uint64_t base{}, bytes{};
    CoreId owner{};
    uint32_t version{};
};

/// All names that come by way of the sender follow; at the end of them the receiver knows that
/// others that it has by that way are of the past.
struct Names {
    bool end{};
};

/// Who has nothing more of `core`, which is leaving, and will take nothing more from it.
struct Cleared {
    CoreId core{};
    uint32_t version{};
    CoreSet by{};
};

/// What one core has measured (costs.hpp): what lines of the others cost it, by their places. The
/// later version counts.
struct LineCosts {
    using Row = std::array<uint8_t, 32>;

    CoreId core{};
    uint32_t version{};
    uint32_t write{}; // cycles
    Row read{};       // 0: not measured
};

/// To the decider: `core` does not answer, or `leaves` (the sender itself).
struct Suspect {
    CoreId core{};
    bool leaves{};
};

/// Is anybody there?
struct Ping {};

struct Pong {};

/// `present` or not, the name is offered by `home`. Says how things are, so may be said twice.
struct NameChange {
    Name name{};
    CoreId home{};
    bool present{};
};

struct Bind {
    uint32_t binding{}; // the sender's number, comes back in the answer
    uint32_t lend{};    // of the frame; also the sender's
    Name name{};
    PhysAddr base{};
    uint64_t bytes{};
    abi::Rights rights{};
    Bell bell{}; // the client's
};

struct BindAnswer {
    uint32_t binding{};
    Fault status{Err::none};
    Bell bell{};    // the server's
    bool refused{}; // the frame was not even accepted: its lend is over
};

/// One end is gone. `from_client`: the sender has the client's end; `binding` is the client's
/// number in either case, as that is the one both sides know.
struct Unbind {
    uint32_t binding{};
    bool from_client{};
};

/// A device capability or RAM that the sender's core gave up. HandAnswer says whether it arrived;
/// if not it is the sender's again.
struct Hand {
    uint32_t number{};
    abi::Kind kind{};
    uint64_t base{}, bytes{};
    abi::Rights rights{};
    Name label{};
    uint32_t version{}; // of RAM, as the giver owned it
};

struct HandAnswer {
    uint32_t number{};
    Fault status{Err::none};
};

/// An end of a binding, as seen from the other end's core: `binding` is the client's number.
struct EndName {
    CoreId sender{}; // core of the end that sends
    uint32_t binding{};
    bool from_client{};
};

/// A capability for the other end, which will ask for `token`. From the owner of the memory, or
/// of the doorbell. With a status that is an error nothing is lent: the sender's relend failed.
struct Lend {
    uint32_t lend{}; // the owner's number
    EndName end{};
    uint32_t token{};
    abi::Kind kind{};
    uint64_t base{}, bytes{};
    abi::Rights rights{};
    Bell bell{};
    Fault status{Err::none};
};

/// One to each Lend (but failed ones): it was taken by its domain, or never will be.
struct LendAnswer {
    uint32_t lend{};
    Fault status{Err::none};
};

/// From a borrower to the owner, who is to lend it to `to`, for the end there.
struct Relend {
    uint32_t number{}; // the borrower's, comes back in the answer
    CoreId to{};
    uint32_t binding{};
    bool from_client{};
    uint32_t token{};
    uint32_t lend{}; // the owner's number: what was lent under it may have been revoked meanwhile
    abi::Rights rights{};
};

struct RelendAnswer {
    uint32_t number{};
    Fault status{Err::none};
};

/// Nothing of it is left on the borrower's core.
struct Return {
    uint32_t lend{};
};

/// Everything that `owner` lent in this range has to go. To cores that may have some, only: from
/// the owner, or by way of another one of them, who speaks for all behind it as well.
struct Revoke {
    uint32_t operation{}; // the owner's number
    CoreId owner{};
    uint8_t life{};   // low bits of the version of the owner's record
    uint16_t round{}; // the owner has begun anew so often, as somebody on the way was lost
    uint64_t base{}, bytes{};
    CoreSet beyond{}; // to whom the receiver passes it on
};

/// It is gone, here and beyond. Not `complete`: it could not be passed on to all.
struct Revoked {
    uint32_t operation{};
    CoreId owner{};
    uint16_t round{};
    bool complete{true};
};

/// Of drivers on `core`, which was stopped: their devices are to reach memory no more. To the core
/// of the PCI service.
struct Silence {
    CoreId core{};
};

/// Not `done`: nobody can see to it.
struct Silent {
    CoreId core{};
    bool done{};
};

using Message = std::variant<
    Hello,
    Welcome,
    CoreChange,
    OwnerChange,
    Names,
    NameChange,
    Cleared,
    LineCosts,
    Suspect,
    Ping,
    Pong,
    Bind,
    BindAnswer,
    Unbind,
    Hand,
    HandAnswer,
    Lend,
    LendAnswer,
    Relend,
    RelendAnswer,
    Return,
    Revoke,
    Revoked,
    Silence,
    Silent>;

/// Names in the order of Message, for counters.
constexpr std::array<std::string_view, std::variant_size_v<Message>> message_names = {
    "hello",       "welcome", "core_change", "owner_change", "names",
    "name_change", "cleared", "line_costs",  "suspect",      "ping",
    "pong",        "bind",    "bind_answer", "unbind",       "hand",
    "hand_answer", "lend",    "lend_answer", "relend",       "relend_answer",
    "return",      "revoke",  "revoked",     "silence",      "silent",
};

/// What a core leaves on another's doorstep: a frame for the two is lent, the one who reads it
/// opens it and says Welcome there. Not a message of a channel: there is none yet.
struct Knock {
    uint32_t life{}; // version of the sender's record, as it knows it
    PhysAddr base{};
    uint64_t bytes{};
    Bell bell{};
};

} // namespace monitor
