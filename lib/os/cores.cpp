#include "lib/os/cores.hpp"

#include "lib/os/binder.hpp"

namespace os {

CoreState state_of(CoreId core) {
    LocalClient<interfaces::monitor::Client> monitor{abi::slot_at(0, abi::slot::monitor)};
    const auto known = monitor->core_at(core.raw);
    return known ? known->state : CoreState::absent;
}

namespace {

/// Waits until `is_it` says so, or until the deadline, and answers the state then.
template <class Check>
async::Task<CoreState> wait_for(CoreId core, Instant deadline, Check is_it) {
    // Asked for before the first look, so that no change falls between.
    async::Signal* const changed = co_await binder().cores();
    for (;;) {
        const CoreState state = state_of(core);
        if (is_it(state) || now() >= deadline) co_return state;
        (void)co_await async::result_of(changed->wait_until(deadline));
    }
}

} // namespace

async::Task<CoreState> core_becomes(CoreId core, CoreState wanted, Instant deadline) {
    return wait_for(core, deadline, [wanted](CoreState state) { return state == wanted; });
}

async::Task<CoreState> core_settles(CoreId core, Instant deadline) {
    return wait_for(core, deadline, [](CoreState state) {
        return state != CoreState::absent && state != CoreState::starting;
    });
}

async::Task<CoreState> core_rests(CoreId core, Instant deadline) {
    return wait_for(core, deadline, [](CoreState state) {
        using enum CoreState;
        return state != absent && state != starting && state != failing;
    });
}

} // namespace os
