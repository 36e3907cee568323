// Calls between dispatchers of one core: a few words and at most one capability go from registers
// to registers, and a caller whose callee waits switches to it directly.
#include "kernel/answer.hpp"
#include "kernel/core.hpp"
#include "kernel/hostile.hpp"

namespace kernel {

namespace {

constexpr uint64_t slot_mask = abi::give_capability - 1;

} // namespace

/// The slot that `word` names for sending; it may go on, or be given away.
Result<Slot*> Core::sent_capability(const Dispatcher& from, uint64_t word) const {
    if ((word & ~(slot_mask | abi::give_capability)) != 0) return fail(Err::bad_argument);
    if ((word & abi::give_capability) != 0) return find_changeable(from, word & slot_mask);
    Slot* const source = TRY(find(from, word));
    if (source->kind == Kind::mapping || source->kind == Kind::loan) return fail(Err::cap_type);
    if (!source->rights.has(abi::copy)) return fail(Err::cap_rights);
    if (database_.revoking(*source)) return fail(Err::revoking);
    return source;
}

Result<Slot*> Core::receive_place(const Dispatcher& to) const {
    const Slot& in_root = to.cspace->slot[0];
    if (to.receive_cnode != abi::null_slot.raw) {
        return place(*TRY(find(to, to.receive_cnode)), to.receive_index);
    }
    if (in_root.kind != Kind::cnode) return fail(Err::cap_invalid);
    return place(to.cspace->slot[0], to.receive_index);
}

void Core::commit_pass(uint64_t word, Slot& source, Slot& into) {
    if ((word & abi::give_capability) == 0) {
        database_.insert_copy(source, into, source.rights);
        return;
    }
    database_.relocate(source, into);
    if (into.kind == Kind::mapping) adopt(into);
}

/// Was a capability passed? Fails, changing nothing, if one should be and cannot.
Result<bool> Core::pass_capability(const Dispatcher& from, uint64_t word, const Dispatcher& to) {
    if (word == 0) return false;
    Slot* const source = TRY(sent_capability(from, word));
    Slot* const into = TRY(receive_place(to));
    commit_pass(word, *source, *into);
    return true;
}

void Core::deliver(Dispatcher& caller, Dispatcher& callee, uint64_t badge, bool with_capability) {
    if (callee.caller != nullptr) fail_caller(*callee.caller, Err::peer_gone);
    meet(caller, callee, badge);
    copy_message(caller.registers, callee.registers);
    if (with_capability) callee.registers.rsi |= abi::woke_with_capability;
}

void Core::fail_caller(Dispatcher& caller, Fault why) {
    if (caller.callee != nullptr && caller.callee->caller == &caller) {
        caller.callee->caller = nullptr;
    }
    caller.callee = nullptr;
    answer_status(caller.registers, fail(why));
    make_runnable(caller);
}

/// The callee listens. Without a capability nothing can fail.
void Core::run_callee(Dispatcher& caller, Dispatcher& callee, uint64_t badge, bool passed) {
    scheduler_.forget_deadline(callee);
    deliver(caller, callee, badge, passed);
    callee.state = State::runnable;
    scheduler_.give_up();
    scheduler_.ready_first(callee);
    donated_to_ = &callee;
}

Result<> Core::call(Dispatcher& caller, const Slot& endpoint) {
    Dispatcher& callee = dispatcher(endpoint);
    if (&callee == &caller) return fail(Err::bad_state);
    if (callee.state == State::unconfigured) return fail(Err::not_configured);
    if (callee.state == State::faulted || callee.going_home) return fail(Err::peer_gone);
    const uint64_t capability = caller.registers.rsi;
    if (callee.state == State::waiting && callee.accepts_calls) {
        const bool passed = TRY(pass_capability(caller, capability, callee));
        run_callee(caller, callee, endpoint.tag(), passed);
        return {};
    }
    if (capability != 0) (void)TRY(sent_capability(caller, capability));
    scheduler_.give_up();
    caller.state = State::queued;
    caller.callee = &callee;
    caller.call_badge = endpoint.tag();
    callee.callers.push_back(caller);
    return {};
}

/// The oldest queued call that can be delivered is; those that cannot go home with their error.
/// After many of those the answer is that of a vain wake-up, so that this ends.
bool Core::take_queued(Dispatcher& d) {
    for (unsigned i = 0; i < callers_a_call && !d.callers.empty(); ++i) {
        Dispatcher* const caller = d.callers.pop_front();
        const auto passed = pass_capability(*caller, caller->registers.rsi, d);
        if (passed) {
            deliver(*caller, d, caller->call_badge, *passed);
            return true;
        }
        fail_caller(*caller, passed.error());
    }
    if (d.callers.empty()) return false;
    answer_events(d.registers, 0);
    return true;
}

/// Who was answered; it is not on a ready list yet.
Result<Dispatcher*> Core::answer_caller(Dispatcher& d) {
    Dispatcher* const caller = d.caller;
    if (caller == nullptr) return fail(Err::peer_gone);
    const uint64_t word = d.registers.rsi;
    Slot* const source = word == 0 ? nullptr : TRY(sent_capability(d, word));
    part(d, *caller);
    copy_message(d.registers, caller->registers);
    if (source == nullptr) return caller;
    // a client whose place is taken has an error; its server has done its part
    const auto into = receive_place(*caller);
    if (into) {
        commit_pass(word, *source, **into);
        caller->registers.rsi = 1;
    } else {
        clear_message(caller->registers);
        answer_status(caller->registers, fail(into.error()));
    }
    return caller;
}

Result<> Core::reply(Dispatcher& d) {
    Dispatcher* const caller = TRY(answer_caller(d));
    scheduler_.ready(*caller);
    answer_status(d.registers, {});
    return {};
}

Result<> Core::reply_wait(Dispatcher& d) {
    Dispatcher* const caller = d.caller == nullptr ? nullptr : TRY(answer_caller(d));
    if (caller != nullptr && payer_ == &d) {
        charge();
        payer_ = caller;
    }
    listen(d, 0, abi::wait_accepts_calls);
    if (caller == nullptr) return {};
    if (d.state == State::runnable) {
        scheduler_.ready(*caller);
    } else {
        scheduler_.ready_first(*caller);
        donated_to_ = caller;
    }
    return {};
}

Result<> Core::wait(Dispatcher& d) {
    const Registers& r = d.registers;
    const uint64_t deadline = r.rsi, flags = r.rdx, receive = r.r10, index = r.r8;
    if (deadline > static_cast<uint64_t>(INT64_MAX)) return fail(Err::bad_argument);
    if ((flags & ~(abi::wait_accepts_calls | abi::wait_polls)) != 0) return fail(Err::bad_argument);
    if (receive != abi::null_slot.raw) {
        if (index >= abi::cnode_slots) return fail(Err::bad_argument);
        if (receive != d.receive_cnode && TRY(find(d, receive))->kind != Kind::cnode) {
            return fail(Err::cap_type);
        }
        d.receive_cnode = static_cast<uint32_t>(receive);
        d.receive_index = static_cast<uint32_t>(index);
    }
    listen(d, static_cast<int64_t>(deadline), flags);
    return {};
}

/// Takes what is there, or goes to sleep. The answer is in the registers then, or will be.
void Core::listen(Dispatcher& d, int64_t deadline_ns, uint64_t flags) {
    const bool accepts = (flags & abi::wait_accepts_calls) != 0;
    if (const uint64_t bits = read_once(d.page->pending); bits != 0) {
        d.page->pending = 0;
        answer_events(d.registers, bits);
        return;
    }
    if (accepts && !d.callers.empty() && take_queued(d)) return;
    if ((flags & abi::wait_polls) != 0) {
        answer_events(d.registers, 0);
        return;
    }
    if (deadline_ns != 0) {
        if (deadline_ns <= machine_.now().ns) {
            answer_events(d.registers, uint64_t{1} << abi::event_timer);
            return;
        }
        scheduler_.sleep_until(d, Instant{deadline_ns});
    }
    d.accepts_calls = accepts;
    d.open = accepts && deadline_ns == 0 && d.caller == nullptr;
    d.state = State::waiting;
    scheduler_.give_up();
}

} // namespace kernel
