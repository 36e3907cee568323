// The life of a dispatcher: configured, started, stopped, faulted, gone.
#include "kernel/answer.hpp"
#include "kernel/core.hpp"
#include "kernel/hostile.hpp"

namespace kernel {

namespace {

constexpr uint64_t trap_general_protection = 13, trap_page_fault = 14;

bool at_rest(const Dispatcher& d) {
    return d.state == State::unconfigured || d.state == State::stopped || d.state == State::faulted;
}

} // namespace

Result<> Core::check_configuration(const Dispatcher& d, const Configuration& wanted) const {
    if (!at_rest(d)) return fail(Err::bad_state);
    if (wanted.cspace->kind != Kind::cnode) return fail(Err::cap_type);
    if (wanted.vspace->kind != Kind::address_space) return fail(Err::cap_type);
    if (wanted.page->kind != Kind::frame) return fail(Err::cap_type);
    if (!wanted.vspace->rights.has(abi::write)) return fail(Err::cap_rights);
    if (!wanted.page->rights.has(abi::read | abi::write)) return fail(Err::cap_rights);
    // only what was retyped from this core's RAM is in the window
    if (wanted.page->has(flag::borrowed) || wanted.page->depth == 0) return fail(Err::foreign);
    if (wanted.page->bytes != page_bytes) return fail(Err::bad_argument);
    if (!wanted.page_address.aligned(page_bytes)) return fail(Err::misaligned);
    if (!in_user_half(wanted.page_address.raw)) return fail(Err::bad_argument);
    if (wanted.priority >= priorities) return fail(Err::bad_argument);
    for (const Slot* slot : {wanted.cspace, wanted.vspace, wanted.page}) {
        if (database_.revoking(*slot)) return fail(Err::revoking);
    }
    if (wanted.fault_bell == nullptr) return {};
    if (wanted.fault_bell->kind != Kind::doorbell) return fail(Err::cap_type);
    if (!wanted.fault_bell->rights.has(abi::write)) return fail(Err::cap_rights);
    if (database_.revoking(*wanted.fault_bell)) return fail(Err::revoking);
    return {};
}

Result<> Core::configure(Slot& dispatcher_slot, const Configuration& wanted) {
    if (dispatcher_slot.kind != Kind::dispatcher) return fail(Err::cap_type);
    Dispatcher& d = dispatcher(dispatcher_slot);
    TRY_VOID(check_configuration(d, wanted));
    if (database_.revoking(dispatcher_slot)) return fail(Err::revoking);
    const std::array capabilities = {wanted.cspace, wanted.vspace, wanted.page, wanted.fault_bell};
    for (size_t i = 0; i < hold::count; ++i) {
        // replacing what it holds must not destroy anything: that would take steps
        Slot& held = d.held[i];
        const bool same = capabilities[i] != nullptr && same_object(held, *capabilities[i]);
        if (!held.empty() && !same && TRY(blocker(held, held)) != nullptr) {
            return fail(Err::range_in_use);
        }
    }
    for (size_t i = 0; i < hold::count; ++i)
        hold_capability(d, i, capabilities[i]);
    d.cspace = at<CNode>(wanted.cspace->base);
    d.root = phys(wanted.vspace->base);
    d.page = at<abi::DispatcherPage>(wanted.page->base);
    d.page_address = wanted.page_address;
    d.priority = wanted.priority;
    d.state = State::stopped;
    d.page->tsc_khz = config_.tsc_khz;
    d.page->tsc_at_start = config_.tsc_at_start;
    d.page->core = config_.core.raw;
    return {};
}

void Core::hold_capability(Dispatcher& d, size_t which, Slot* capability) {
    Slot& held = d.held[which];
    if (capability != nullptr && same_object(held, *capability)) return;
    if (!held.empty()) database_.erase(held);
    if (capability != nullptr) database_.insert_copy(*capability, held, capability->rights);
}

Result<> Core::start(Dispatcher& d, uint64_t entry, uint64_t stack, uint64_t argument) {
    if (d.state == State::unconfigured) return fail(Err::not_configured);
    if (d.state != State::stopped && d.state != State::faulted) return fail(Err::bad_state);
    if (!in_user_half(entry) || !in_user_half(stack)) return fail(Err::bad_argument);
    if (d.going_home && !send_home(d)) return fail(Err::again);
    d.registers = {};
    d.registers.rip = entry;
    d.registers.rsp = stack;
    d.registers.rdi = argument;
    d.registers.rflags = rflags_fixed;
    d.extended_fresh = true;
    d.preempted = false;
    d.page->disabled = 1;
    make_runnable(d);
    return {};
}

void Core::make_runnable(Dispatcher& d) {
    d.state = State::runnable;
    scheduler_.ready(d);
}

/// It was runnable, and will not be.
void Core::unready(Dispatcher& d) {
    if (&d == current_)
        scheduler_.give_up();
    else
        scheduler_.unready(d);
}

Result<> Core::stop(Dispatcher& d) {
    if (d.state == State::unconfigured) return fail(Err::not_configured);
    sever(d);
    d.state = State::stopped;
    return {};
}

/// Takes it out of everything it waits in, and sends home everybody who waits for it.
void Core::sever(Dispatcher& d) {
    if (d.state == State::runnable) unready(d);
    scheduler_.forget_deadline(d);
    d.open = false;
    if (d.state == State::queued) d.callee->callers.remove(d);
    if (d.state == State::called) d.callee->caller = nullptr;
    d.callee = nullptr;
    d.preempted = false;
    if (d.caller != nullptr) fail_caller(*d.caller, Err::peer_gone);
    d.caller = nullptr;
    if (!send_home(d) && !d.going_home) {
        d.going_home = true; // at rest, so it is on no other list
        going_home_.push_back(d);
    }
}

/// Some of those who wait for it get `peer_gone`; was that all of them?
bool Core::send_home(Dispatcher& d) {
    for (unsigned i = 0; i < callers_a_call && !d.callers.empty(); ++i)
        fail_caller(*d.callers.pop_front(), Err::peer_gone);
    if (!d.callers.empty()) return false;
    if (d.going_home) going_home_.remove(d);
    d.going_home = false;
    return true;
}

/// It lost something it stands on, or is about to go. Who watches over one that ran is told.
void Core::unconfigure(Dispatcher& d) {
    if (d.state == State::unconfigured) return;
    const bool ran = !at_rest(d);
    sever(d);
    d.state = State::unconfigured;
    d.cspace = nullptr;
    d.page = nullptr;
    if (ran) tell_of_end(d);
}

void Core::destroy(Dispatcher& d) {
    unconfigure(d);
    if (payer_ == &d) payer_ = nullptr;
    vectors_.leave(d);
    while (Line* const line = vectors_.line_of(d))
        unbind_line(*line);
}

Result<> Core::set_priority(Dispatcher& d, uint8_t priority, Duration slice) {
    constexpr Duration shortest = microseconds(100), longest = seconds(1);
    if (priority >= priorities) return fail(Err::bad_argument);
    if (slice.ns == 0) slice = default_slice;
    if (slice < shortest || slice > longest) return fail(Err::bad_argument);
    d.slice = slice;
    if (d.priority == priority) return {};
    const bool ready = d.state == State::runnable;
    if (ready) unready(d);
    d.priority = priority;
    if (ready && &d != current_) scheduler_.ready(d);
    return {};
}

After Core::resume(Dispatcher& d, abi::Area area) {
    abi::DispatcherPage& page = *d.page;
    copy_once(page.save[static_cast<size_t>(area)], d.registers);
    Registers& r = d.registers;
    r.rflags = sane_rflags(r.rflags);
    if (!in_user_half(r.rip) || !in_user_half(r.fs_base) || !in_user_half(r.gs_base)) {
        r.fs_base = r.gs_base = 0;
        stop_by_fault(d, trap_general_protection, 0, r.rip);
        return After::turn;
    }
    page.disabled = 0;
    if (read_once(page.wants_run_upcall) != 0) give_run_upcall(d); // for what came meanwhile
    return After::replaced;
}

After Core::on_fault(uint64_t vector, uint64_t code, uint64_t address) {
    Dispatcher& d = *current_;
    abi::DispatcherPage& page = *d.page;
    const uint64_t entry =
        read_once(vector == trap_page_fault ? page.upcall_page_fault : page.upcall_trap);
    if (read_once(page.disabled) != 0 || entry == 0 || !in_user_half(entry)) {
        stop_by_fault(d, vector, code, address);
        return After::turn;
    }
    page.save[static_cast<size_t>(abi::Area::fault)] = d.registers;
    page.fault_vector = vector;
    page.fault_code = code;
    page.fault_address = address;
    enter_upcall(d, entry);
    return After::goes_on;
}

void Core::stop_by_fault(Dispatcher& d, uint64_t vector, uint64_t code, uint64_t address) {
    ++statistics_.faults;
    sever(d);
    d.state = State::faulted;
    d.fault_vector = vector;
    d.fault_code = code;
    d.fault_address = address;
    tell_of_end(d);
}

void Core::tell_of_end(const Dispatcher& d) {
    const Slot& bell = d.held[hold::fault_bell];
    if (!bell.empty()) (void)ring(bell);
}

} // namespace kernel
