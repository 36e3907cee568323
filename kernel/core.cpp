// Who runs: the turn from one dispatcher to the next, and the time it is charged.
#include "kernel/core.hpp"

#include <algorithm>

#include "kernel/hostile.hpp"

namespace kernel {

Core::Core(Machine& machine, const Config& config)
    : machine_{machine}, config_{config}, window_{std::bit_cast<uintptr_t>(config.window)},
      switched_at_{machine.now()} {
    // the block that this very kernel lives in
    owned_.set(config.kernel_root.raw, config.kernel_root.raw + page_bytes, true);
}

void Core::switch_to(Dispatcher* next) {
    if (!going_home_.empty()) {
        (void)send_home(*going_home_.front());
        next = scheduler_.top();
    }
    const Instant now = machine_.now();
    const Duration passed = now - switched_at_;
    switched_at_ = now;
    if (current_ == nullptr) {
        statistics_.idle_ns += passed.ns;
    } else {
        current_->cpu_ns += passed.ns;
        if (current_->state == State::runnable && !yielded_ && current_ != next) {
            current_->preempted = true;
        }
    }
    current_ = next;
    yielded_ = false;
    if (next == nullptr) {
        ++statistics_.halts;
    } else {
        ++statistics_.switches;
        ++next->dispatches;
        if (next != donated_to_) slice_end_ = now + next->slice;
        if (next->preempted) give_run_upcall(*next);
    }
    donated_to_ = nullptr;
}

void Core::give_run_upcall(Dispatcher& d) {
    d.preempted = false;
    abi::DispatcherPage& page = *d.page;
    if (read_once(page.disabled) != 0 || read_once(page.wants_run_upcall) == 0) return;
    const uint64_t entry = read_once(page.upcall_run);
    if (entry == 0 || !in_user_half(entry)) return;
    page.save[static_cast<size_t>(abi::Area::enabled)] = d.registers;
    enter_upcall(d, entry);
}

void Core::enter_upcall(Dispatcher& d, uint64_t entry) {
    d.page->disabled = 1;
    abi::SaveArea start{};
    start.rip = entry;
    start.rsp = read_once(d.page->upcall_stack);
    start.rdi = d.page_address.raw;
    start.rflags = rflags_fixed;
    start.fs_base = d.registers.fs_base;
    start.gs_base = d.registers.gs_base;
    d.registers = start;
}

} // namespace kernel
