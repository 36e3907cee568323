// What this core's memory is lent to whom: one record a Loan, with the set of cores that have or
// may have it. Entered before the message that lends leaves, so the set is never too small.
#pragma once

#include <array>
#include <optional>

#include "lib/abi/capability.hpp"
#include "lib/base/result.hpp"
#include "monitor/core_set.hpp"

namespace monitor {

class LoanTable {
  public:
    static constexpr size_t capacity = 512;

    struct Loan {
        abi::CapSlot slot{};
        PhysAddr base{};
        uint64_t bytes{};
        CoreSet borrowers{};
        uint32_t in_flight{}; // lends whose answer has not come
    };

    /// The record of exactly this range, if it is lent already.
    Loan* find(PhysAddr base, uint64_t bytes) {
        for (size_t i = 0; i < count_; ++i)
            if (loans_[i].base == base && loans_[i].bytes == bytes) return &loans_[i];
        return nullptr;
    }

    bool full() const { return count_ == capacity; }

    /// Not while full(). The record stays: what is lent comes back only by revocation.
    Loan& enter(abi::CapSlot slot, PhysAddr base, uint64_t bytes) {
        return loans_[count_++] = {.slot = slot, .base = base, .bytes = bytes};
    }

    /// The borrower has answered.
    void settled(PhysAddr base, uint64_t bytes) {
        Loan* const loan = find(base, bytes);
        if (loan != nullptr && loan->in_flight > 0) --loan->in_flight;
    }

    size_t count() const { return count_; }

  private:
    std::array<Loan, capacity> loans_{};
    size_t count_{};
};

} // namespace monitor
