#include "lib/os/threads/scheduler.hpp"

#include <bit>
#include <utility>

constinit os::ThreadBlock* os_current_thread = nullptr;
constinit uint32_t os_extended_mask = 0;
constinit std::atomic<uint32_t> os_thread_held = 0, os_rest_due = 0;
constinit os::Context* os_loop_context = nullptr;

namespace os {
namespace {

constinit Scheduler the_scheduler;

} // namespace

Scheduler& scheduler() {
    return the_scheduler;
}

void give_way() {
    __builtin_ia32_pause();
    if (os_current_thread != nullptr) the_scheduler.yield();
}

bool Scheduler::run() {
    if (ready_.empty()) return false;
    os_loop_context = &loop_;
    Hold::begin();
    for (budget_ = turns_a_run; budget_ > 0 && !Hold::is_rest_due();) {
        ThreadBlock* const next = ready_.take();
        if (next == nullptr) break;
        next->state = ThreadBlock::State::running;
        os_current_thread = next;
        os_switch(&loop_, &next->context);
        Hold::restore(1);
        // It was about to go on where it was interrupted when a rest became due.
        if (ThreadBlock* const back = std::exchange(os_current_thread, nullptr)) make_ready(*back);
        if (ended_ != nullptr) finish(*std::exchange(ended_, nullptr));
    }
    Hold::end();
    Hold::set_rest_due(false); // what becomes due from here on ends the next run at once
    return true;
}

void Hold::ask_for_rest() {
    if (os_current_thread != nullptr) set_rest_due(true);
}

void Hold::let_loop_go_on() {
    while (is_rest_due() && os_current_thread != nullptr) {
        begin();
        the_scheduler.rest();
        restore(depth() - 1);
    }
}

void Scheduler::start(ThreadBlock& thread) {
    thread.done = thread.detached = thread.woken = false;
    thread.state = ThreadBlock::State::blocked;
    thread.joiner = nullptr;
    for (auto& local : thread.locals)
        local = {};
    thread.context = {
        // As after a call: 8 bytes off a multiple of 16 (System V ABI, 3.2.2).
        .rsp = thread.stack_end - sizeof(uint64_t),
        .rip = reinterpret_cast<uint64_t>(&os_begin_thread),
    };
    wake(thread);
}

void Scheduler::end() {
    Hold::begin();
    ended_ = os_current_thread;
    os_current_thread = nullptr;
    os_enter(&loop_);
}

/// In the loop: the thread is off its stack for good.
void Scheduler::finish(ThreadBlock& thread) {
    thread.end.lock();
    thread.done = true;
    ThreadBlock* const joiner = thread.joiner;
    const bool mine = thread.detached;
    thread.end.unlock();
    if (mine) source_->release(thread);
    if (joiner != nullptr) wake(*joiner);
}

void Scheduler::join(ThreadBlock& thread) {
    const Hold hold;
    thread.end.lock();
    const bool waits = !thread.done;
    if (waits) thread.joiner = os_current_thread;
    thread.end.unlock();
    if (waits) block();
    source_->release(thread);
}

void Scheduler::detach(ThreadBlock& thread) {
    const Hold hold;
    thread.end.lock();
    const bool over = thread.done;
    thread.detached = true;
    thread.end.unlock();
    if (over) source_->release(thread);
}

void Scheduler::suspend() {
    ThreadBlock& me = *std::exchange(os_current_thread, nullptr);
    me.state = ThreadBlock::State::suspended;
    interrupted(me);
}

void Scheduler::preempt() {
    ThreadBlock& me = *std::exchange(os_current_thread, nullptr);
    make_ready(me);
    budget_ = 0;
    interrupted(me);
}

void Scheduler::interrupted(ThreadBlock& me) {
    me.context = {
        .rbx = std::bit_cast<uint64_t>(&me),
        .rip = reinterpret_cast<uint64_t>(&os_resume_thread),
    };
    os_enter(&loop_);
}

} // namespace os

void os_run_thread() {
    os::ThreadBlock& me = *os_current_thread;
    os::Hold::restore(1);
    os::Hold::end();
    me.run(me.body.data());
    os::scheduler().end();
}
