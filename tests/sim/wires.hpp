// The channels between monitors: bounded rings of encoded messages, two for each pair that has
// been introduced, and the seam by which a monitor opens them.
#pragma once

#include <array>
#include <vector>

#include "monitor/seams.hpp"
#include "monitor/wire.hpp"
#include "tests/sim/machine.hpp"

namespace sim {

using abi::CapSlot;

/// One direction of a channel.
class Line {
  public:
    static constexpr unsigned most = 64;

    bool full(unsigned capacity) const { return count_ >= capacity; }

    bool empty() const { return count_ == 0; }

    unsigned count() const { return count_; }

    void push(const monitor::Encoded& message) { ring_[(first_ + count_++) % most] = message; }

    monitor::Encoded pop() {
        const monitor::Encoded& out = ring_[first_];
        first_ = (first_ + 1) % most;
        --count_;
        return out;
    }

    void clear() { first_ = count_ = 0; }

    uint32_t stalled_until{}; // a step: until then the receiver does not look
    uint32_t full_since{};    // a step; 0: it is not full

  private:
    std::array<monitor::Encoded, most> ring_;
    unsigned first_{}, count_{};
};

/// What lies in the frame that `maker` made for a channel to a peer: both directions.
struct Wire {
    Line from_maker, to_maker;
};

/// What `peer` has left on a doorstep, until it is read.
struct DoorLine {
    bool knocked{};
    monitor::Knock knock;
};

class Wires {
  public:
    explicit Wires(unsigned cores)
        : cores_{cores}, wires_(size_t{cores} * cores), doors_(size_t{cores} * cores) {}

    DoorLine& door(unsigned of, unsigned peer) { return doors_[size_t{of} * cores_ + peer]; }

    Wire& of(unsigned maker, unsigned peer) { return wires_[size_t{maker} * cores_ + peer]; }

    void clear() {
        for (DoorLine& line : doors_)
            line.knocked = false;
        for (Wire& wire : wires_) {
            for (Line* line : {&wire.from_maker, &wire.to_maker}) {
                line->clear();
                line->stalled_until = line->full_since = 0;
            }
        }
    }

  private:
    unsigned cores_;
    std::vector<Wire> wires_;
    std::vector<DoorLine> doors_;
};

/// A monitor's end of the channel to one peer.
struct LinkEnd {
    bool open{}, first{};
    CapSlot frame{}, bell{};
};

} // namespace sim
