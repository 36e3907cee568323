// Ethernet II (IEEE 802.3 3.2), without preamble and FCS.
#pragma once

#include "lib/base/bytes.hpp"
#include "net/address.hpp"

namespace net::wire {

enum class EtherType : uint16_t { ipv4 = 0x0800, arp = 0x0806 };

struct Ethernet {
    MacAddress destination, source;
    Be<uint16_t> type;
};

static_assert(sizeof(Ethernet) == 14 && Header<Ethernet>);

} // namespace net::wire
