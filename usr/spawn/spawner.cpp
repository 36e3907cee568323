// How domains are made. How they end is in ending.cpp, what they say to us in parent.cpp.
#include "usr/spawn/spawner.hpp"

#include <algorithm>
#include <bit>

#include "lib/base/log.hpp"

namespace spawn {
namespace {

constexpr uint64_t most_quota = uint64_t{1} << 40;

} // namespace

Result<> Spawner::begin() {
    const abi::CapSlot slot = TRY(os::slots().take());
    fault_bell_ = os::OwnedCap{slot};
    if (const auto known = neighbours_.begin(); !known)
        log::warn("how the cores lie is not known: {}", known.error());
    return os::self().make_doorbell(os::place_of(slot), fault_event);
}

/// An entry never used, or the one that ended longest ago.
Result<Child*> Spawner::free_entry() {
    if (leaves_) return fail(Err::bad_state);
    Child* best = nullptr;
    for (Child& child : children_) {
        if (child.id == 0) return &child;
        if (child.may_be_used() && (best == nullptr || child.id < best->id)) best = &child;
    }
    if (best == nullptr) return fail(Err::no_space);
    *best = Child{};
    return best;
}

/// On a small machine a domain gets less than it would like, down to an eighth: `quota` then says
/// how much. Errors: no_memory.
Result<abi::CapSlot> Spawner::allocate_quota(uint64_t& quota) {
    const uint64_t least = std::max(quota / 8, os::smallest_quota);
    for (;; quota /= 2) {
        const auto got = memory_client_.allocate(quota);
        if (got) return got->ram;
        if (got.error() != Err::no_memory || quota / 2 < least) return fail(got.error());
    }
}

/// Whoever asked may be on another core, and does not know what the manifest says.
void Spawner::tell_lack(const Plan& plan) {
    const auto memory = memory_client_.state();
    log::warn(
        "{} cannot have its quota of {} KiB: {} KiB are free, {} KiB in one piece",
        plan.name.view(),
        plan.quota / 1024,
        memory ? memory->free / 1024 : 0,
        memory ? memory->largest / 1024 : 0
    );
}

/// Into a plan that says nothing yet.
Result<> Spawner::plan(Plan& plan, std::string_view name, uint64_t quota, uint32_t priority) const {
    const bundle::File file = TRY(files_.find(name));
    if (file.kind != bundle::Kind::domain) return fail(Err::not_found);
    plan.name = TRY(DomainName::from(name));
    plan.image = file.data;
    plan.quota = quota == 0 ? default_quota : quota;
    plan.priority = priority == 0 ? default_priority : priority;
    if (const os::DomainEntry* const known = manifest_.domain(name)) {
        if (quota == 0) plan.quota = known->quota;
        if (priority == 0) plan.priority = known->priority;
        plan.restart = known->restart;
        plan.bus_master = known->bus_master;
        plan.control = known->control;
        for (std::string_view variable : known->variables())
            TRY_VOID(plan.environment.set(variable));
    }
    if (plan.quota > most_quota) return fail(Err::bad_argument);
    plan.quota = std::bit_ceil(std::max(plan.quota, os::smallest_quota));
    return {};
}

Result<uint32_t> Spawner::prepare(std::string_view name, uint64_t quota, uint32_t priority) {
    Plan wanted;
    TRY_VOID(plan(wanted, name, quota, priority));
    return make_of(wanted);
}

async::Task<uint32_t> Spawner::make(std::string_view name, uint64_t quota, uint32_t priority) {
    Plan wanted;
    co_await plan(wanted, name, quota, priority);
    co_return co_await make_of_all(std::move(wanted));
}

async::Task<uint32_t>
Spawner::make_replica(std::string_view name, uint64_t quota, uint32_t priority, uint32_t replica) {
    Plan wanted;
    co_await plan(wanted, name, quota, priority);
    wanted.replica = replica;
    wanted.restart = {};
    wanted.bus_master = false;
    co_return co_await make_of_all(std::move(wanted));
}

/// With less memory than it would like, if need be.
Result<uint32_t> Spawner::make_of(Plan& plan) {
    uint64_t quota = plan.quota;
    const auto ram = allocate_quota(quota);
    if (ram) return enter(plan, quota, *ram);
    if (ram.error().top() == Err::no_memory) tell_lack(plan);
    return fail(ram.error());
}

async::Task<uint32_t> Spawner::make_of_all(Plan plan) {
    const auto all = memory_client_.allocate(plan.quota);
    if (all) co_return enter(plan, plan.quota, all->ram);
    if (all.error().top() == Err::no_memory)
        (void)co_await async::result_of(neighbours_.borrow(plan.quota));
    co_return make_of(plan);
}

/// The plan is the child's then.
Result<uint32_t> Spawner::enter(Plan& plan, uint64_t quota, abi::CapSlot ram) {
    os::OwnedCap memory{ram};
    const auto entry = free_entry();
    if (!entry) {
        TRY_VOID(memory_client_.release(ram));
        return fail(entry.error());
    }
    Child& child = **entry;
    child.id = fresh_id();
    child.plan = std::move(plan);
    child.quota = quota;
    child.ram = std::move(memory);
    child.state = State::prepared;
    if (const auto built = build(child); !built) {
        end(child, State::killed, 0);
        return fail(built.error());
    }
    return child.id;
}

/// A badge has 24 bits, and half of them are the launchers'.
uint32_t Spawner::fresh_id() {
    uint32_t id = 0;
    do {
        id = next_id_;
        next_id_ = id + 1 == launcher_badge ? first_id : id + 1;
    } while (find(id));
    return id;
}

Result<> Spawner::build(Child& child) {
    const DomainName& name = child.plan.name;
    os::OwnedCap monitor{
        TRY(monitor_client_.new_client(child.id, name, child.plan.control)).endpoint
    };
    child.domain = TRY(os::Child::build({
        .name = name.view(),
        .image = child.plan.image,
        .bundle = files_.whole(),
        .bundle_frame = TRY(self_.find_given("bundle")),
        .ram = child.ram.slot(),
        .priority = child.plan.priority,
        .monitor = std::move(monitor),
        .badge = child.id,
        .fault_bell = fault_bell_.slot(),
        .core = self_.core(),
        .core_count = self_.core_count(),
        .unix_time = self_.unix_time(),
        .command_line = self_.command_line(),
        .replica = child.plan.replica,
    }));
    return {};
}

Result<Child*> Spawner::find(uint32_t id) {
    for (Child& child : children_)
        if (child.id == id && id != 0) return &child;
    return fail(Err::not_found);
}

Result<os::OwnedCap> Spawner::local(std::string_view label) {
    if (label != "launch") {
        const bool is_memory = label == "memory";
        const abi::CapSlot kept =
            is_memory ? abi::slot_at(0, abi::slot::memory) : TRY(self_.find_given(label));
        return os::OwnedCap{TRY(os::slots().copy(kept))};
    }
    const abi::CapSlot slot = TRY(os::slots().take());
    os::OwnedCap made{slot};
    TRY_VOID(os::self().make_endpoint(os::place_of(slot), launcher_badge));
    return made;
}

Result<const Child*> Spawner::child_at(uint32_t index) const {
    for (const Child& child : children_)
        if (child.id != 0 && index-- == 0) return &child;
    return fail(Err::not_found);
}

Result<> Spawner::add_argument(uint32_t id, std::string_view text) {
    Child& child = *TRY(find(id));
    Plan& plan = child.plan;
    if (text.size() > plan.arguments.size() - plan.argument_bytes) return fail(Err::no_space);
    TRY_VOID(child.domain.add_argument(text));
    std::ranges::copy(text, plan.arguments.begin() + static_cast<ptrdiff_t>(plan.argument_bytes));
    plan.argument_bytes += text.size();
    return {};
}

/// It learns of them when it starts.
Result<> Spawner::set_variables(uint32_t id, std::string_view words) {
    Child& child = *TRY(find(id));
    if (child.state != State::prepared) return fail(Err::bad_state);
    return child.plan.environment.set_all(words);
}

Result<> Spawner::take_wishes(uint32_t id, const Wishes& wishes) {
    if (wishes.restart) TRY(find(id))->plan.restart = *wishes.restart;
    return set_variables(id, wishes.variables.view());
}

Result<> Spawner::give(uint32_t id, std::string_view name, os::OwnedCap what) {
    Child& child = *TRY(find(id));
    Plan& plan = child.plan;
    os::OwnedCap kept;
    const bool keeps = plan.restart.when != os::RestartPolicy::When::never;
    if (keeps && plan.given_count < Plan::most_given)
        if (const auto copied = os::slots().copy(what.slot())) kept = os::OwnedCap{*copied};
    TRY_VOID(child.domain.give(name, std::move(what)));
    if (kept.is_null())
        plan.lacks_given = true;
    else
        plan.given[plan.given_count++] = {DomainName::cut(name), std::move(kept)};
    return {};
}

Result<> Spawner::start(uint32_t id) {
    Child& child = *TRY(find(id));
    if (child.state != State::prepared) return fail(Err::bad_state);
    std::string_view variables = child.plan.environment.view();
    for (auto word = os::take_word(variables); !word.empty(); word = os::take_word(variables))
        TRY_VOID(child.domain.add_variable(word));
    TRY_VOID(child.domain.start());
    child.state = State::running;
    child.was_started = true;
    child.has_device = child.plan.bus_master;
    if (child.plan.first == 0) child.plan.first = id;
    return {};
}

Result<> Spawner::set_keeper(uint32_t id, DeviceKeeper& keeper) {
    Plan& plan = TRY(find(id))->plan;
    if (plan.bus_master) plan.keeper = TRY(keepers_.number_of(keeper));
    return {};
}

} // namespace spawn
