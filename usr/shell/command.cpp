#include "usr/shell/command.hpp"

#include "lib/abi/startup.hpp"
#include "lib/base/cmdline.hpp"

namespace shell {

namespace {

constexpr std::array<Usage, 17> all_usages{{
    {"help", "this list"},
    {"ps [CORE.ID]", "the domains of all cores, or one with what it was started with"},
    {"mem", "the memory of each core"},
    {"cores", "state, idle share and messages of each core"},
    {"cores up|down|crash N", "starts a core, stops it, or makes it fail as a broken one would"},
    {"names", "the services of the machine"},
    {"ifconfig", "the addresses of the network interface"},
    {"ping ADDRESS [TIMES]", "echo requests; Ctrl-C ends it"},
    {"host NAME [SERVER]", "the addresses of a name, asked of a DNS server"},
    {"route [add NETWORK/N via GATEWAY | del NETWORK/N]", "the routing table"},
    {"route address LINK A.B.C.D/N", "gives a further network card its address"},
    {"netstat [counters]", "connections, neighbours and counters of the network stack"},
    {"spawn NAME on CORE [ARGUMENTS] [with A=1 B=2]", "starts a domain"},
    {"kill CORE.ID | NAME", "ends a domain; ps shows CORE.ID"},
    {"restart CORE.ID | NAME", "ends a domain and starts it again with what it was given"},
    {"log", "the last lines of the console"},
    {"halt", "switches the machine off"},
}};

template <class... Args>
Problem problem(Format<Args...> text, const Args&... args) {
    Problem made;
    made.size = format_to(made.text, text, args...).size();
    return made;
}

/// The next word of `rest`; empty at its end.
std::string_view word(std::string_view& rest) {
    while (rest.starts_with(' '))
        rest.remove_prefix(1);
    return take_until(rest, ' ');
}

std::string_view trimmed(std::string_view text) {
    while (text.starts_with(' '))
        text.remove_prefix(1);
    while (text.ends_with(' '))
        text.remove_suffix(1);
    return text;
}

Command parse_ping(std::string_view rest) {
    const std::string_view target = word(rest);
    if (target.empty()) return problem("ping needs an address: ping 10.0.2.2 [TIMES]");
    const auto address = parse_ipv4(target);
    if (!address)
        return problem("\"{}\" is no IPv4 address: type four numbers like 10.0.2.2", target);
    const std::string_view count = word(rest);
    const auto times = parse_number(count.empty() ? "4" : count, 1'000'000);
    if (!times || *times == 0 || !trimmed(rest).empty())
        return problem("ping takes a number of times after the address: ping {} 10", target);
    return Ping{*address, static_cast<uint32_t>(*times)};
}

Command parse_netstat(std::string_view rest) {
    const std::string_view what = word(rest);
    if ((!what.empty() && what != "counters") || !trimmed(rest).empty())
        return problem("type netstat, or netstat counters");
    return Netstat{.counters_only = !what.empty()};
}

Command parse_host(std::string_view rest) {
    const std::string_view name = word(rest);
    const std::string_view server = word(rest);
    const auto address = parse_ipv4(server.empty() ? "0.0.0.0" : server);
    if (name.empty() || !address || !trimmed(rest).empty())
        return problem("type a name, and the address of a server if you like: host example.org");
    if (name.size() > 128) return problem("this name is too long: at most 128 characters");
    return LookUp{name, *address};
}

/// "add N via G", "del N", "address LINK A"; or nothing.
Command parse_route(std::string_view rest) {
    if (trimmed(rest).empty()) return Routes{};
    const std::string_view verb = word(rest);
    const std::string_view first = word(rest);
    if (verb == "address") {
        const auto link = parse_number(first, 255);
        const auto address = parse_ipv4_prefix(word(rest));
        if (!link || !address || !trimmed(rest).empty())
            return problem("type a card's number and its address: route address 1 10.78.0.2/24");
        return LinkAddress{static_cast<uint32_t>(*link), address->address, address->bits};
    }
    const auto network = parse_ipv4_prefix(first == "default" ? "0.0.0.0/0" : first);
    if (verb == "del" && network && trimmed(rest).empty())
        return RouteChange{network->address, network->bits, std::nullopt};
    const bool via = word(rest) == "via";
    const auto gateway = parse_ipv4(word(rest));
    if (verb != "add" || !network || !via || !gateway || !trimmed(rest).empty())
        return problem("type route, route add 10.9.0.0/16 via 10.78.0.1, or route del 10.9.0.0/16");
    return RouteChange{network->address, network->bits, *gateway};
}

bool is_variable(std::string_view text) {
    return index_of(text, '=') != 0 && index_of(text, '=') < text.size();
}

/// Takes `with A=1 B=2` off the end of the arguments, if they end so.
std::string_view take_environment(std::string_view& arguments) {
    std::string_view rest = arguments;
    const auto offset = [&] { return static_cast<size_t>(rest.data() - arguments.data()); };
    while (!rest.empty()) {
        const std::string_view before = first_of(arguments, offset());
        if (word(rest) != "with" || rest.empty()) continue;
        bool all = true;
        for (std::string_view left = rest; all && !trimmed(left).empty();)
            all = is_variable(word(left));
        if (!all) continue;
        arguments = trimmed(before);
        return trimmed(rest);
    }
    return {};
}

Command parse_spawn(std::string_view rest, unsigned core_count) {
    const std::string_view name = word(rest);
    const std::string_view on = word(rest);
    const std::string_view where = word(rest);
    if (name.empty() || on != "on" || where.empty())
        return problem("spawn needs a name and a core: spawn httpd on 1 [ARGUMENTS]");
    if (name.size() > abi::name_bytes)
        return problem("\"{}\" is too long for a name: at most 16 characters", name);
    const auto core = parse_number(where, 255);
    if (!core)
        return problem("\"{}\" is no core: type a number from 0 to {}", where, core_count - 1);
    if (*core >= core_count)
        return problem("there is no core {}: this machine has 0 to {}", *core, core_count - 1);
    std::string_view arguments = trimmed(rest);
    const std::string_view environment = take_environment(arguments);
    if (arguments.size() > 128)
        return problem("these arguments are too long: at most 128 characters");
    if (environment.size() > 128)
        return problem("this environment is too long: at most 128 characters");
    return Spawn{name, CoreId{{static_cast<uint8_t>(*core)}}, arguments, environment};
}

/// "CORE.ID", or a name if the command takes one.
template <class ById, class ByName>
Command parse_target(std::string_view verb, std::string_view rest, unsigned core_count) {
    std::string_view target = word(rest);
    if (target.empty() || !trimmed(rest).empty())
        return problem("{} needs one domain: {} 1.20 (see ps) or {} httpd", verb, verb, verb);
    const std::string_view whole = target;
    const auto core = parse_number(take_until(target, '.'), 255);
    const bool has_point = index_of(whole, '.') != whole.size();
    if (!core || !has_point) {
        if (parse_number(whole))
            return problem(
                "{} needs the core as well: type CORE.ID as ps shows it, or a name", verb
            );
        if (whole.size() > abi::name_bytes) return problem("there is no domain \"{}\"", whole);
        return ByName{whole};
    }
    const auto id = parse_number(target, 0xffff'ffff);
    if (!id) return problem("\"{}\" is no domain: type CORE.ID as ps shows it, or a name", whole);
    if (*core >= core_count)
        return problem("there is no core {}: this machine has 0 to {}", *core, core_count - 1);
    return ById{CoreId{{static_cast<uint8_t>(*core)}}, static_cast<uint32_t>(*id)};
}

template <class C>
Command alone(std::string_view name, std::string_view rest) {
    if (!trimmed(rest).empty())
        return problem("{} takes nothing after it: type only {}", name, name);
    return C{};
}

Command parse_ps(std::string_view rest, unsigned core_count) {
    if (trimmed(rest).empty()) return Ps{};
    const Command one = parse_target<PsOfOne, KillByName>("ps", rest, core_count);
    if (!std::holds_alternative<KillByName>(one)) return one;
    return problem("ps takes a domain as it lists it: type only ps, or ps CORE.ID");
}

/// "up N", "down N", "crash N"; or nothing.
Command parse_cores(std::string_view rest, unsigned core_count) {
    if (trimmed(rest).empty()) return Cores{};
    const std::string_view verb = word(rest);
    const std::string_view where = word(rest);
    const bool known = verb == "up" || verb == "down" || verb == "crash";
    const auto number = parse_number(where, 255);
    if (!known || !number || !trimmed(rest).empty())
        return problem("type cores, or cores up N, cores down N, cores crash N with a core");
    if (*number >= core_count)
        return problem("there is no core {}: this machine has 0 to {}", *number, core_count - 1);
    const CoreId core{{static_cast<uint8_t>(*number)}};
    if (verb == "up") return CoreUp{core};
    if (verb == "down") return CoreDown{core};
    return CoreCrash{core};
}

} // namespace

std::span<const Usage> usages() {
    return all_usages;
}

Command parse(std::string_view line, unsigned core_count) {
    std::string_view rest = trimmed(line);
    const std::string_view name = word(rest);
    if (name.empty()) return Nothing{};
    if (name == "help") return alone<Help>(name, rest);
    if (name == "ps") return parse_ps(rest, core_count);
    if (name == "mem") return alone<Mem>(name, rest);
    if (name == "cores") return parse_cores(rest, core_count);
    if (name == "names") return alone<Names>(name, rest);
    if (name == "ifconfig") return alone<Ifconfig>(name, rest);
    if (name == "netstat") return parse_netstat(rest);
    if (name == "log") return alone<Log>(name, rest);
    if (name == "halt") return alone<Halt>(name, rest);
    if (name == "ping") return parse_ping(rest);
    if (name == "host") return parse_host(rest);
    if (name == "route") return parse_route(rest);
    if (name == "spawn") return parse_spawn(rest, core_count);
    if (name == "kill") return parse_target<KillById, KillByName>(name, rest, core_count);
    if (name == "restart") return parse_target<RestartById, RestartByName>(name, rest, core_count);
    return problem("there is no command \"{}\": type help", name);
}

} // namespace shell
