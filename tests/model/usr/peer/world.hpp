// The other machine: a card, a stack and a clock, driven by whoever waits for something. What it
// does while it waits is not counted, so it may look as often as it likes.
#pragma once

#include <array>

#include "lib/os/memory.hpp"
#include "net/stack.hpp"
#include "tests/model/usr/peer/card.hpp"

namespace peer {

class World final : public net::Events {
  public:
    /// Errors: those of the card; quota.
    Result<> open(os::Domain& self, net::Ipv4Prefix address);

    net::Stack& stack() { return *stack_; }

    Instant now() const { return os::now(); }

    /// Frames and timers are served until `holds`, or the time has come. Errors: timed_out.
    template <class Condition>
    Result<> until(Condition&& holds, Duration patience) {
        const Instant deadline = now() + patience;
        while (!holds()) {
            if (now() >= deadline) return fail(Err::timed_out);
            serve();
        }
        return {};
    }

    /// For so long what comes is served; with nothing to do this core sleeps, as all then may.
    void rest(Duration time);

    // --- net::Events: whoever waits asks the stack itself
    void socket_event(net::SocketId, uint64_t, net::EventSet) override {}

    void lease_changed(const net::Lease*) override {}

  private:
    void serve();

    Card card_;
    std::optional<os::Memory> memory_;
    net::Stack* stack_{};
};

} // namespace peer
