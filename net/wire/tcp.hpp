// The TCP header (RFC 9293 3.1) and option kinds.
#pragma once

#include "lib/base/bytes.hpp"

namespace net::wire {

struct Tcp {
    static constexpr uint8_t fin = 1, syn = 2, rst = 4, psh = 8, ack = 16, urg = 32;

    Be<uint32_t> ports; // the source's above the destination's
    Be<uint32_t> sequence, acknowledgement;
    uint8_t offset; // the high four bits: header length in 32-bit words
    uint8_t flags;
    Be<uint16_t> window, checksum, urgent;

    constexpr uint16_t source() const { return uint16_t(ports >> 16); }

    constexpr uint16_t destination() const { return uint16_t(ports); }

    constexpr size_t header_bytes() const { return size_t{offset} / 16 * 4; }
};

static_assert(sizeof(Tcp) == 20 && Header<Tcp>);

/// Nearly every segment's options: timestamps alone, laid out as in RFC 7323 appendix A.
struct TcpTimestamps {
    static constexpr uint32_t usual_head = 0x0101080a; // two NOPs, kind, length

    Be<uint32_t> head, value, echo;
};

static_assert(sizeof(TcpTimestamps) == 12 && Header<TcpTimestamps>);

/// RFC 9293 3.2, RFC 7323 2.2 and 3.2, RFC 2018 2 and 3.
enum class TcpOption : uint8_t {
    end = 0,
    no_operation = 1,
    maximum_segment_size = 2,
    window_scale = 3,
    sack_permitted = 4,
    sack = 5,
    timestamps = 8
};

} // namespace net::wire
