#include "lib/os/cores.hpp"

#include "lib/os/binder.hpp"

namespace os {

CoreState state_of(CoreId core) {
    LocalClient<interfaces::monitor::Client> monitor{abi::slot_at(0, abi::slot::monitor)};
    const auto known = monitor->core_at(core.raw);
    return known ? known->state : CoreState::absent;
}

async::Task<> core_changes(Instant deadline) {
    async::Signal* const changed = co_await binder().cores();
    co_await changed->wait_until(deadline);
    co_return {};
}

async::Task<CoreState> core_settles(CoreId core, Instant deadline) {
    // Asked for before the first look, so that no change falls between.
    async::Signal* const changed = co_await binder().cores();
    for (;;) {
        const CoreState state = state_of(core);
        const bool settled = state != CoreState::absent && state != CoreState::starting;
        if (settled || now() >= deadline) co_return state;
        (void)co_await async::result_of(changed->wait_until(deadline));
    }
}

} // namespace os
