// Whether this domain is inside its own book-keeping of slots, quota or addresses. A page fault
// there may take what lies ready, but must not look into books that are half written.
#pragma once

#include <atomic>
#include <cstdint>

#include "lib/os/threads/hold.hpp"

namespace os {

class Busy {
  public:
    Busy() { change(+1); }

    Busy(const Busy&) = delete;

    ~Busy() {
        change(-1);
        if (Hold::is_rest_due() && !now() && Hold::depth() == 0) Hold::let_loop_go_on();
    }

    static bool now() {
        return depth.load(std::memory_order_relaxed) != 0; // pairs with change()
    }

  private:
    static void change(int by) {
        // The upcall runs on this same core: only the compiler has to keep the order.
        std::atomic_signal_fence(std::memory_order_seq_cst);      // pairs with now() in the upcall
        const int before = depth.load(std::memory_order_relaxed); // pairs with the store below
        depth.store(before + by, std::memory_order_relaxed);      // pairs with now()
        std::atomic_signal_fence(std::memory_order_seq_cst);      // pairs with now() in the upcall
    }

    inline static constinit std::atomic<int> depth{0};
};

} // namespace os
