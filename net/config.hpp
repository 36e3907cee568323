// What the owner of a stack decides once: its address on the link, how much memory goes to what,
// and the few times that the RFCs leave to the host.
#pragma once

#include <array>
#include <cstdint>

#include "lib/base/time.hpp"
#include "net/address.hpp"

namespace net {

namespace tcp {

class CongestionControl;

}

struct Config {
    MacAddress mac;
    uint16_t mtu_bytes = 1500;            // of IP in a frame, 576..9000
    std::array<uint64_t, 2> secret{1, 1}; // keys sequence numbers, ports, hashes: from real entropy

    // How many of each; the memory follows from them (Stack::memory_needed).
    uint16_t connections = 512;           // control blocks, about 512 bytes each
    uint32_t stream_buffer_bytes = 65536; // to which one may grow; a power of two, 2 KiB..4 MiB
    size_t stream_memory_bytes = 1 << 24; // of all together; who holds nothing has none of it
    uint16_t listeners = 32;
    uint16_t datagram_sockets = 16;
    uint32_t datagram_buffer_bytes = 131072; // receive queue of each; a power of two
    uint16_t ping_sockets = 4;
    uint16_t raw_sockets = 0;   // a queue like a datagram socket's each
    uint16_t neighbours = 64;   // ARP cache
    uint16_t held_packets = 16; // waiting for ARP, all neighbours together
    uint16_t routes = 16;
    uint16_t reassemblies = 8;      // incomplete datagrams, 64 KiB each
    uint16_t loopback_packets = 64; // sent to ourselves, not yet received

    const tcp::CongestionControl* congestion_control{}; // none: CUBIC

    Duration minimum_rto = milliseconds(200); // RFC 6298 2.4 says 1 s; Linux's practice
    Duration delayed_ack = milliseconds(40);  // RFC 9293 3.8.6.3: below 500 ms
    Duration time_wait = seconds(60);         // 2 MSL
    Duration give_up = seconds(180);          // R2 of RFC 9293 3.8.3
    uint32_t icmp_errors_per_second = 100;    // token bucket, RFC 1812 4.3.2.8
};

} // namespace net
