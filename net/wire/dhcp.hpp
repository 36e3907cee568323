// The DHCP message (RFC 2131 2) and the options that the client uses (RFC 2132).
#pragma once

#include <array>

#include "lib/base/bytes.hpp"
#include "net/address.hpp"

namespace net::wire {

struct Dhcp {
    static constexpr uint8_t request = 1, reply = 2;
    static constexpr uint16_t broadcast_flag = 0x8000;
    static constexpr uint32_t magic = 0x6382'5363;

    uint8_t operation, hardware_type, hardware_length, hops;
    Be<uint32_t> transaction;
    Be<uint16_t> seconds, flags;
    Be<uint32_t> client, yours, server, relay;
    MacAddress hardware_address;
    std::array<std::byte, 10> padding;
    std::array<std::byte, 64> server_name;
    std::array<std::byte, 128> file;
    Be<uint32_t> cookie;
};

static_assert(sizeof(Dhcp) == 240 && Header<Dhcp>);

enum class DhcpOption : uint8_t {
    pad = 0,
    subnet_mask = 1,
    router = 3,
    dns = 6,
    requested_address = 50,
    lease_time = 51,
    message_type = 53,
    server_identifier = 54,
    parameter_list = 55,
    renewal_time = 58,
    rebinding_time = 59,
    end = 255
};

enum class DhcpMessage : uint8_t {
    discover = 1,
    offer = 2,
    request = 3,
    decline = 4,
    ack = 5,
    nak = 6,
    release = 7
};

} // namespace net::wire
