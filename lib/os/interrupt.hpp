// A device interrupt as something a task waits for.
#pragma once

#include <optional>

#include "lib/async/loop.hpp"
#include "lib/os/domain.hpp"

namespace os {

/// Immovable, as the loop holds its address. Level interrupts stay masked from when they fire until
/// acknowledge().
class Interrupt {
  public:
    explicit Interrupt(Domain& domain) : domain_{domain}, event_{domain.loop()} {}

    Interrupt(const Interrupt&) = delete;

    ~Interrupt() {
        if (bit_) domain_.give_event_bit(*bit_);
    }

    /// `line` is an interrupt capability of one line. Errors: no_space, no_slots, and those of
    /// interrupt_bind.
    Result<> open(CapSlot line, abi::InterruptMode mode) {
        if (!bit_) bit_ = TRY(domain_.take_event_bit());
        const CapSlot slot = TRY(slots().take());
        bell_ = OwnedCap{slot};
        TRY_VOID(self().make_doorbell(place_of(slot), *bit_));
        domain_.loop().bind(*bit_, event_);
        line_ = {{line}};
        return line_.bind(slot, mode);
    }

    /// co_await irq.wait(): it has fired since the last time.
    async::Event::Wait wait() { return event_.wait(); }

    async::Event::Wait wait_until(Instant deadline) { return event_.wait_until(deadline); }

    Result<> acknowledge() const { return line_.acknowledge(); }

  private:
    Domain& domain_;
    async::Event event_;
    std::optional<unsigned> bit_;
    OwnedCap bell_;
    InterruptLine line_;
};

} // namespace os
