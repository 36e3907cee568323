// ARP for IPv4 over Ethernet (RFC 826).
#pragma once

#include "lib/base/bytes.hpp"
#include "net/address.hpp"

namespace net::wire {

struct Arp {
    static constexpr uint16_t request = 1, reply = 2;

    Be<uint16_t> hardware_type; // 1: Ethernet
    Be<uint16_t> protocol_type; // as an Ethernet type
    uint8_t hardware_length;
    uint8_t protocol_length;
    Be<uint16_t> operation;
    MacAddress sender_mac;
    Be<uint32_t> sender;
    MacAddress target_mac;
    Be<uint32_t> target;
};

static_assert(sizeof(Arp) == 28 && Header<Arp>);

} // namespace net::wire
