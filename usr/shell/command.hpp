// A line becomes a command, or one sentence that says what to type instead.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <variant>

#include "lib/base/format.hpp"
#include "lib/base/strong.hpp"

namespace shell {

struct Nothing {};

struct Help {};

struct Ps {};

struct PsOfOne {
    CoreId core;
    uint32_t id;
};

struct Mem {};

struct Cores {};

struct CoreUp {
    CoreId core;
};

struct CoreDown {
    CoreId core;
};

struct CoreCrash {
    CoreId core;
};

struct Names {};

struct Ifconfig {};

struct Netstat {
    bool counters_only{};
};

struct Log {};

struct Halt {};

struct Ping {
    uint32_t address; // host order
    uint32_t times;
};

struct LookUp {
    std::string_view name;
    uint32_t server; // host order; 0: the one that DHCP named
};

struct Routes {};

/// Without a gateway the route is taken out. Addresses in host order.
struct RouteChange {
    uint32_t destination;
    uint8_t bits;
    std::optional<uint32_t> gateway;
};

struct LinkAddress {
    uint32_t link;
    uint32_t address; // host order
    uint8_t bits;
};

struct Spawn {
    std::string_view name;
    CoreId core;
    std::string_view arguments;
    std::string_view environment; // "A=1 B=2"
};

struct KillById {
    CoreId core;
    uint32_t id;
};

struct KillByName {
    std::string_view name;
};

struct RestartById {
    CoreId core;
    uint32_t id;
};

struct RestartByName {
    std::string_view name;
};

/// What is wrong, as a sentence.
struct Problem {
    std::array<char, 160> text{};
    size_t size{};

    std::string_view view() const { return {text.data(), size}; }
};

using Command = std::variant<
    Nothing,
    Help,
    Ps,
    PsOfOne,
    Mem,
    Cores,
    CoreUp,
    CoreDown,
    CoreCrash,
    Names,
    Ifconfig,
    Netstat,
    Log,
    Halt,
    Ping,
    LookUp,
    Routes,
    RouteChange,
    LinkAddress,
    Spawn,
    KillById,
    KillByName,
    RestartById,
    RestartByName,
    Problem>;

/// Views in the result point into `line`.
Command parse(std::string_view line, unsigned core_count);

/// One line a command: how it is typed, and what it does.
struct Usage {
    std::string_view form, meaning;
};

std::span<const Usage> usages();

} // namespace shell
