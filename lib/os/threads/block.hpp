// What a thread is to its scheduler. It stays with the dispatcher it was made for; others see it
// only through its queue link and its end, so it lies in memory that all of them have.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "lib/abi/dispatcher_page.hpp"
#include "lib/abi/startup.hpp"
#include "lib/os/threads/spin.hpp"

namespace os {

/// What a thread keeps over a call; context.S knows the offsets.
struct Context {
    uint64_t rsp{}, rbp{}, rbx{}, r12{}, r13{}, r14{}, r15{}, rip{};
};

static_assert(sizeof(Context) == 64 && offsetof(Context, rip) == 56);

struct ThreadBlock {
    /// As its own dispatcher sees it. Suspended: by a page fault, anywhere, even in a queue.
    enum class State : uint8_t { ready, running, blocked, suspended };

    static constexpr size_t body_bytes = 64, most_locals = 12;
    /// x87, SSE and AVX (SDM vol. 1, 13.4): 512 + 64 + 256.
    static constexpr size_t extended_bytes = 832;

    struct Local {
        const void* key;
        uint64_t value;
    };

    // All of it at a page fault, where a call keeps less.
    alignas(64) std::array<std::byte, extended_bytes> extended{};
    abi::SaveArea registers{};
    uint32_t held{}, reserved{}; // how deep it was in Hold
    uint64_t fault_address{}, fault_code{};
    Context context{};

    ThreadBlock* next{};       // in what it waits in, or in the inbox of its dispatcher
    ThreadBlock* ready_next{}; // among those that can run
    State state{State::blocked};
    bool woken{};      // before it got as far as to block
    uint32_t worker{}; // the dispatcher it runs on
    uint32_t index{};  // its own number, for who handed it out
    uint64_t stack_begin{}, stack_end{};

    void (*run)(void* body){};
    alignas(16) std::array<std::byte, body_bytes> body{};

    Spin end; // guards what follows
    bool done{}, detached{};
    ThreadBlock* joiner{};

    std::array<Local, most_locals> locals{};
};

static_assert(offsetof(ThreadBlock, extended) == 0 && offsetof(ThreadBlock, registers) == 832);
static_assert(offsetof(ThreadBlock, held) == 992);
static_assert(abi::dispatcher_page_at == virt(0xd1'0000));

/// First in, first out, linked through the blocks themselves.
template <ThreadBlock* ThreadBlock::* Link>
class ThreadList {
  public:
    constexpr ThreadList() = default;

    bool empty() const { return head_ == nullptr; }

    void push(ThreadBlock& thread) {
        thread.*Link = nullptr;
        (head_ == nullptr ? head_ : tail_->*Link) = &thread;
        tail_ = &thread;
    }

    ThreadBlock* take() {
        ThreadBlock* const first = head_;
        if (first != nullptr) head_ = first->*Link;
        return first;
    }

  private:
    ThreadBlock* head_{};
    ThreadBlock* tail_{}; // meaningless when empty
};

using ThreadQueue = ThreadList<&ThreadBlock::next>;
using ReadyQueue = ThreadList<&ThreadBlock::ready_next>;

/// Threads that come from anywhere and are taken all at once by one.
class ThreadInbox {
  public:
    void push(ThreadBlock& thread) {
        // relaxed: the exchange below checks it
        ThreadBlock* top = top_.load(std::memory_order_relaxed);
        do
            thread.next = top;
        // release: publishes the link to take_all()
        while (!top_.compare_exchange_weak(top, &thread, std::memory_order_release));
    }

    bool empty() const {
        // relaxed: a hint; it pairs with nothing, take_all() does
        return top_.load(std::memory_order_relaxed) == nullptr;
    }

    /// Moves them to `to`, those who came first in front.
    void take_all(ThreadQueue& to) {
        // acquire: pairs with the release in push()
        ThreadBlock* top = top_.exchange(nullptr, std::memory_order_acquire);
        ThreadBlock* first = nullptr;
        while (top != nullptr) {
            ThreadBlock* const below = top->next;
            top->next = first;
            first = top;
            top = below;
        }
        while (first != nullptr) {
            ThreadBlock* const after = first->next;
            to.push(*first);
            first = after;
        }
    }

  private:
    std::atomic<ThreadBlock*> top_{};
};

} // namespace os
