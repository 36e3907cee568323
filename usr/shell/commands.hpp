// What each command does: it asks services and prints what they say. Every command is a task, so
// Ctrl-C ends it wherever it waits.
#pragma once

#include <array>

#include "interfaces/monitor.hpp"
#include "interfaces/netctl.hpp"
#include "interfaces/routed.hpp"
#include "lib/os/local.hpp"
#include "lib/os/spawners.hpp"
#include "usr/shell/command.hpp"
#include "usr/shell/table.hpp"
#include "usr/shell/terminal.hpp"

namespace shell {

class Commands {
  public:
    Commands(os::Domain& self, Terminal& terminal)
        : self_{self}, terminal_{terminal}, monitor_{abi::slot_at(0, abi::slot::monitor)},
          netctl_{self}, routed_{self}, spawners_{self}, core_boot_{self} {}

    /// Errors that end a command are the caller's to show.
    async::Task<> run(Command command);

  private:
    template <class... Args>
    async::Task<> say(Format<Args...> text, const Args&... args) {
        // Formatted before the task starts: arguments need not live as long as it.
        return terminal_.say(format_to(line_, text, args...));
    }

    async::Task<> help();
    async::Task<> ps();
    async::Task<> cores();
    async::Task<> core_up(CoreId core);
    async::Task<> core_down(CoreId core);
    async::Task<> core_crash(CoreId core);
    async::Task<bool> may_go(CoreId core);
    async::Task<bool> becomes(CoreId core, interfaces::monitor::CoreState state);
    async::Task<> names();
    async::Task<> ifconfig();
    async::Task<> netstat(bool counters_only);
    async::Task<> connections(interfaces::netctl::Client& net);
    async::Task<> neighbours(interfaces::netctl::Client& net);
    async::Task<> counters(interfaces::netctl::Client& net);
    async::Task<> ping(Ping target);
    async::Task<> look_up(LookUp what);
    async::Task<> routes();
    async::Task<> route(RouteChange change);
    async::Task<> set_address(LinkAddress a);
    async::Task<> log();
    async::Task<> halt();
    async::Task<> spawn(Spawn what);
    async::Task<> kill(KillById target);
    async::Task<> kill(KillByName target);
    async::Task<> restart(RestartById target);
    async::Task<> restart(RestartByName target);
    async::Task<> ps_of(PsOfOne target);
    async::Task<> mem();
    async::Task<std::optional<KillById>> only_one(std::string_view verb, Text<16> name);
    async::Task<> say_why_not(std::string_view what, uint32_t core, uint32_t id, Fault why);

    async::Task<> print_table();
    async::Task<> add_domains(uint32_t core, interfaces::spawn::Client& spawner);
    async::Task<interfaces::netctl::Client> net();
    async::Task<interfaces::routed::Client> routed();
    bool is_up(uint32_t core);

    async::Task<interfaces::spawn::Client> spawner_of(uint32_t core) {
        return spawners_.of({{static_cast<uint8_t>(core)}});
    }

    /// Where all cores are asked.
    void done_with(uint32_t core) { spawners_.done_with({{static_cast<uint8_t>(core)}}); }

    os::Domain& self_;
    Terminal& terminal_;
    os::LocalClient<interfaces::monitor::Client> monitor_;
    os::Binding netctl_;
    os::Binding routed_;
    os::Spawners spawners_;
    os::Binding core_boot_;
    std::optional<TextTable> table_;
    std::array<char, 240> line_{};
};

} // namespace shell
