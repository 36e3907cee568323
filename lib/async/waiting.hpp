// What a task waits in: one node for queues and for the clock. It lives in the task's frame, so a
// task that is cancelled leaves every queue by itself.
#pragma once

#include <coroutine>
#include <optional>

#include "lib/async/task.hpp"
#include "lib/base/list.hpp"
#include "lib/base/wheel.hpp"

namespace async {

class Loop;
class Waiting;
class WaitQueue;

class Waiting : public Timer {
  public:
    Waiting() = default;
    inline ~Waiting();

    ListHook<Waiting> hook;

    /// Ends the wait: the task runs soon (not now), or leaves with the error.
    void wake() { finish(std::nullopt); }

    void wake(Fault error) { finish(error); }

    /// The same, but the task runs now: only from a source's pump, as the last thing that it does,
    /// because that source may go in it.
    void go_on() {
        leave();
        error_.reset(); // of a deadline in the same turn: what has come, has come
        woken_ = true;
        const UsePool scope{promise_->pool};
        const UseFlow flow{promise_->flow};
        promise_->self.resume();
    }

    /// At `deadline` the wait ends with `outcome`, if nothing ended it before.
    inline void arm(Instant deadline, std::optional<Fault> outcome);

    bool failed() const { return error_.has_value(); }

  private:
    friend class Loop;
    friend class WaitQueue;
    template <class X, bool propagates>
    friend class LeafAwaiter;

    inline void finish(std::optional<Fault> error);
    inline void leave();

    void run() {
        const UsePool scope{promise_->pool};
        const UseFlow flow{promise_->flow};
        if (error_ && propagates_)
            promise_->unwind(*error_).resume();
        else
            promise_->self.resume();
    }

    Loop* loop_; // these from the moment in which it begins
    Promise* promise_;
    bool propagates_;
    uint32_t since_; // the round of the loop's ready tasks in which it became one
    bool woken_{};
    WaitQueue* queue_{};
    std::optional<Fault> error_{};
    std::optional<Fault> on_time_{};
};

/// First come, first served.
class WaitQueue {
  public:
    WaitQueue() = default;
    WaitQueue(const WaitQueue&) = delete;

    ~WaitQueue() { INVARIANT(list_.empty(), "what is waited for outlives its waiters"); }

    bool empty() const { return list_.empty(); }

    void add(Waiting& waiting) {
        waiting.queue_ = this;
        list_.push_back(waiting);
    }

    void remove(Waiting& waiting) {
        list_.remove(waiting);
        waiting.queue_ = nullptr;
    }

    Waiting* first() const { return list_.front(); }

    Waiting* take() {
        Waiting* const waiting = list_.front();
        if (waiting != nullptr) remove(*waiting);
        return waiting;
    }

    /// False when nobody waits.
    bool wake_one() {
        Waiting* const waiting = list_.front();
        if (waiting != nullptr) waiting->wake();
        return waiting != nullptr;
    }

    void wake_all() {
        while (wake_one()) {
        }
    }

    void fail_all(Fault fault) {
        while (Waiting* const waiting = list_.front())
            waiting->wake(fault);
    }

  private:
    List<Waiting, &Waiting::hook> list_;
};

/// A leaf that hands something over when it wakes (a permit): it takes it back when the task is
/// cancelled after it was woken and before it ran.
template <class X>
concept HandsOver = requires(X& leaf) { leaf.abandoned(); };

/// Makes any leaf awaitable. A leaf has `using leaf = void`, `Loop& loop()`, `bool ready()` (go on
/// without waiting), `void begin(Waiting&)` (put it where it will be woken) and `take()` (the
/// value, after success).
template <class X, bool propagates>
class LeafAwaiter {
  public:
    /// The leaf is of the expression that awaits it, so it stays where it was made.
    explicit LeafAwaiter(X& leaf) : leaf_{leaf} {}

    LeafAwaiter(const LeafAwaiter&) = delete;

    ~LeafAwaiter() {
        if constexpr (HandsOver<X>)
            if (waiting_.woken_ && !waiting_.error_) leaf_.abandoned();
    }

    bool await_ready() { return leaf_.ready(); }

    template <class P>
    void await_suspend(std::coroutine_handle<P> task) {
        waiting_.loop_ = &leaf_.loop();
        waiting_.promise_ = &task.promise();
        waiting_.propagates_ = propagates;
        leaf_.begin(waiting_);
    }

    auto await_resume() {
        using T = decltype(leaf_.take());
        waiting_.woken_ = false;
        if constexpr (propagates)
            return leaf_.take();
        else
            return result<T>();
    }

  private:
    template <class T>
    Result<T> result() {
        if (waiting_.error_) return fail(*waiting_.error_);
        if constexpr (std::is_void_v<T>) {
            leaf_.take();
            return {};
        } else {
            return leaf_.take();
        }
    }

    X& leaf_;
    Waiting waiting_;
};

} // namespace async
