// The seam under the stack: something that takes a frame, or says that it has no room now.
#pragma once

#include <span>

#include "lib/base/bytes.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"

namespace net {

/// Which of a stack's links: 0 is the one it was created with.
struct LinkNumber : Strong<LinkNumber, uint8_t> {};

constexpr LinkNumber first_link{};

/// What a link does besides sending, so that the stack need not.
struct LinkAbilities {
    bool sums : 1 {};     // fills in the checksums of TCP and UDP over IPv4
    bool segments : 1 {}; // cuts a long TCP segment, summing up each part; only with `sums`
};

/// What is left to the link to do with a frame: nothing that it is not able to.
struct LinkWork {
    enum class Sum : uint8_t { none, tcp, udp };
    Sum sum{Sum::none};     // fill it in: the field holds the pseudo-header's sum, not inverted
    uint8_t transport_at{}; // where in the frame the header of TCP or UDP begins
    uint8_t header_bytes{}; // all headers together
    /// Not 0: cut the data into segments of so many bytes, with the headers before each: numbers
    /// and lengths as they then are, PUSH and FIN on the last. The field of IP's checksum holds 0,
    /// the pseudo-header was summed without a length.
    uint16_t segment_bytes{};
    static constexpr uint16_t least_segment = 32; // shorter ones are not worth a card's while
};

class Link {
  public:
    /// Takes one Ethernet frame without its FCS, in pieces that follow each other; what it needs
    /// it copies before it returns. Short frames are padded below. Not called re-entrantly.
    ///
    ///   errors   no_space: the ring is full; the owner calls Stack::link_ready() when it is not.
    ///            Any other error counts as sent and lost.
    virtual Result<> transmit(std::span<const Bytes> pieces, LinkWork work) = 0;

    /// Asked once, when it joins a stack.
    virtual LinkAbilities abilities() const { return {}; }

  protected:
    ~Link() = default;
};

} // namespace net
