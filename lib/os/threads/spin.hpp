// A lock for a few instructions. Who finds it taken lets other threads run: its holder may be one
// that waits for a page.
#pragma once

#include <atomic>

namespace os {

/// Lets whatever else this dispatcher has to do go on; at worst comes straight back.
void give_way();

class Spin {
  public:
    void lock() {
        // acquire: pairs with the release in unlock()
        while (taken_.exchange(true, std::memory_order_acquire))
            give_way();
    }

    void unlock() {
        // release: publishes what was done under the lock
        taken_.store(false, std::memory_order_release);
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
