// Threads as a program sees them.
#pragma once

#include <new>
#include <type_traits>
#include <utility>

#include "lib/os/threads/scheduler.hpp"

namespace os {

/// A thread that is waited for by whoever has this.
class Thread {
  public:
    Thread() = default;

    Thread(Thread&& other) noexcept : block_{std::exchange(other.block_, nullptr)} {}

    Thread& operator=(Thread&& other) noexcept {
        std::swap(block_, other.block_);
        return *this;
    }

    ~Thread() { join(); }

    /// Runs `body` on this dispatcher. It is copied: what it captures by reference has to outlive
    /// it. Errors: quota, no_slots, no_space.
    template <class Body>
    static Result<Thread> create(const Body& body) {
        return create_on(scheduler().worker(), body);
    }

    /// The same on another dispatcher of the domain.
    template <class Body>
    static Result<Thread> create_on(uint32_t worker, const Body& body) {
        static_assert(sizeof(Body) <= ThreadBlock::body_bytes, "capture a pointer to it");
        static_assert(std::is_trivially_copyable_v<Body> && alignof(Body) <= 16);
        ThreadBlock* const block = TRY(scheduler().source().take());
        block->worker = worker;
        new (block->body.data()) Body{body};
        block->run = [](void* stored) { (*static_cast<Body*>(stored))(); };
        scheduler().start(*block);
        return Thread{block};
    }

    bool joinable() const { return block_ != nullptr; }

    /// Waits for its end. From a thread.
    void join() {
        if (ThreadBlock* const block = std::exchange(block_, nullptr)) scheduler().join(*block);
    }

    /// It ends by itself.
    void detach() {
        if (ThreadBlock* const block = std::exchange(block_, nullptr)) scheduler().detach(*block);
    }

  private:
    explicit Thread(ThreadBlock* block) : block_{block} {}

    ThreadBlock* block_{};
};

/// A word that each thread has of its own, zero at first: `constinit os::ThreadLocal<int> depth;`
template <class T>
class ThreadLocal {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));

  public:
    constexpr ThreadLocal() = default;
    ThreadLocal(const ThreadLocal&) = delete; // its address is the key

    T get() const {
        T value{};
        if (const uint64_t* const word = find(false)) __builtin_memcpy(&value, word, sizeof(T));
        return value;
    }

    void set(T value) {
        uint64_t* const word = find(true);
        __builtin_memcpy(word, &value, sizeof(T));
    }

    /// Where it lies, for who wants its address: until the thread ends.
    T& here() { return *new (find(true)) T{get()}; }

  private:
    uint64_t* find(bool make) const {
        for (ThreadBlock::Local& local : scheduler().current()->locals) {
            if (local.key == this) return &local.value;
            if (local.key != nullptr) continue;
            if (!make) return nullptr;
            local.key = this;
            return &local.value;
        }
        INVARIANT(!make, "a thread has few words of its own");
        return nullptr;
    }
};

} // namespace os
