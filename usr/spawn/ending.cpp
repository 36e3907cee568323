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
// There is no room for a task, or too many revocations are under way.
constexpr Duration revoke_again = seconds(1);

/// While somebody is started again its entry is nobody else's.
class Renewal {
  public:
    explicit Renewal(Child& child) : child_{child} { child_.renewed = true; }

    Renewal(const Renewal&) = delete;

    ~Renewal() { child_.renewed = false; }

  private:
    Child& child_;
};

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
    child.device_quiet = false; // even if nobody has answered yet that it is awake
    if (child.has_device || !take_back(child)) attend(child);
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
    child.attended =
        self_.loop().spawn("end of a domain", [&] { return bring_about(child); }).has_value();
}

void Spawner::attend_the_rest() {
    for (Child& child : children_)
        if (child.state == State::ending && !child.attended) attend(child);
}

async::Task<> Spawner::bring_about(Child& child) {
    const uint32_t id = child.id;
    if (child.has_device && !co_await silence_device(child)) {
        give_up(child);
        co_return {};
    }
    if (take_back(child)) co_return {};
    // A driver may hold it back, who has to take its device off this memory first. Without a task
    // for that nobody is hurried, but waited for all the same.
    (void)self_.loop().spawn("a revocation that takes long", [&] { return hurry(id); });
    for (bool told = false;;) {
        const auto revoked = co_await async::result_of(os::revoke(child.ram.slot()));
        if (child.id != id || child.state != State::ending) co_return {}; // hurry() gave it up
        if (revoked) break;
        if (!std::exchange(told, true))
            log::warn("{} is revoked later: {}", child.plan.name.view(), revoked.error());
        co_await self_.loop().sleep_for(revoke_again);
        if (child.id != id || child.state != State::ending) co_return {};
    }
    const auto back = memory_client_.release(child.ram.slot());
    if (!back) log::error("memory of {} is not back: {}", child.plan.name.view(), back.error());
    over(child);
    co_return {};
}

/// Asks whoever has the device, again and again: there may be no room to ask, or the keeper does
/// not know yet whom it started. False: nobody is left to wait for.
async::Task<bool> Spawner::silence_device(Child& child) {
    for (bool told = false; !child.device_quiet;) {
        if (DeviceKeeper* const keeper = keepers_.find(child.plan.keeper))
            (void)keeper->silence(child.id);
        const Instant until = self_.loop().now() + device_patience;
        bool in_time = true;
        while (in_time && !child.device_quiet) {
            if (keepers_.find(child.plan.keeper) == nullptr) co_return false;
            in_time = (co_await async::result_of(changed_.wait_until(until))).has_value();
        }
        if (in_time || std::exchange(told, true)) continue;
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

async::Task<> Spawner::hurry(uint32_t id) {
    const auto ending = [&]() -> Child* {
        const auto child = find(id);
        return child && (*child)->state == State::ending ? *child : nullptr;
    };
    for (;;) {
        const Instant until = self_.loop().now() + driver_patience;
        while (ending() != nullptr && co_await async::result_of(changed_.wait_until(until))) {
        }
        const Child* const held_back = ending();
        if (held_back == nullptr) co_return {};
        log::warn("memory of {} is held back", held_back->plan.name.view());
        const bool lost = end_holders() || co_await neighbours_.say_overdue();
        if (Child* const still = ending(); lost && still != nullptr) give_up(*still);
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
    if (neighbours_.owes())
        (void)self_.loop().spawn("memory goes back", [&] { return neighbours_.give_back(); });
    if (!child.lost) {
        child.domain = os::Child{};
        child.ram.reset();
    }
    child.state = child.how;
    child.attended = false;
    changed_.notify();
    if (!child.was_started) return attend_the_rest();
    if (!child.by_hand &&
        wants_restart(child.plan.restart, child.how == State::faulted, child.code))
        begin_by_policy(child);
    begin_waiting(child);
    attend_the_rest();
}

// -- starting again --

async::Task<> Spawner::start_again(uint32_t former) {
    const std::string_view name = (co_await find(former))->plan.name.view();
    const DomainName kept = DomainName::cut(name);
    const auto made = co_await async::result_of(restart(former));
    if (made) {
        log::info("{} is started again", kept.view());
        co_return {};
    }
    log::error("{} cannot be started again: {}", kept.view(), made.error());
    const auto child = find(former);
    if (child) (*child)->awaits_memory = made.error().top() == Err::no_memory;
    co_return {};
}

void Spawner::begin_by_policy(Child& former) {
    const os::RestartPolicy& policy = former.plan.restart;
    if (former.history.grant(policy, self_.loop().now())) return begin_again(former);
    log::error(
        "{} has ended more than {} times in {} s: it is not started again",
        former.plan.name.view(),
        policy.times,
        policy.within.ns / seconds(1).ns
    );
}

void Spawner::begin_again(Child& former) {
    former.awaits_memory =
        !self_.loop().spawn("restart of a domain", [&] { return start_again(former.id); });
    if (former.awaits_memory)
        log::error("{} is not started again: out of memory", former.plan.name.view());
}

/// Memory of `over` has come back.
void Spawner::begin_waiting(const Child& over) {
    for (Child& child : children_)
        if (&child != &over && std::exchange(child.awaits_memory, false)) begin_again(child);
}

async::Task<uint32_t> Spawner::restart(uint32_t id) {
    if ((co_await find(id))->plan.lacks_given) co_await fail(Err::bad_state);
    (void)kill(id);
    co_await is_over(id);
    Child& former = *co_await find(id);
    if (!former.is_over() || former.renewed) co_await fail(Err::bad_state);
    const Renewal guard{former};
    co_return co_await start_instead_of(former);
}

/// Its entry keeps the plan until the next one runs: what fails can be tried again.
async::Task<uint32_t> Spawner::start_instead_of(Child& former) {
    const uint32_t next = co_await make_of_all(Plan{Terms{former.plan}});
    Unstarted guard{*this, next};
    Child& child = *co_await find(next);
    child.history = former.history;
    child.restarts = former.restarts + 1;
    co_await give_again(child, former.plan);
    if (child.plan.bus_master) co_await wake_device(child);
    co_await start(next);
    guard.started();
    child.plan.take_given(former.plan);
    if (!former.lost) former = Child{}; // who looks for the former number finds nothing
    co_return next;
}

/// The keeper may have gone: then nobody can let the device master the bus.
async::Task<> Spawner::wake_device(Child& child) {
    DeviceKeeper* const keeper = keepers_.find(child.plan.keeper);
    if (keeper == nullptr) co_await fail(Err::no_device);
    child.device_quiet = true;
    co_await keeper->wake(child.plan.first, child.id);
    child.has_device = true;
    const Instant until = self_.loop().now() + device_patience;
    while (child.device_quiet)
        co_await changed_.wait_until(until);
    co_return {};
}

Result<> Spawner::give_again(Child& child, const Plan& plan) {
    TRY_VOID(child.domain.add_argument(plan.argument_text()));
    for (const Given& given : plan.all_given())
        TRY_VOID(child.domain.give(given.label.view(), given.what.slot()));
    return {};
}

// -- bus masters --

Result<> Spawner::silent(uint32_t id, const DeviceKeeper& keeper) {
    Child& child = *TRY(find(id));
    if (keepers_.find(child.plan.keeper) != &keeper) return fail(Err::not_found);
    if (child.state == State::ending) child.device_quiet = true;
    changed_.notify();
    return {};
}

Result<> Spawner::ready(uint32_t id, const DeviceKeeper& keeper) {
    Child& child = *TRY(find(id));
    if (keepers_.find(child.plan.keeper) != &keeper) return fail(Err::not_found);
    child.device_quiet = false;
    changed_.notify();
    return {};
}

/// Its children run on; whether their devices are silent can then nobody say.
void Spawner::keeper_gone(const DeviceKeeper& keeper) {
    keepers_.remove(keeper);
    changed_.notify();
}

} // namespace spawn
