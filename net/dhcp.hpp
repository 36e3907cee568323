// A DHCP client (RFC 2131) as a pure state machine: messages and time in, messages out. It asks
// for ever, more and more rarely; whether to fall back on a static address is the caller's choice.
#pragma once

#include <array>
#include <optional>

#include "lib/base/time.hpp"
#include "net/drops.hpp"
#include "net/siphash.hpp"
#include "net/socket.hpp"
#include "net/wire/dhcp.hpp"

namespace net {

class Dhcp {
  public:
    Dhcp(MacAddress mac, Random& random, Drops& drops)
        : random_{random}, drops_{drops}, mac_{mac} {}

    static constexpr uint16_t client_port = 68, server_port = 67;

    struct Message {
        Ipv4Address source, destination;
        Bytes bytes; // valid until the next call
    };

    enum class Change : uint8_t { none, bound, lost };

    void start(Instant now);

    void stop() { state_ = State::off; }

    bool running() const { return state_ != State::off; }

    /// The payload of a datagram to the client's port. Afterwards call poll().
    Change input(Bytes message, Instant now);
    /// Afterwards call poll().
    Change advance(Instant now);
    std::optional<Instant> next_deadline() const;
    /// The message that is due now; none: all is sent.
    std::optional<Message> poll(Instant now);
    /// What is in use.
    std::optional<Lease> lease() const;

  private:
    enum class State : uint8_t { off, selecting, requesting, bound, renewing, rebinding };

    struct Answer {
        wire::DhcpMessage type{};
        Lease lease;
    };

    std::optional<Answer> parse(Bytes message);
    static void read_option(Answer& answer, wire::DhcpOption kind, Bytes value);
    void enter(State state, Instant now);
    Change take(const Lease& lease, Instant now);
    Duration retry_delay();
    Duration until_renewal(Instant now, Instant limit) const;
    Bytes write(wire::DhcpMessage type);

    Random& random_;
    Drops& drops_;
    MacAddress mac_;
    State state_{State::off};
    bool due_{};      // a message is to be sent now
    uint8_t tries_{}; // in this state
    uint32_t transaction_{};
    Instant started_; // of this transaction
    Instant retry_at_;
    Instant leased_at_;
    Lease lease_; // offered or in use
    std::array<std::byte, 320> buffer_{};
};

} // namespace net
