// How tasks of one domain wait for each other. There is one thread: these order tasks, not cores.
#pragma once

#include <optional>
#include <utility>

#include "lib/async/waiting.hpp"

namespace async {

/// Stays set until one waiter has taken it. For "look again": interrupts, bells, notices.
class Event {
  public:
    explicit Event(Loop& loop) : loop_{loop} {}

    void set() {
        if (!queue_.wake_one()) set_ = true;
    }

    class Wait {
      public:
        using leaf = void;

        Wait(Event& event, std::optional<Instant> until) : event_{&event}, until_{until} {}

        Loop& loop() const { return event_->loop_; }

        bool ready() const { return std::exchange(event_->set_, false); }

        void abandoned() const { event_->set(); }

        void begin(Waiting& waiting) const {
            event_->queue_.add(waiting);
            if (until_) waiting.arm(*until_, Fault{Err::timed_out});
        }

        void take() const {}

      private:
        Event* event_;
        std::optional<Instant> until_;
    };

    Wait wait() { return {*this, std::nullopt}; }

    /// Errors: timed_out.
    Wait wait_until(Instant deadline) { return {*this, deadline}; }

  private:
    Loop& loop_;
    WaitQueue queue_;
    bool set_{};
};

/// Wakes all who wait now; nobody who comes later. For "the state has changed".
class Signal {
  public:
    explicit Signal(Loop& loop) : loop_{loop} {}

    void notify() { queue_.wake_all(); }

    /// All who wait leave with this error.
    void fail(Fault fault) { queue_.fail_all(fault); }

    class Wait {
      public:
        using leaf = void;

        Wait(Signal& signal, std::optional<Instant> until) : signal_{&signal}, until_{until} {}

        Loop& loop() const { return signal_->loop_; }

        bool ready() const { return false; }

        void begin(Waiting& waiting) const {
            signal_->queue_.add(waiting);
            if (until_) waiting.arm(*until_, Fault{Err::timed_out});
        }

        void take() const {}

      private:
        Signal* signal_;
        std::optional<Instant> until_;
    };

    Wait wait() { return {*this, std::nullopt}; }

    /// Errors: timed_out.
    Wait wait_until(Instant deadline) { return {*this, deadline}; }

  private:
    Loop& loop_;
    WaitQueue queue_;
};

/// `count` may hold it at a time; the others queue.
class Semaphore {
  public:
    Semaphore(Loop& loop, size_t count) : loop_{loop}, free_{count} {}

    /// Gives back when it goes out of scope.
    class Guard {
      public:
        explicit Guard(Semaphore& semaphore) : semaphore_{&semaphore} {}

        Guard(Guard&& other) noexcept : semaphore_{std::exchange(other.semaphore_, nullptr)} {}

        Guard& operator=(Guard&&) = delete;

        ~Guard() {
            if (semaphore_ != nullptr) semaphore_->release();
        }

      private:
        Semaphore* semaphore_;
    };

    class Acquire {
      public:
        using leaf = void;

        explicit Acquire(Semaphore& semaphore) : semaphore_{&semaphore} {}

        Loop& loop() const { return semaphore_->loop_; }

        bool ready() const {
            if (semaphore_->free_ == 0) return false;
            --semaphore_->free_;
            return true;
        }

        void begin(Waiting& waiting) const { semaphore_->queue_.add(waiting); }

        Guard take() const { return Guard{*semaphore_}; }

        void abandoned() const { semaphore_->release(); }

      private:
        Semaphore* semaphore_;
    };

    /// auto guard = co_await semaphore.acquire();
    Acquire acquire() { return Acquire{*this}; }

  private:
    /// Goes straight to who waits longest: nobody who comes now can take it first.
    void release() {
        if (!queue_.wake_one()) ++free_;
    }

    Loop& loop_;
    WaitQueue queue_;
    size_t free_;
};

} // namespace async
