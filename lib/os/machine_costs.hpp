// What messages between cores cost, as the monitors have measured it (lib/group/costs.hpp): a page
// or two that this core's monitor alone writes and every domain of the core may read. There are two
// copies: the writer fills the one that nobody is shown, then turns them round. The table is large:
// not for a thread's stack.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "lib/base/result.hpp"
#include "lib/group/costs.hpp"

namespace os {

class MachineCosts {
  public:
    void publish(const group::CostTable& table) {
        // relaxed: we alone write it
        const uint32_t next = version_.load(std::memory_order_relaxed) + 1;
        const auto* const from = reinterpret_cast<const uint32_t*>(&table);
        for (size_t i = 0; i < words; ++i)
            copies_[next % 2][i].store(from[i], std::memory_order_relaxed); // version_ orders them
        // release: who sees this version sees the words before
        version_.store(next, std::memory_order_release);
    }

    /// One state of it, not a mixture. Before the first it is a table of no cores.
    void read(group::CostTable& table) const {
        auto* const to = reinterpret_cast<uint32_t*>(&table);
        for (;;) {
            // acquire: pairs with publish()
            const uint32_t version = version_.load(std::memory_order_acquire);
            for (size_t i = 0; i < words; ++i)
                to[i] = copies_[version % 2][i].load(std::memory_order_relaxed);
            // acquire: the words are read before the version below
            std::atomic_thread_fence(std::memory_order_acquire);
            // relaxed: the fence orders it. Only after another publish() is this copy written to.
            if (version_.load(std::memory_order_relaxed) == version) return;
        }
    }

  private:
    static_assert(std::is_trivially_copyable_v<group::CostTable>);
    static constexpr size_t words = sizeof(group::CostTable) / sizeof(uint32_t);
    static_assert(words * sizeof(uint32_t) == sizeof(group::CostTable));

    std::atomic<uint32_t> version_{};
    std::array<std::array<std::atomic<uint32_t>, words>, 2> copies_{};
};

/// As this core's monitor knows it now. Errors: those of mapping it.
Result<> read_machine_costs(group::CostTable& table);

} // namespace os
