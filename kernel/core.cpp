// Who runs: the turn from one dispatcher to the next, and the time it is charged.
#include "kernel/core.hpp"

#include <algorithm>

#include "kernel/hostile.hpp"

namespace kernel {

Core::Core(Machine& machine, const Config& config)
    : machine_{machine}, config_{config}, window_{std::bit_cast<uintptr_t>(config.window)},
      switched_at_{machine.ticks()},
      ring_ticks_{config.tsc_khz * static_cast<uint64_t>(ring_interval.ns) / 1'000'000} {
    // the block that this very kernel lives in
    owned_.set(config.kernel_root.raw, config.kernel_root.raw + page_bytes, true);
}

/// Somebody else's, unless nobody else is ready after all.
void Core::turn() {
    if (!going_home_.empty()) (void)send_home(*going_home_.front());
    if (current_ != nullptr && current_->state == State::runnable) put_back(*current_);
    Dispatcher* const next = scheduler_.take_top();
    if (next != current_ || next == nullptr) {
        charge();
        switch_to(next);
    }
    slice_over_ = false;
    scheduler_.settle();
}

/// It gives way: first of its priority next time, unless its turn is over.
void Core::put_back(Dispatcher& d) {
    if (slice_over_)
        scheduler_.ready(d);
    else
        scheduler_.ready_first(d);
    d.preempted = true;
}

/// The time since the last turn was that of who ran in his own slice, or nobody's.
void Core::charge() {
    const uint64_t now = machine_.ticks();
    if (payer_ != nullptr)
        payer_->busy_ticks += now - switched_at_;
    else if (current_ == nullptr)
        statistics_.idle_ticks += now - switched_at_;
    switched_at_ = now;
}

void Core::switch_to(Dispatcher* next) {
    current_ = next;
    if (next == nullptr) {
        ++statistics_.halts;
        payer_ = nullptr;
    } else {
        ++statistics_.switches;
        ++next->dispatches;
        if (next != donated_to_) {
            slice_end_ = never;
            payer_ = next;
        }
        if (next->preempted) give_run_upcall(*next);
    }
    donated_to_ = nullptr;
}

/// Before it goes on: if it was preempted or has an event, and wants to be told that.
void Core::give_run_upcall(Dispatcher& d) {
    abi::DispatcherPage& page = *d.page;
    uint64_t there = read_once(page.pending) != 0 ? abi::run_upcall::on_event : 0;
    if (std::exchange(d.preempted, false)) there |= abi::run_upcall::after_preemption;
    if ((read_once(page.wants_run_upcall) & there) == 0) return;
    if (read_once(page.disabled) != 0) return;
    const uint64_t entry = read_once(page.upcall_run);
    if (entry == 0 || !in_user_half(entry)) return;
    page.save[static_cast<size_t>(abi::Area::enabled)] = d.registers;
    enter_upcall(d, entry);
}

/// With all other registers as they were.
void Core::enter_upcall(Dispatcher& d, uint64_t entry) {
    d.page->disabled = 1;
    d.registers.rip = entry;
    d.registers.rsp = read_once(d.page->upcall_stack);
    d.registers.rdi = d.page_address.raw;
    d.registers.rflags = rflags_fixed;
}

} // namespace kernel
