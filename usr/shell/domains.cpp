// Domains and memory: ps, spawn, kill, restart, mem.
#include "usr/shell/columns.hpp"
#include "usr/shell/commands.hpp"

namespace shell {
namespace {

constexpr std::array<std::string_view, 6> domain_states{
    "prepared", "running", "exited", "faulted", "killed", "ending"
};

bool is_end(Fault fault) {
    return fault.top() == Err::not_found;
}

} // namespace

async::Task<> Commands::ps() {
    table_.emplace(std::array{
        Column{"id", Align::left},
        Column{"name", Align::left},
        Column{"state", Align::left},
        Column{"code", Align::right},
        Column{"KiB", Align::right},
        Column{"restarts", Align::right},
        Column{"busy ms", Align::right},
        Column{"dispatches", Align::right},
        Column{"notes", Align::left},
    });
    for (uint32_t core = 0; monitor_->core_at(core); ++core) {
        if (!is_up(core)) continue;
        auto spawner = co_await async::result_of(spawner_of(core));
        if (spawner)
            co_await add_domains(core, *spawner);
        else
            co_await say("core {} does not answer: {}\n", core, spawner.error());
        done_with(core);
    }
    co_await print_table();
    co_return {};
}

async::Task<> Commands::add_domains(uint32_t core, interfaces::spawn::Client& spawner) {
    for (uint32_t index = 0;; ++index) {
        const auto found = co_await async::result_of(spawner.describe(index));
        if (!found && is_end(found.error())) co_return {};
        const auto domain = co_await found;
        table_->cell("{}.{}", core, domain.id);
        table_->cell("{}", domain.name.view());
        table_->cell("{}", word_of(domain_states, domain.state));
        table_->cell("{}", domain.code);
        table_->cell("{}", domain.quota / 1024);
        table_->cell("{}", domain.restarts);
        table_->cell("{}", Milliseconds{domain.busy_ns});
        table_->cell("{}", domain.dispatches);
        table_->cell("{}", std::string_view{domain.bus_master ? "masters the bus" : ""});
    }
}

async::Task<> Commands::spawn(Spawn what) {
    const uint32_t core = what.core.raw;
    if (!is_up(core)) {
        co_await say("core {} is not up: type cores to see which are\n", core);
        co_return {};
    }
    const auto name = co_await Text<16>::from(what.name);
    const auto arguments = co_await Text<128>::from(what.arguments);
    auto spawner = co_await spawner_of(core);
    const auto environment = co_await Text<128>::from(what.environment);
    const auto made = co_await async::result_of(spawner.spawn(name, arguments, environment, 0));
    if (made)
        co_await say("{}.{} {} runs\n", core, made->id, name.view());
    else if (is_end(made.error()))
        co_await say("there is no image \"{}\" in the bundle\n", name.view());
    else
        co_await say("{} cannot be spawned: {}\n", name.view(), made.error());
    co_return {};
}

async::Task<> Commands::say_why_not(std::string_view what, uint32_t core, uint32_t id, Fault why) {
    if (is_end(why)) return say("there is no domain {}.{}: type ps\n", core, id);
    return say("{}.{} cannot be {}: {}\n", core, id, what, why);
}

async::Task<> Commands::kill(KillById target) {
    const uint32_t core = target.core.raw;
    if (!is_up(core)) {
        co_await say("core {} is not up: type cores to see which are\n", core);
        co_return {};
    }
    auto spawner = co_await spawner_of(core);
    const auto done = co_await async::result_of(spawner.kill(target.id));
    if (done)
        co_await say("{}.{} is killed\n", core, target.id);
    else if (done.error().top() == Err::bad_state)
        co_await say("{}.{} has ended already\n", core, target.id);
    else
        co_await say_why_not("killed", core, target.id, done.error());
    co_return {};
}

async::Task<> Commands::kill(KillByName target) {
    const auto name = co_await Text<16>::from(target.name);
    if (const auto found = co_await only_one("kill", name)) co_await kill(*found);
    co_return {};
}

async::Task<> Commands::restart(RestartById target) {
    const uint32_t core = target.core.raw;
    if (!is_up(core)) {
        co_await say("core {} is not up: type cores to see which are\n", core);
        co_return {};
    }
    auto spawner = co_await spawner_of(core);
    const auto next = co_await async::result_of(spawner.restart(target.id));
    if (next)
        co_await say("{}.{} runs again as {}.{}\n", core, target.id, core, next->id);
    else if (next.error().top() == Err::bad_state)
        co_await say(
            "{}.{} was given capabilities that were not kept: its policy in the manifest is "
            "never\n",
            core,
            target.id
        );
    else
        co_await say_why_not("started again", core, target.id, next.error());
    co_return {};
}

async::Task<> Commands::restart(RestartByName target) {
    const auto name = co_await Text<16>::from(target.name);
    if (const auto found = co_await only_one("restart", name))
        co_await restart(RestartById{found->core, found->id});
    co_return {};
}

/// The one domain of that name that runs, or for restart the last that ended; else says what to
/// type instead.
async::Task<std::optional<KillById>> Commands::only_one(std::string_view verb, Text<16> wanted) {
    constexpr uint32_t running = 1, ending = 5;
    std::optional<KillById> found, ended;
    for (uint32_t core = 0; monitor_->core_at(core); ++core) {
        if (!is_up(core)) continue;
        auto spawner = co_await spawner_of(core);
        for (uint32_t index = 0;; ++index) {
            const auto domain = co_await async::result_of(spawner.describe(index));
            if (!domain) break;
            if (domain->name != wanted) continue;
            const KillById here{{{static_cast<uint8_t>(core)}}, domain->id};
            if (domain->state != running) {
                if (domain->state != ending) ended = here;
                continue;
            }
            if (found) {
                co_await say(
                    "there are several \"{}\": type {} CORE.ID, see ps\n", wanted.view(), verb
                );
                co_return std::nullopt;
            }
            found = here;
        }
        done_with(core);
    }
    if (!found && verb == "restart") found = ended;
    if (!found) co_await say("no domain \"{}\" is running: type ps\n", wanted.view());
    co_return found;
}

async::Task<> Commands::ps_of(PsOfOne target) {
    const uint32_t core = target.core.raw;
    auto spawner = co_await spawner_of(core);
    const auto about = co_await async::result_of(spawner.started_with(target.id));
    if (!about) {
        co_await say_why_not("shown", core, target.id, about.error());
        co_return {};
    }
    co_await say("arguments     {}\n", about->arguments.view());
    co_await say("environment   {}\n", about->environment.view());
    co_await say("capabilities  {}\n", about->labels.view());
    co_return {};
}

async::Task<> Commands::mem() {
    table_.emplace(std::array{
        Column{"core", Align::right},
        Column{"own KiB", Align::right},
        Column{"free KiB", Align::right},
        Column{"largest KiB", Align::right},
        Column{"foreign KiB", Align::right},
        Column{"damaged words", Align::right},
        Column{"capabilities", Align::right},
        Column{"wakeable", Align::right},
        Column{"lines", Align::right},
    });
    for (uint32_t core = 0; monitor_->core_at(core); ++core) {
        if (!is_up(core)) continue;
        auto spawner = co_await spawner_of(core);
        const auto memory = co_await spawner.memory();
        const auto figures = co_await spawner.figures();
        table_->cell("{}", core);
        table_->cell("{}", (memory.total - memory.foreign) / 1024);
        table_->cell("{}", memory.free / 1024);
        table_->cell("{}", memory.largest / 1024);
        table_->cell("{}", memory.foreign / 1024);
        table_->cell("{}", memory.damaged);
        table_->cell("{}", figures.capabilities);
        table_->cell("{}", figures.wakeable);
        table_->cell("{}", figures.lines);
        done_with(core);
    }
    co_await print_table();
    co_return {};
}

} // namespace shell
