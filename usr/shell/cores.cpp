// Cores that come and go.
#include "lib/os/cores.hpp"
#include "interfaces/coreboot.hpp"
#include "usr/shell/commands.hpp"

namespace shell {

namespace {

using interfaces::monitor::CoreState;

// More than it takes to suspect a core, stop it and gather what it had.
constexpr Duration patience = seconds(60);

} // namespace

/// False: not in time.
async::Task<bool> Commands::becomes(CoreId core, CoreState state) {
    co_return co_await os::core_becomes(core, state, self_.loop().now() + patience) == state;
}

/// The lowest core that is up has the memory of those that are not.
async::Task<> Commands::core_up(CoreId core) {
    if (is_up(core.raw)) {
        co_await say("core {} is up\n", core);
        co_return {};
    }
    uint32_t lowest = 0;
    while (!is_up(lowest))
        ++lowest;
    if (!core_boot_.is_open()) {
        std::array<char, 16> text;
        const std::string_view name = format_to(text, "coreboot.{}", lowest);
        co_await core_boot_.open(
            {.name = name, .contract = interfaces::coreboot::contract, .wait = false}
        );
    }
    interfaces::coreboot::Client boot{core_boot_.channel()};
    const auto started = co_await async::result_of(boot.start(core));
    if (started)
        co_await say("core {} is up\n", core);
    else
        co_await say("core {} cannot be started: {}\n", core, started.error());
    co_return {};
}

/// False: it was said why not.
async::Task<bool> Commands::may_go(CoreId core) {
    const bool up = is_up(core.raw);
    if (up && core != self_.core()) co_return true;
    co_await say("core {} {}\n", core, up ? "has this shell: it stays" : "is not up");
    co_return false;
}

async::Task<> Commands::core_down(CoreId core) {
    if (!co_await may_go(core)) co_return {};
    auto spawner = co_await spawner_of(core.raw);
    (void)co_await async::result_of(spawner.leave());
    if (co_await becomes(core, CoreState::stopped))
        co_await say("core {} is stopped\n", core);
    else
        co_await say("core {} does not stop\n", core);
    co_return {};
}

async::Task<> Commands::core_crash(CoreId core) {
    if (!co_await may_go(core)) co_return {};
    auto spawner = co_await spawner_of(core.raw);
    co_await spawner.crash();
    // Who waits for it finds out.
    const auto answer = co_await async::result_of(spawner.figures());
    if (answer) co_await say("core {} goes on\n", core);
    if (co_await becomes(core, CoreState::failed))
        co_await say("core {} has failed, and is left out\n", core);
    else
        co_await say("core {} is still there\n", core);
    co_return {};
}

} // namespace shell
