// What a channel is given by whoever opens it: how to wake the peer, what carries capabilities, and
// who handles what arrives.
#pragma once

#include <cstdint>

#include "lib/abi/capability.hpp"
#include "lib/base/bytes.hpp"
#include "lib/base/result.hpp"
#include "lib/rpc/wire.hpp"
#include "lib/ump/endpoint.hpp"

namespace rpc {

class Channel;

/// The seam to the doorbell of the peer.
class Bell {
  public:
    virtual void ring() = 0;

  protected:
    ~Bell() = default;
};

/// The seam to what carries capabilities beside the messages of one channel.
class Capabilities {
  public:
    /// A copy of `what` goes to the peer, who asks for it by `token`. Errors: foreign, quota, busy,
    /// revoking, peer_gone.
    virtual Result<> send(uint32_t token, abi::CapSlot what) = 0;
    /// Errors: not_found (Channel::capability_arrived will be called), why it does not come.
    virtual Result<abi::CapSlot> receive(uint32_t token) = 0;
    virtual void discard(abi::CapSlot slot) = 0;

  protected:
    ~Capabilities() = default;
};

/// What generated code does with what arrives. `bytes` is good until the first suspension.
class Handler {
  public:
    /// Begins to carry it out: Channel::serve, which answers, or Channel::refuse.
    virtual void request(Channel& channel, uint16_t id, uint8_t number, Bytes bytes) = 0;
    /// Errors mean that the peer broke the protocol; but would_block: a capability that belongs to
    /// it is not there yet, and it is to be told once more.
    virtual Result<> message(Channel& channel, uint16_t number, Bytes bytes) = 0;

    /// Told once, last: all calls have ended. The channel may be destroyed here.
    virtual void closed(Channel&, Err /*reason*/) {}

  protected:
    ~Handler() = default;
};

struct Setup {
    ump::Side side;
    Bell* bell{};
    Contract contract;
    bool from_other_core{};       // worth polling
    uint32_t calls_at_a_time{16}; // of the peer's; more are not read until one has ended
    Capabilities* capabilities{}; // null: none can be sent or received
    MutableBytes frames{};        // where handlers of the peer's calls live; empty: in the loop's
};

} // namespace rpc
