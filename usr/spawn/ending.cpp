// The end of a domain, in this order: it runs no more; its device, if it masters the bus, reaches
// memory no more; its peers hear of it; its memory is revoked everywhere and free, and with it all
// that was made from that memory. Then its policy may start it again.
#include "lib/async/loop.hpp"
#include "lib/base/log.hpp"
#include "lib/os/revoke.hpp"
#include "usr/spawn/spawner.hpp"

namespace spawn {
namespace {

// For the PCI service, and for a driver to take its device off the memory of a peer that has gone.
constexpr Duration device_patience = seconds(5), driver_patience = seconds(2);

} // namespace

Result<> Spawner::kill(uint32_t id) {
    Child& child = *TRY(find(id));
    if (!child.is_alive()) return fail(Err::bad_state);
    child.by_hand = true;
    end(child, State::killed, 0);
    return {};
}

async::Task<> Spawner::is_over(uint32_t id) {
    for (;;) {
        const auto child = find(id);
        if (!child || (*child)->state != State::ending) co_return {};
        co_await changed_.wait();
    }
}

void Spawner::end(Child& child, State how, int64_t code) {
    if (!child.is_alive()) return;
    (void)child.domain.dispatcher().stop();
    child.state = State::ending;
    child.how = how;
    child.code = code;
    const bool has_device = child.plan.bus_master && child.was_started;
    if (has_device || !take_back(child)) attend(child);
}

/// What needs nobody else's answer. Errors: lent.
Result<> Spawner::take_back(Child& child) {
    (void)monitor_client_.client_gone(child.id);
    const os::Place at = os::place_of(child.ram.slot());
    TRY_VOID(os::CNode{{at.cnode}}.revoke(at.index));
    TRY_VOID(memory_client_.release(child.ram.slot()));
    over(child);
    return {};
}

/// Without memory for a task it waits until another end is over.
void Spawner::attend(Child& child) {
    child.attended = self_.loop().spawn("end of a domain", bring_about(child)).has_value();
}

void Spawner::attend_the_rest() {
    for (Child& child : children_)
        if (child.state == State::ending && !child.attended) attend(child);
}

async::Task<> Spawner::bring_about(Child& child) {
    const uint32_t id = child.id;
    if (child.plan.bus_master && child.was_started && !co_await silence_device(child)) {
        give_up(child);
        co_return {};
    }
    if (take_back(child)) co_return {};
    const auto revoked = co_await async::result_of(revoke_everywhere(child));
    if (child.id != id || child.state != State::ending) co_return {}; // hurry() gave it up
    const auto back = revoked ? memory_client_.release(child.ram.slot()) : revoked;
    if (!back) log::error("memory of {} is not back: {}", child.plan.name.view(), back.error());
    over(child);
    co_return {};
}

/// Asks whoever has the device, and waits as long as it takes, or until there is nobody to wait
/// for: false.
async::Task<bool> Spawner::silence_device(Child& child) {
    if (child.plan.keeper != nullptr) (void)child.plan.keeper->silence(child.id);
    for (bool told = false; !child.device_quiet;) {
        if (child.plan.keeper == nullptr) co_return false;
        const Instant until = self_.loop().now() + device_patience;
        const auto heard = co_await async::result_of(changed_.wait_until(until));
        if (heard || std::exchange(told, true)) continue;
        log::error(
            "the device of {} is not silenced: its memory is not used before that",
            child.plan.name.view()
        );
    }
    co_return true;
}

/// Its device may write there at any time, and only its keeper could have stopped that: the memory
/// stays as it is, with all that peers have lent it, until the machine starts anew.
void Spawner::give_up(Child& child) {
    log::error(
        "nobody can silence the device that reaches memory of {}: {} KiB are not used again",
        child.plan.name.view(),
        child.quota / 1024
    );
    child.lost = true;
    over(child);
}

async::Task<> Spawner::revoke_everywhere(Child& child) {
    // A driver may hold it back, who has to take its device off this memory first.
    co_await self_.loop().spawn("a revocation that takes long", hurry(child.id));
    co_await os::revoke(child.ram.slot());
    co_return {};
}

async::Task<> Spawner::hurry(uint32_t id) {
    for (;;) {
        co_await self_.loop().sleep_for(driver_patience);
        const auto child = find(id);
        if (!child || (*child)->state != State::ending) co_return {};
        log::warn("memory of {} is held back", (*child)->plan.name.view());
        const bool lost = end_holders() || co_await neighbours_.say_overdue();
        const auto still = find(id);
        if (lost && still && (*still)->state == State::ending) give_up(**still);
    }
}

bool Spawner::end_holders() {
    while (const auto holder = monitor_client_.holding()) {
        const auto child = find(holder->id);
        if (!child || !(*child)->is_alive()) return child && (*child)->lost;
        log::error(
            "{} has its device reach memory of a peer that is gone: it is ended",
            (*child)->plan.name.view()
        );
        end(**child, State::faulted, -1);
    }
    return false;
}

void Spawner::over(Child& child) {
    if (neighbours_.owes()) (void)self_.loop().spawn("memory goes back", neighbours_.give_back());
    if (!child.lost) {
        child.domain = os::Child{};
        child.ram.reset();
    }
    child.state = child.how;
    child.attended = false;
    changed_.notify();
    const os::RestartPolicy& policy = child.plan.restart;
    const bool wanted = child.was_started && !child.by_hand &&
                        wants_restart(policy, child.how == State::faulted, child.code);
    if (!wanted) return attend_the_rest();
    if (!child.history.grant(policy, self_.loop().now()))
        log::error(
            "{} has ended more than {} times in {} s: it is not started again",
            child.plan.name.view(),
            policy.times,
            policy.within.ns / seconds(1).ns
        );
    else if (!self_.loop().spawn("restart of a domain", start_again(child.id)))
        log::error("{} is not started again: out of memory", child.plan.name.view());
    attend_the_rest();
}

// -- starting again --

async::Task<> Spawner::start_again(uint32_t former) {
    const std::string_view name = (co_await find(former))->plan.name.view();
    const DomainName kept = DomainName::cut(name);
    const auto made = co_await async::result_of(restart(former));
    if (!made)
        log::error("{} cannot be started again: {}", kept.view(), made.error());
    else
        log::info("{} is started again", kept.view());
    co_return {};
}

async::Task<uint32_t> Spawner::restart(uint32_t id) {
    if ((co_await find(id))->plan.lacks_given) co_await fail(Err::bad_state);
    (void)kill(id);
    co_await is_over(id);
    Child* const former = co_await find(id);
    if (!former->is_over()) co_await fail(Err::bad_state);
    const RestartHistory history = former->history;
    const uint32_t restarts = former->restarts + 1;
    // Its entry serves again: who looks for the former number finds nothing.
    Plan plan = std::move(former->plan);
    if (!former->lost) *former = Child{};
    const uint32_t next = co_await make_of_all(std::move(plan));
    Unstarted guard{*this, next};
    Child& child = *co_await find(next);
    child.history = history;
    child.restarts = restarts;
    co_await give_again(child);
    if (child.plan.bus_master) co_await wake_device(child, id);
    co_await start(next);
    guard.started();
    co_return next;
}

/// The keeper may have gone: then nobody can let the device master the bus.
async::Task<> Spawner::wake_device(Child& child, uint32_t former) {
    if (child.plan.keeper == nullptr) co_await fail(Err::no_device);
    child.device_quiet = true;
    co_await child.plan.keeper->wake(former, child.id);
    const Instant until = self_.loop().now() + device_patience;
    while (child.device_quiet)
        co_await changed_.wait_until(until);
    co_return {};
}

Result<> Spawner::give_again(Child& child) {
    TRY_VOID(child.domain.add_argument(child.plan.argument_text()));
    for (const Given& given : std::span{child.plan.given}.first(child.plan.given_count))
        TRY_VOID(child.domain.give(given.label.view(), given.what.slot()));
    return {};
}

// -- bus masters --

Result<> Spawner::silent(uint32_t id, const DeviceKeeper& keeper) {
    Child& child = *TRY(find(id));
    if (child.plan.keeper != &keeper) return fail(Err::not_found);
    if (child.state == State::ending) child.device_quiet = true;
    changed_.notify();
    return {};
}

Result<> Spawner::ready(uint32_t id, const DeviceKeeper& keeper) {
    Child& child = *TRY(find(id));
    if (child.plan.keeper != &keeper) return fail(Err::not_found);
    child.device_quiet = false;
    changed_.notify();
    return {};
}

/// Its children run on; whether their devices are silent can then nobody say.
void Spawner::keeper_gone(const DeviceKeeper& keeper) {
    for (Child& child : children_)
        if (child.plan.keeper == &keeper) child.plan.keeper = nullptr;
    changed_.notify();
}

} // namespace spawn
