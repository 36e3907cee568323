// What messages between cores cost, as the monitors have measured it (lib/group/costs.hpp): a page
// or two that this core's monitor alone writes and every domain of the core may read (replica.hpp).
// The table is large: not for a thread's stack.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "lib/base/result.hpp"
#include "lib/group/costs.hpp"
#include "lib/os/replica.hpp"

namespace os {

class MachineCosts {
  public:
    void publish(const group::CostTable& table) {
        const auto* const from = reinterpret_cast<const uint32_t*>(&table);
        Copy& copy = copies_.draft();
        for (size_t i = 0; i < words; ++i)
            copy[i].store(from[i], std::memory_order_relaxed); // relaxed: as Replica wants it
        copies_.publish();
    }

    /// One state of it, not a mixture. Before the first it is a table of no cores.
    void read(group::CostTable& table) const {
        auto* const to = reinterpret_cast<uint32_t*>(&table);
        copies_.read([&](const Copy& copy) {
            for (size_t i = 0; i < words; ++i)
                to[i] = copy[i].load(std::memory_order_relaxed); // relaxed: as Replica wants it
            return true;
        });
    }

  private:
    static_assert(std::is_trivially_copyable_v<group::CostTable>);
    static constexpr size_t words = sizeof(group::CostTable) / sizeof(uint32_t);
    static_assert(words * sizeof(uint32_t) == sizeof(group::CostTable));

    using Copy = std::array<std::atomic<uint32_t>, words>;
    Replica<Copy> copies_;
};

/// As this core's monitor knows it now. Errors: those of mapping it.
Result<> read_machine_costs(group::CostTable& table);

} // namespace os
