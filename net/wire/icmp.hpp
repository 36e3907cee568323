// ICMP (RFC 792), types and codes with RFC 1122 3.2.2.
#pragma once

#include "lib/base/bytes.hpp"

namespace net::wire {

struct Icmp {
    static constexpr uint8_t echo_reply = 0, unreachable = 3, redirect = 5, echo_request = 8,
                             time_exceeded = 11, parameter_problem = 12;
    static constexpr uint8_t net_unreachable = 0, host_unreachable = 1, protocol_unreachable = 2,
                             port_unreachable = 3, fragmentation_needed = 4;
    static constexpr uint8_t transit_exceeded = 0, reassembly_exceeded = 1;
    static constexpr uint8_t redirect_host = 1;

    /// Of the types that ask or answer, not of those that complain (RFC 1122 3.2.2).
    static constexpr bool is_query(uint8_t type) {
        return type == echo_reply || type == echo_request || (type >= 13 && type <= 18);
    }

    uint8_t type, code;
    Be<uint16_t> checksum;
    Be<uint16_t> first, second; // echo: identifier, sequence; errors: unused
};

static_assert(sizeof(Icmp) == 8 && Header<Icmp>);

} // namespace net::wire
