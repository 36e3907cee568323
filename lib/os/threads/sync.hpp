// How threads wait for each other, on whatever cores of their domain they run. Who waits sleeps; a
// lock goes straight to the one who waits longest.
#pragma once

#include <utility>

#include "lib/os/threads/scheduler.hpp"

namespace os {

class Mutex {
  public:
    void lock() {
        spin_.lock();
        if (!locked_) {
            locked_ = true;
            spin_.unlock();
            return;
        }
        waiting_.push(*scheduler().current());
        spin_.unlock();
        scheduler().block(); // it is ours when we go on
    }

    bool try_lock() {
        const SpinGuard guard{spin_};
        return !std::exchange(locked_, true);
    }

    void unlock() {
        spin_.lock();
        release();
    }

  private:
    friend class Condition;

    void release() {
        ThreadBlock* const heir = waiting_.take();
        if (heir == nullptr) locked_ = false;
        spin_.unlock();
        if (heir != nullptr) scheduler().wake(*heir);
    }

    Spin spin_;
    bool locked_{};
    ThreadQueue waiting_;
};

class Lock {
  public:
    explicit Lock(Mutex& mutex) : mutex_{mutex} { mutex_.lock(); }

    Lock(const Lock&) = delete;

    ~Lock() { mutex_.unlock(); }

    Mutex& mutex() { return mutex_; }

  private:
    Mutex& mutex_;
};

class Condition {
  public:
    /// Gives the mutex up, waits to be notified, and has it again. Look at the condition again:
    /// others may have been faster.
    void wait(Lock& lock) {
        Mutex& mutex = lock.mutex();
        // Both at once: who is in a queue already must not give way for another lock.
        mutex.spin_.lock();
        spin_.lock();
        waiting_.push(*scheduler().current());
        spin_.unlock();
        mutex.release();
        scheduler().block();
        mutex.lock();
    }

    template <class Predicate>
    void wait(Lock& lock, Predicate&& holds) {
        while (!holds())
            wait(lock);
    }

    void notify_one() {
        spin_.lock();
        ThreadBlock* const first = waiting_.take();
        spin_.unlock();
        if (first != nullptr) scheduler().wake(*first);
    }

    void notify_all() {
        spin_.lock();
        ThreadQueue all = std::exchange(waiting_, {});
        spin_.unlock();
        while (ThreadBlock* const thread = all.take())
            scheduler().wake(*thread);
    }

  private:
    Spin spin_;
    ThreadQueue waiting_;
};

/// Nobody passes before `count` have come; then it can be used again.
class Barrier {
  public:
    explicit constexpr Barrier(uint32_t count) : count_{count} {}

    void wait() {
        spin_.lock();
        if (++here_ < count_) {
            waiting_.push(*scheduler().current());
            spin_.unlock();
            scheduler().block();
            return;
        }
        here_ = 0;
        ThreadQueue all = std::exchange(waiting_, {});
        spin_.unlock();
        while (ThreadBlock* const thread = all.take())
            scheduler().wake(*thread);
    }

  private:
    Spin spin_;
    uint32_t count_, here_{};
    ThreadQueue waiting_;
};

} // namespace os
