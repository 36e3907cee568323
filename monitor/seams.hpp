// The monitor's two seams: what it asks of its CPU driver (capabilities by slot), and the channels
// to its peers. main.cpp stands behind them on the machine, fakes in the tests.
#pragma once

#include <array>
#include <cstdint>

#include "lib/abi/capability.hpp"
#include "lib/base/result.hpp"
#include "monitor/costs.hpp"

namespace monitor {

using abi::CapSlot;

struct Described {
    abi::Kind kind{};
    abi::Rights rights{};
    uint64_t base{}, bytes{};
    uint64_t badge{}; // a borrowed frame's: the core that owns it
    bool borrowed{};
    bool idle{}; // only the monitor's keepers of it are left
};

/// For Kernel::accept: a doorbell of another core.
constexpr Described doorbell_of(Bell bell, abi::Rights rights = abi::write | abi::copy) {
    return {abi::Kind::doorbell, rights, abi::core_space + bell.apic, 1, bell.vector};
}

/// What became of borrowed memory that nobody on this core uses any more.
struct Drained {
    enum class What : uint8_t { nothing, one, look_at_all } what{};
    uint64_t base{}, bytes{};
};

/// Every slot returned is the monitor's own, to be given away or dropped. A slot whose capability
/// somebody else revoked is empty, and to be dropped all the same.
class Kernel {
  public:
    /// Errors: cap_empty.
    virtual Result<Described> describe(CapSlot slot) = 0;
    virtual Result<CapSlot> copy(CapSlot slot) = 0;
    /// A frame's is the keeper of what is borrowed; its badge says of which core.
    virtual Result<CapSlot> accept(const Described& what) = 0;
    /// A Loan below that frame. Errors: foreign, revoking.
    virtual Result<CapSlot> lend(CapSlot frame) = 0;
    /// A copy of the frame that this Loan stands for. Errors: revoking.
    virtual Result<CapSlot> recall(CapSlot loan, abi::Rights rights) = 0;
    /// From now on nothing is made of what lies in the range of that capability; at most
    /// Monitor::revokes_at_a_time of them.
    virtual Result<> mark(CapSlot slot) = 0;
    virtual void unmark(CapSlot slot) = 0;
    /// A bounded step towards: no copy and nothing derived is left, but the capability itself.
    /// Errors: again (call again), lent (a Loan is in the way), cap_empty (it went as well).
    virtual Result<> revoke_step(CapSlot slot) = 0;
    /// RAM leaves this core. True: the slot is a Loan now that stands for it (for `regain`); false:
    /// it is free again. Errors: range_in_use, misaligned, revoking, cap_rights.
    virtual Result<bool> give(CapSlot ram) = 0;
    /// The same for RAM with a CPU driver in it, which core `apic` starts with.
    virtual Result<bool> start_core(uint32_t apic, CapSlot ram, uint32_t start_page) = 0;
    /// The Loan that `give` left is RAM of this core again, in the same slot.
    virtual Result<> regain(CapSlot loan) = 0;
    /// Such a Loan ends at `offset`; one for what is behind it.
    virtual Result<CapSlot> split(CapSlot loan, uint64_t offset) = 0;
    /// The next that drained. Monitor::look_for_drained says that there may be some.
    virtual Drained drained() = 0;
    virtual Result<Bell> vector_of(CapSlot doorbell) = 0;
    virtual Result<CapSlot> endpoint(uint64_t badge) = 0;
    /// Deletes the capability, if there is one; its slot is free again.
    virtual void drop(CapSlot slot) = 0;
    /// Deletes every copy on this core and what was made from it, then drops it.
    virtual Result<> give_up(CapSlot slot) = 0;
    virtual void ring(CapSlot doorbell) = 0;
    /// That core executes nothing more, whatever state it is in, until it is started again.
    virtual Result<> stop_core(uint32_t apic) = 0;
    /// This core executes nothing more, as if it had failed.
    virtual void hang() = 0;

  protected:
    ~Kernel() = default;
};

/// A frame that is to become a channel to a peer.
struct LinkFrame {
    CapSlot slot{};
    PhysAddr base{};
    uint64_t bytes{};
};

class Links {
  public:
    /// Memory for a channel to a peer. Errors: no_memory.
    virtual Result<LinkFrame> make_frame() = 0;
    /// It does not become a channel after all.
    virtual void drop_frame(const LinkFrame& frame) = 0;
    /// The frame becomes the channel to `peer` and is the links' from now on; on an error it stays
    /// the caller's, who may have lent it: then it cannot be deleted before that is over. `first`
    /// says which of the two rings is ours.
    virtual Result<> open(CoreId peer, CapSlot frame, bool first) = 0;
    /// How `peer` is rung: a doorbell, the links' from now on.
    virtual void set_bell(CoreId peer, CapSlot doorbell) = 0;
    /// Nobody else has the frame any more: its memory is there for the next.
    virtual void close(CoreId peer) = 0;
    /// How the monitor itself is rung by its peers.
    virtual Bell own_bell() = 0;
    /// A frame with a line for each core, in which that core alone writes. Errors: no_memory.
    virtual Result<PhysAddr> doorstep() = 0;
    /// Writes our line on the doorstep of `to`, and rings there.
    virtual Result<> knock(CoreId to, PhysAddr doorstep, Bell bell, const Knock& what) = 0;
    /// What lines cost between `there` and this core, which has that number among those who
    /// measure.
    virtual Result<LineCost> measure(CoreId there, PhysAddr doorstep, size_t own_place) = 0;
    /// Behind our doorstep: the lines that who has that number is going to read.
    virtual void write_lines_for(size_t place) = 0;

  protected:
    ~Links() = default;
};

} // namespace monitor
