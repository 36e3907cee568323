// The calls that are made most, with nothing in their way: a message, an answer of words alone, a
// wake-up, a wait, a yield, a resume; copy, delete and retype; a page mapped. Each does in a few
// steps what it is defined to do elsewhere (yield and resume are defined here alone), hands the
// core over without a look at the ready lists or the alarm where neither can matter, and leaves
// everything else to the invocation in full.
#include "kernel/answer.hpp"
#include "kernel/core.hpp"
#include "kernel/hostile.hpp"
#include "kernel/mapping.hpp"

namespace kernel {

[[gnu::always_inline]] inline void
Core::hand_over(Dispatcher& caller, Dispatcher& callee, uint64_t badge) {
    meet(caller, callee, badge);
    callee.state = State::runnable;
    ++statistics_.switches;
    ++callee.dispatches;
    current_ = &callee;
}

/// To somebody not below, so that nobody else comes first: the core goes with the message, and with
/// the rest of the caller's slice.
After Core::call_quickly(Dispatcher& caller, Slot& cap) {
    if (cap.kind != Kind::endpoint || !cap.rights.has(abi::write)) return invoke(caller, cap);
    Dispatcher& callee = dispatcher(cap);
    if (!callee.open || callee.priority < caller.priority) return invoke(caller, cap);
    if (caller.registers.rsi != 0) return call_with_capability(caller, cap);
    hand_over(caller, callee, cap.tag());
    return After::spoken_to;
}

After Core::call_with_capability(Dispatcher& caller, Slot& cap) {
    Dispatcher& callee = dispatcher(cap);
    if (!pass_capability(caller, caller.registers.rsi, callee)) return invoke(caller, cap);
    hand_over(caller, callee, cap.tag());
    callee.registers.rsi |= abi::woke_with_capability;
    return After::spoken_to;
}

/// To a caller whose turn it is; there is nothing to take instead of waiting.
After Core::reply_wait_quickly(Dispatcher& d, Slot& cap) {
    const bool own = cap.kind == Kind::dispatcher && cap.base == d.self.raw;
    if (!own || !cap.rights.has(abi::execute)) return invoke(d, cap);
    Dispatcher* const caller = d.caller;
    if (caller == nullptr || d.registers.rsi != 0 || !d.callers.empty()) return invoke(d, cap);
    if (payer_ == &d) return invoke(d, cap); // it lost the caller's slice on the way
    if (read_once(d.page->pending) != 0 || scheduler_.at_or_above(caller->priority)) {
        return invoke(d, cap);
    }
    part(d, *caller);
    d.accepts_calls = d.open = true;
    d.state = State::waiting;
    ++statistics_.switches;
    ++caller->dispatches;
    current_ = caller;
    return After::spoken_to;
}

/// A turn, as Core::turn does it, to one that is on no list and not behind anybody who is ready.
[[gnu::always_inline]] inline void Core::switch_quickly(Dispatcher& next) {
    charge();
    ++statistics_.switches;
    ++next.dispatches;
    payer_ = current_ = &next;
    slice_end_ = never;
}

/// Without a deadline and with the receive CNode as before, when nothing has come.
After Core::wait_quickly(Dispatcher& d, Slot& cap) {
    const Registers& r = d.registers;
    if (cap.kind != Kind::dispatcher || cap.base != d.self.raw) return invoke(d, cap);
    if (!cap.rights.has(abi::execute) || r.rsi != 0 || r.rdx > abi::wait_accepts_calls) {
        return invoke(d, cap);
    }
    const bool receives_there = r.r10 == d.receive_cnode && r.r8 < abi::cnode_slots;
    if (r.r10 != abi::null_slot.raw && !receives_there) return invoke(d, cap);
    if (read_once(d.page->pending) != 0) return invoke(d, cap);
    Dispatcher* const next = scheduler_.top();
    const bool alone = next != nullptr && scheduler_.alone(*next);
    if (!alone || !d.callers.empty() || !going_home_.empty()) return invoke(d, cap);
    if (r.r10 != abi::null_slot.raw) d.receive_index = static_cast<uint32_t>(r.r8);
    d.accepts_calls = r.rdx != 0;
    d.open = d.accepts_calls && d.caller == nullptr;
    d.state = State::waiting;
    scheduler_.take(*next);
    switch_quickly(*next);
    if (next->preempted) give_run_upcall(*next);
    return After::went_to;
}

/// On this core. Who is above and slept goes on at once.
After Core::ring_quickly(Dispatcher& d, Slot& cap) {
    if (cap.kind != Kind::doorbell || !cap.rights.has(abi::write)) return invoke(d, cap);
    if (cap.base >= abi::core_space) return invoke(d, cap);
    Dispatcher& woken = dispatcher(cap);
    const bool sleeps = woken.state == State::waiting && !woken.deadline_set;
    if (!sleeps || woken.priority <= d.priority || !going_home_.empty()) return invoke(d, cap);
    d.registers.rax = 0;
    wake(woken, read_once(woken.page->pending) | uint64_t{1} << cap.tag());
    scheduler_.ready_first(d);
    scheduler_.settle(); // this is the turn
    d.preempted = true;
    switch_quickly(woken);
    return After::went_to;
}

After Core::resume_quickly(Dispatcher& d, Slot& cap) {
    const uint64_t area = d.registers.rsi;
    if (cap.kind != Kind::dispatcher || cap.base != d.self.raw) return invoke(d, cap);
    if (!cap.rights.has(abi::execute) || area > static_cast<uint64_t>(abi::Area::fault)) {
        return invoke(d, cap);
    }
    return resume(d, static_cast<abi::Area>(area));
}

/// To the first of its equals, if there is one: nobody above is ready while it runs.
After Core::yield_quickly(Dispatcher& d, Slot& cap) {
    if (cap.kind != Kind::dispatcher || cap.base != d.self.raw) return invoke(d, cap);
    if (!cap.rights.has(abi::execute)) return invoke(d, cap);
    d.registers.rax = 0;
    if (!scheduler_.at(d.priority)) return After::goes_on;
    if (!going_home_.empty()) (void)send_home(*going_home_.front());
    Dispatcher& next = *scheduler_.top();
    scheduler_.take(next);
    scheduler_.ready(d);
    d.preempted = false;
    switch_quickly(next);
    if (next.preempted) give_run_upcall(next);
    return After::turn; // for the alarm: the slice of the next may end
}

/// What may be copied, into an empty slot.
After Core::copy_quickly(Dispatcher& d, Slot& cap) {
    Slot* const into = empty_slot(cap, d.registers.rsi);
    if (into == nullptr) return invoke(d, cap);
    Slot* const source = look_up(d, d.registers.rdx);
    if (source == nullptr || !check_copy(*source, source->rights)) return invoke(d, cap);
    database_.insert_copy(*source, *into, source->rights);
    d.registers.rax = 0;
    return After::goes_on;
}

/// What nothing goes before, and nothing because of.
After Core::delete_quickly(Dispatcher& d, Slot& cap) {
    const uint64_t index = d.registers.rsi;
    if (cap.kind != Kind::cnode || !cap.rights.has(abi::write)) return invoke(d, cap);
    if (index >= abi::cnode_slots) return invoke(d, cap);
    Slot& slot = cnode(cap).slot[index];
    if (slot.empty() || !goes_alone(slot)) return invoke(d, cap);
    if (slot.kind == Kind::mapping) unmap(slot);
    database_.erase(slot);
    d.registers.rax = 0;
    return After::goes_on;
}

/// One object, or one range, made of RAM where nothing is made yet.
After Core::retype_quickly(Dispatcher& d, Slot& cap) {
    const Registers& r = d.registers;
    Slot* const into = empty_slot(cap, r.rsi);
    if (into == nullptr || r.r12 != 1 || r.r10 >= abi::kind_names.size()) return invoke(d, cap);
    Slot* const source = look_up(d, r.rdx);
    if (source == nullptr || source->kind != Kind::ram) return invoke(d, cap);
    const auto kind = static_cast<Kind>(r.r10);
    const uint64_t offset = r.r8, bytes = r.r9;
    const bool memory = kind == Kind::ram || kind == Kind::frame;
    if (bytes == 0 || (!memory && bytes != abi::bytes_of(kind))) return invoke(d, cap);
    if ((offset | bytes) % page_bytes != 0) return invoke(d, cap);
    if (offset > source->bytes || bytes > source->bytes - offset) return invoke(d, cap);
    if (!source->rights.has(abi::write) || source->depth >= deepest_derivation)
        return invoke(d, cap);
    const uint64_t begin = source->base + offset;
    const auto place = database_.free_place(*source, begin, bytes, 1);
    if (!place || database_.revoking(*source)) return invoke(d, cap);
    if (!memory) make_object(kind, begin);
    name_part(*source, kind, begin, bytes, *into);
    database_.insert_at(*place, *into);
    d.registers.rax = 0;
    return After::goes_on;
}

/// One page of a frame, cached, where there is none.
After Core::map_quickly(Dispatcher& d, Slot& cap) {
    const Registers& r = d.registers;
    if (cap.kind != Kind::page_table || !cap.rights.has(abi::write)) return invoke(d, cap);
    if (r.rsi >= table_entries || r.r9 != 1 || r.r8 > abi::all_rights.raw) return invoke(d, cap);
    Slot* const source = look_up(d, r.rdx);
    Slot* const places = look_up(d, r.r12);
    if (source == nullptr || source->kind != Kind::frame || places == nullptr)
        return invoke(d, cap);
    Slot* const into = empty_slot(*places, r.r13);
    const MapRequest page{
        .entry = static_cast<uint32_t>(r.rsi),
        .offset = r.r10,
        .rights = Rights{static_cast<uint8_t>(r.r8)} & (abi::read | abi::write | abi::execute),
        .flags = 0,
        .count = 1,
    };
    if (into == nullptr || !map_memory(cap, 1, *source, page, *into)) return invoke(d, cap);
    d.registers.rax = 0;
    return After::goes_on;
}

} // namespace kernel
