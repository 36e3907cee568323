#include "usr/shell/commands.hpp"

#include "usr/shell/columns.hpp"

namespace shell {

async::Task<> Commands::run(Command command) {
    if (std::holds_alternative<Help>(command)) return help();
    if (std::holds_alternative<Ps>(command)) return ps();
    if (std::holds_alternative<Mem>(command)) return mem();
    if (std::holds_alternative<Cores>(command)) return cores();
    if (const auto* c = std::get_if<CoreUp>(&command)) return core_up(c->core);
    if (const auto* c = std::get_if<CoreDown>(&command)) return core_down(c->core);
    if (const auto* c = std::get_if<CoreCrash>(&command)) return core_crash(c->core);
    if (std::holds_alternative<Names>(command)) return names();
    if (std::holds_alternative<Ifconfig>(command)) return ifconfig();
    if (const auto* c = std::get_if<Netstat>(&command)) return netstat(c->counters_only);
    if (std::holds_alternative<Log>(command)) return log();
    if (std::holds_alternative<Halt>(command)) return halt();
    if (const auto* c = std::get_if<Ping>(&command)) return ping(*c);
    if (const auto* c = std::get_if<LookUp>(&command)) return look_up(*c);
    if (std::holds_alternative<Routes>(command)) return routes();
    if (const auto* c = std::get_if<RouteChange>(&command)) return route(*c);
    if (const auto* c = std::get_if<LinkAddress>(&command)) return set_address(*c);
    if (const auto* c = std::get_if<Spawn>(&command)) return spawn(*c);
    if (const auto* c = std::get_if<KillById>(&command)) return kill(*c);
    if (const auto* c = std::get_if<KillByName>(&command)) return kill(*c);
    if (const auto* c = std::get_if<RestartById>(&command)) return restart(*c);
    if (const auto* c = std::get_if<RestartByName>(&command)) return restart(*c);
    if (const auto* c = std::get_if<PsOfOne>(&command)) return ps_of(*c);
    const auto* const problem = std::get_if<Problem>(&command);
    return say("{}{}", problem != nullptr ? problem->view() : "", problem != nullptr ? "\n" : "");
}

async::Task<> Commands::print_table() {
    for (size_t i = 0; i < table_->lines(); ++i) {
        std::array<char, 241> line;
        const size_t size = table_->line(i, std::span{line}.first(240)).size();
        line[size] = '\n';
        co_await terminal_.say({line.data(), size + 1});
    }
    co_return {};
}

async::Task<> Commands::help() {
    table_.emplace(std::array{Column{"command", Align::left}, Column{"what it does", Align::left}});
    for (const Usage& usage : usages()) {
        table_->cell("{}", usage.form);
        table_->cell("{}", usage.meaning);
    }
    return print_table();
}

bool Commands::is_up(uint32_t core) {
    const auto state = monitor_->core_at(core);
    return state && state->state == interfaces::monitor::CoreState::up;
}

} // namespace shell
