// The UDP header (RFC 768).
#pragma once

#include "lib/base/bytes.hpp"

namespace net::wire {

struct Udp {
    Be<uint16_t> source, destination, length, checksum;
};

static_assert(sizeof(Udp) == 8 && Header<Udp>);

} // namespace net::wire
