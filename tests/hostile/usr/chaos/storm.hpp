// Random system calls. Most have arguments that could be meant, because a call that fails at once
// tests little; few are aimed at what the domain itself stands on, or it would not live long.
#pragma once

#include <array>
#include <string_view>

#include "lib/base/random.hpp"
#include "lib/os/domain.hpp"

namespace chaos {

class Storm {
  public:
    Storm(Random& random, const os::Domain& self) : random_{random}, self_{self} {}

    /// Makes a CNode to play in. Errors: quota, no_slots.
    Result<> begin();

    /// One system call. Counts it by what became of it.
    void step();

    uint64_t calls() const { return calls_; }

    uint64_t successes() const { return successes_; }

    /// What it did to itself since `heard` that may keep notices from it; empty: nothing.
    std::string_view harm() const { return harm_; }

    /// The monitor's notices arrive.
    void heard() { harm_ = {}; }

  private:
    abi::CapSlot slot();
    uint64_t argument();
    static bool must_not_be_called(abi::CapSlot slot);
    bool dares(abi::Op op, abi::CapSlot slot, const os::Values& values);
    bool is_suicide(abi::Op op, abi::CapSlot slot, const os::Values& values) const;
    void note(abi::Op op, abi::CapSlot slot, const os::Values& values, const abi::Answer& answer);
    void note_place(abi::Op op, abi::CapSlot slot, const os::Values& values);
    void note_call(const os::Values& values, const abi::Answer& got);
    void local_call();
    void empty_receive_slot();

    Random& random_;
    const os::Domain& self_;
    abi::CapSlot playground_{};
    std::array<bool, abi::cnode_slots> made_here_{};
    uint64_t calls_{}, successes_{};
    std::string_view harm_;
};

} // namespace chaos
