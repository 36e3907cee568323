// Threads of one dispatcher, one at a time, each until it waits or gives way. A switch stores and
// loads what a call keeps. Below them is the event loop, on the dispatcher's own stack: it comes to
// its turn when nobody is ready, and every few switches.
#pragma once

#include <utility>

#include "lib/base/invariant.hpp"
#include "lib/base/result.hpp"
#include "lib/os/threads/block.hpp"

extern "C" {
/// Saves what a call keeps to `from` and goes on in `to`.
void os_switch(os::Context* from, const os::Context* to);
/// Goes on in `to`; what was here is over.
[[noreturn]] void os_enter(const os::Context* to);
/// Where a thread begins; calls os_run_thread().
void os_begin_thread();
/// Where a thread goes on that was interrupted anywhere: rbx is its block.
void os_resume_thread();
void os_run_thread();
/// The thread that runs, for the upcalls' first instructions. Null: none, the loop.
extern os::ThreadBlock* os_current_thread;
/// What XSAVE saves of a thread, in terms of XCR0; 0: the processor has FXSAVE only.
extern uint32_t os_extended_mask;
}

namespace os {

/// Where blocks and stacks come from, and how threads of other dispatchers are reached.
class ThreadSource {
  public:
    /// A block with a stack, as good as new. Errors: quota, no_slots, no_space.
    virtual Result<ThreadBlock*> take() = 0;
    virtual void release(ThreadBlock& thread) = 0;
    /// Makes a thread of another dispatcher ready.
    virtual void wake_far(ThreadBlock& thread) = 0;

  protected:
    ~ThreadSource() = default;
};

class Scheduler {
  public:
    constexpr Scheduler() = default;
    Scheduler(const Scheduler&) = delete;

    /// `worker` is this dispatcher's number among those of its domain.
    void begin(ThreadSource& source, uint32_t worker) {
        source_ = &source;
        worker_ = worker;
    }

    bool begun() const { return source_ != nullptr; }

    ThreadSource& source() { return *source_; }

    uint32_t worker() const { return worker_; }

    ThreadBlock* current() const { return os_current_thread; }

    /// From the loop: runs threads for a while. False when none was ready.
    bool run();

    bool idle() const { return ready_.empty(); }

    /// A new thread, on whatever dispatcher its block says, runs `thread.run(thread.body)`.
    void start(ThreadBlock& thread);

    /// Whoever took the thread out of what it waits in: it goes on when its turn comes, on the
    /// dispatcher that it belongs to.
    void wake(ThreadBlock& thread) {
        const Hold hold;
        if (thread.worker != worker_) return source_->wake_far(thread);
        if (thread.state == ThreadBlock::State::blocked)
            make_ready(thread);
        else
            thread.woken = true; // it is on its way to block(), which will not wait
    }

    /// The current thread waits; it is in a queue by which somebody finds and wakes it.
    void block() {
        const Hold hold;
        ThreadBlock& me = *os_current_thread;
        if (std::exchange(me.woken, false)) return;
        me.state = ThreadBlock::State::blocked;
        leave(me);
    }

    /// Lets the others run that are ready now.
    void yield() {
        const Hold hold;
        ThreadBlock& me = *os_current_thread;
        if (ready_.empty() && --budget_ > 0) return;
        make_ready(me);
        leave(me);
    }

    /// Lets the loop have its turn before this thread goes on.
    void rest() {
        const Hold hold;
        ThreadBlock& me = *os_current_thread;
        make_ready(me);
        budget_ = 0;
        leave(me);
    }

    /// In the upcall of a ring: the loop has its turn before the current thread goes on, which was
    /// interrupted anywhere; its state is in its block.
    [[noreturn]] void preempt();

    /// The current thread is done with its body.
    [[noreturn]] void end();

    /// Waits for the end of a thread, and gives it back.
    void join(ThreadBlock& thread);
    /// Nobody will join it: it goes back by itself.
    void detach(ThreadBlock& thread);

    /// The current thread was interrupted by a page fault; its state is in its block. Goes on in
    /// the loop; the thread waits for resume(), and goes on where it was.
    [[noreturn]] void suspend();

    void resume(ThreadBlock& thread) { make_ready(thread); }

    /// Those whom other dispatchers have woken.
    void admit(ThreadInbox& inbox) {
        ThreadQueue all;
        inbox.take_all(all);
        while (ThreadBlock* const thread = all.take())
            wake(*thread);
    }

  private:
    static constexpr int turns_a_run = 64;

    void make_ready(ThreadBlock& thread) {
        thread.state = ThreadBlock::State::ready;
        ready_.push(thread);
    }

    void leave(ThreadBlock& me) {
        const bool goes_on = --budget_ > 0 && !Hold::is_rest_due();
        ThreadBlock* const next = goes_on ? ready_.take() : nullptr;
        if (next != nullptr) next->state = ThreadBlock::State::running;
        if (next == &me) return;
        const uint32_t depth = Hold::depth();
        os_current_thread = next;
        os_switch(&me.context, next != nullptr ? &next->context : &loop_);
        Hold::restore(depth);
    }

    [[noreturn]] void interrupted(ThreadBlock& me);
    void finish(ThreadBlock& thread);

    ThreadSource* source_{};
    uint32_t worker_{};
    int budget_{};
    ReadyQueue ready_;
    ThreadBlock* ended_{}; // still on its stack until the loop has its turn
    Context loop_;
};

/// This dispatcher's one.
Scheduler& scheduler();

} // namespace os
