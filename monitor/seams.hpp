// The monitor's two seams: what it asks of its CPU driver (capabilities by slot), and the channels
// to its peers. main.cpp stands behind them on the machine, fakes in the tests.
#pragma once

#include <array>
#include <cstdint>

#include "lib/abi/capability.hpp"
#include "lib/base/result.hpp"
#include "monitor/messages.hpp"

namespace monitor {

using abi::CapSlot;

struct Described {
    abi::Kind kind{};
    abi::Rights rights{};
    uint64_t base{}, bytes{}, badge{};
};

/// Every slot returned is the monitor's own, to be given away or dropped.
class Kernel {
  public:
    virtual Result<Described> describe(CapSlot slot) = 0;
    virtual Result<CapSlot> copy(CapSlot slot) = 0;
    virtual Result<CapSlot> accept(const Described& what) = 0;
    virtual Result<CapSlot> lend(CapSlot frame) = 0;
    virtual Result<Bell> vector_of(CapSlot doorbell) = 0;
    virtual Result<CapSlot> endpoint(uint64_t badge) = 0;
    /// Deletes the capability; its slot is free again.
    virtual void drop(CapSlot slot) = 0;
    /// Deletes every copy on this core and what was made from it, then drops it.
    virtual Result<> give_up(CapSlot slot) = 0;
    virtual void ring(CapSlot doorbell) = 0;

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
    /// The frame becomes the channel to `peer`; it is the links' from now on. `first` says which
    /// of the two rings is ours.
    virtual Result<> open(CoreId peer, CapSlot frame, bool first) = 0;
    /// How `peer` is rung: a doorbell, the links' from now on.
    virtual void set_bell(CoreId peer, CapSlot doorbell) = 0;
    virtual void close(CoreId peer) = 0;
    /// How the monitor itself is rung by its peers.
    virtual Bell own_bell() = 0;

  protected:
    ~Links() = default;
};

} // namespace monitor
