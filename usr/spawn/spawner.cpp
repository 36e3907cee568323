#include "usr/spawn/spawner.hpp"

#include <algorithm>
#include <bit>

#include "lib/base/log.hpp"
#include "lib/os/symbols.hpp"

namespace spawn {

using interfaces::launch::PrepareResult, interfaces::launch::StateResult;

Result<> Spawner::begin() {
    const abi::CapSlot slot = TRY(os::slots().take());
    fault_bell_ = os::OwnedCap{slot};
    return os::self().make_doorbell(os::place_of(slot), fault_event);
}

/// An entry never used, or the one that ended longest ago.
Result<Child*> Spawner::free_entry() {
    Child* best = nullptr;
    for (Child& child : children_) {
        if (child.id == 0) return &child;
        const bool usable = child.ended && child.parked == 0;
        if (usable && (best == nullptr || child.id < best->id)) best = &child;
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

Result<uint32_t> Spawner::prepare(std::string_view name, uint64_t quota, uint32_t priority) {
    const bundle::File file = TRY(files_.find(name));
    if (file.kind != bundle::Kind::domain) return fail(Err::not_found);
    const os::DomainEntry* const known = manifest_.domain(name);
    if (quota == 0) quota = known != nullptr ? known->quota : default_quota;
    if (priority == 0) priority = known != nullptr ? known->priority : default_priority;
    if (quota > uint64_t{1} << 40) return fail(Err::bad_argument);
    Child& child = *TRY(free_entry());
    child.name = TRY(DomainName::from(name));
    child.quota = std::bit_ceil(std::max(quota, os::smallest_quota));
    child.ram = os::OwnedCap{TRY(allocate_quota(child.quota))};
    child.id = next_id_++;
    if (const auto built = build(child, file.data, priority); !built) {
        end(child, State::killed, 0);
        return fail(built.error());
    }
    return child.id;
}

Result<> Spawner::build(Child& child, Bytes image, uint32_t priority) {
    const os::OwnedCap monitor{TRY(monitor_client_.new_client(child.id, child.name)).endpoint};
    const abi::CapSlot slot = TRY(os::slots().take());
    const os::OwnedCap parent{slot};
    TRY_VOID(os::self().make_endpoint(os::place_of(slot), child.id));
    child.domain = TRY(os::Child::build({
        .name = child.name.view(),
        .image = image,
        .ram = child.ram.slot(),
        .priority = priority,
        .monitor = monitor.slot(),
        .parent = parent.slot(),
        .fault_bell = fault_bell_.slot(),
        .core = self_.core(),
        .core_count = self_.core_count(),
        .unix_time = self_.unix_time(),
        .command_line = self_.command_line(),
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
    return TRY(find(id))->domain.add_argument(text);
}

Result<> Spawner::give(uint32_t id, std::string_view name, abi::CapSlot what) {
    return TRY(find(id))->domain.give(name, what);
}

Result<> Spawner::start(uint32_t id) {
    Child& child = *TRY(find(id));
    TRY_VOID(child.domain.start());
    child.state = State::running;
    return {};
}

Result<> Spawner::kill(uint32_t id) {
    Child& child = *TRY(find(id));
    if (child.ended) return fail(Err::bad_state);
    end(child, State::killed, 0);
    return {};
}

/// Everything of the domain goes, in this order: it runs no more; its peers hear of it; its memory
/// is free, and with it all that was made from that memory.
void Spawner::end(Child& child, State how, int64_t code) {
    if (child.ended) return;
    (void)child.domain.dispatcher().stop();
    (void)monitor_client_.client_gone(child.id);
    release_ram(child);
    child.domain = os::Child{};
    child.ended = true;
    child.state = how;
    child.code = code;
}

void Spawner::release_ram(Child& child) {
    const auto released = memory_client_.release(child.ram.slot());
    if (!released) {
        child.parked = child.quota;
        log::warn(
            "memory {} KiB of {} is parked: {}",
            child.quota / 1024,
            child.name.view(),
            released.error()
        );
    }
    child.ram.reset();
}

rpc::LocalMessage Spawner::serve(uint64_t badge, const rpc::LocalMessage& message) {
    return badge == launcher_badge ? interfaces::launch::serve(*this, badge, message)
                                   : interfaces::parent::serve(*this, badge, message);
}

void Spawner::discard(abi::CapSlot slot) {
    (void)os::slots().remove(slot);
}

// -- launch.if --

Result<PrepareResult> Spawner::prepare(uint64_t, const interfaces::launch::PrepareArguments& a) {
    return PrepareResult{TRY(prepare(a.name.view(), a.quota, a.priority))};
}

Result<> Spawner::argument(uint64_t, const interfaces::launch::ArgumentArguments& a) {
    return add_argument(a.id, a.text.view());
}

Result<> Spawner::give(uint64_t, const interfaces::launch::GiveArguments& a) {
    const os::OwnedCap what{a.what};
    return give(a.id, a.name.view(), what.slot());
}

Result<> Spawner::start(uint64_t, const interfaces::launch::StartArguments& a) {
    return start(a.id);
}

Result<> Spawner::kill(uint64_t, const interfaces::launch::KillArguments& a) {
    return kill(a.id);
}

Result<StateResult> Spawner::state(uint64_t, const interfaces::launch::StateArguments& a) {
    const Child& child = *TRY(find(a.id));
    return StateResult{std::to_underlying(child.state), child.code};
}

// -- parent.if: the badge is the child's number --

Result<> Spawner::exited(uint64_t badge, const interfaces::parent::ExitedArguments& a) {
    Child& child = *TRY(find(static_cast<uint32_t>(badge)));
    const bool fault = child.state == State::faulted;
    if (!fault) log::info("domain {} ended with code {}", child.name.view(), a.code);
    end(child, fault ? State::faulted : State::exited, a.code);
    return {};
}

os::FaultSubject Spawner::subject(const Child& child) const {
    const auto file = files_.find(child.name.view());
    return {child.name.view(), self_.core(), file ? file->data : Bytes{}};
}

Result<> Spawner::faulted(uint64_t badge, const interfaces::parent::FaultedArguments& a) {
    Child& child = *TRY(find(static_cast<uint32_t>(badge)));
    os::report_fault(subject(child), a);
    child.state = State::faulted;
    return {};
}

Result<> Spawner::backtrace(uint64_t badge, const interfaces::parent::BacktraceArguments& a) {
    os::report_backtrace(subject(*TRY(find(static_cast<uint32_t>(badge)))), a);
    return {};
}

Result<> Spawner::last_words(uint64_t badge, const interfaces::parent::LastWordsArguments& a) {
    Child& child = *TRY(find(static_cast<uint32_t>(badge)));
    child.words.add(a.text.view(), [&](std::string_view line) {
        log::error("domain {} says: {}", child.name.view(), line);
    });
    return {};
}

void Spawner::look_for_faults() {
    constexpr uint64_t faulted_state = 6; // docs/abi.md, dispatcher_state
    for (Child& child : children_) {
        if (child.id == 0 || child.ended || child.state != State::running) continue;
        const auto state = child.domain.dispatcher().state();
        if (!state || state->state != faulted_state) continue;
        log::error(
            "domain {} on core {} faulted while disabled: {}, address {:016x}",
            child.name.view(),
            self_.core().raw,
            os::name_of_trap(static_cast<unsigned>(state->vector)),
            state->address
        );
        os::report_address(subject(child), "in", state->rip);
        end(child, State::faulted, -1);
    }
}

} // namespace spawn
