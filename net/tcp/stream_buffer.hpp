// Memory for one direction of one connection: the bytes, and which of them are known about out of
// order: what came early (receiving), what the peer has beyond its acknowledgement (sending).
#pragma once

#include "net/byte_ring.hpp"
#include "net/tcp/ranges.hpp"

namespace net::tcp {

struct StreamBuffer {
    StreamBuffer* next_free{};
    ByteRing ring;
    Ranges ranges;
    // Receiving: where the ranges reported last begin, the latest first (RFC 2018 4).
    std::array<SeqNumber, 3> reported;
};

} // namespace net::tcp
