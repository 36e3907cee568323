// The IPv4 header (RFC 791 3.1).
#pragma once

#include "lib/base/bytes.hpp"
#include "net/address.hpp"

namespace net::wire {

enum class Protocol : uint8_t { icmp = 1, tcp = 6, udp = 17 };

struct Ipv4 {
    static constexpr uint16_t dont_fragment = 0x4000, more_fragments = 0x2000;
    static constexpr uint16_t offset_mask = 0x1fff;

    uint8_t version_and_length; // length in 32-bit words
    uint8_t type_of_service;
    Be<uint16_t> total_length;
    Be<uint16_t> identification;
    Be<uint16_t> fragment; // flags, and the offset in 8-byte blocks
    uint8_t time_to_live;
    uint8_t protocol;
    Be<uint16_t> checksum;
    Be<uint32_t> source, destination;

    constexpr uint8_t version() const { return version_and_length >> 4; }

    constexpr size_t header_bytes() const { return size_t(version_and_length & 0xf) * 4; }

    constexpr bool is_fragment() const { return (fragment & (more_fragments | offset_mask)) != 0; }

    constexpr size_t offset_bytes() const { return size_t(fragment & offset_mask) * 8; }

    constexpr bool has_more() const { return (fragment & more_fragments) != 0; }
};

static_assert(sizeof(Ipv4) == 20 && Header<Ipv4>);

/// RFC 791 3.1, "options": each fragment has those with this bit.
constexpr uint8_t option_copied = 0x80;

enum class Ipv4Option : uint8_t {
    end = 0,
    no_operation = 1,
    loose_source_route = 131,
    strict_source_route = 137
};

} // namespace net::wire
