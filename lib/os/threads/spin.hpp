// A lock for a few instructions, during which no ring interrupts the thread. Who finds it taken
// lets other threads run: its holder may be one that waits for a page.
#pragma once

#include <atomic>

#include "lib/os/threads/hold.hpp"

namespace os {

/// Lets whatever else this dispatcher has to do go on; at worst comes straight back.
void give_way();

class Spin {
  public:
    void lock() {
        for (;;) {
            Hold::begin();
            // acquire: pairs with the release in unlock()
            if (!taken_.exchange(true, std::memory_order_acquire)) return;
            Hold::end();
            give_way();
        }
    }

    void unlock() {
        // release: publishes what was done under the lock
        taken_.store(false, std::memory_order_release);
        Hold::end();
    }

  private:
    std::atomic<bool> taken_{};
};

class SpinGuard {
  public:
    explicit SpinGuard(Spin& spin) : spin_{spin} { spin_.lock(); }

    SpinGuard(const SpinGuard&) = delete;

    ~SpinGuard() { spin_.unlock(); }

  private:
    Spin& spin_;
};

} // namespace os
