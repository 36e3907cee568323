// Keeps the current thread on its core: while one of these lives a ring does not interrupt it
// (docs/spanning.md, Rings). For code that the loop must not find half done: the scheduler, spins,
// whatever a thread does with what belongs to the loop. What came meanwhile is seen to at the end.
#pragma once

#include <atomic>
#include <cstdint>

extern "C" {
/// How many there are; and whether the loop shall have its turn, which an upcall says. dispatch.S
/// and context.S know both.
extern std::atomic<uint32_t> os_thread_held, os_rest_due;
}

namespace os {

class Hold {
  public:
    Hold() { begin(); }

    Hold(const Hold&) = delete;

    ~Hold() { end(); }

    // The same where begin and end are in different functions.

    static void begin() { restore(depth() + 1); }

    static void end() {
        restore(depth() - 1);
        if (is_rest_due() && depth() == 0) let_loop_go_on();
    }

    static uint32_t depth() {
        // relaxed: written on this core by whoever runs; upcalls leave it as it was
        return os_thread_held.load(std::memory_order_relaxed);
    }

    /// After a switch: as deep as whoever goes on was.
    static void restore(uint32_t depth) {
        // The upcall runs on this same core: only the compiler has to keep the order.
        std::atomic_signal_fence(std::memory_order_seq_cst);    // pairs with the upcall's look
        os_thread_held.store(depth, std::memory_order_relaxed); // pairs with the upcall's look
        std::atomic_signal_fence(std::memory_order_seq_cst);    // pairs with the upcall's look
    }

    static bool is_rest_due() {
        return os_rest_due.load(std::memory_order_relaxed) != 0; // pairs with the upcall's store
    }

    static void set_rest_due(bool due) {
        os_rest_due.store(due ? 1 : 0, std::memory_order_relaxed); // pairs with is_rest_due()
    }

    /// A thread has given the loop something to do, which begins only when the loop has its turn.
    static void ask_for_rest();

    /// A rest is due, and nothing holds the thread any more.
    static void let_loop_go_on();
};

} // namespace os
