// Memory for one direction of one connection, as long as it holds something: the bytes, and which
// of them are known about out of order: what came early (receiving), what the peer has beyond its
// acknowledgement (sending).
#pragma once

#include "net/byte_ring.hpp"
#include "net/tcp/ranges.hpp"

namespace net::tcp {

struct StreamBuffer {
    StreamBuffer* next_free{};
    StreamBuffer** holder{}; // the connection's pointer to it; null: it is free
    ByteRing ring;
    Ranges ranges;
    // Receiving: where the ranges reported last begin, the latest first (RFC 2018 4).
    std::array<SeqNumber, 3> reported;

    bool holds_nothing() const { return ring.empty() && ranges.empty(); }
};

} // namespace net::tcp
