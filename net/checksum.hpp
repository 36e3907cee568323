// The Internet checksum (RFC 1071), eight bytes at a load; pieces may follow each other at any
// length, as the payload of a segment may wrap around a ring.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/base/bytes.hpp"
#include "net/address.hpp"
#include "net/wire/ipv4.hpp"

namespace net {

class Checksum {
  public:
    /// Sums in memory order; the byte order of the result comes right by symmetry (RFC 1071 2B).
    void add(Bytes bytes);

    /// The pseudo-header of UDP and TCP (RFC 768, RFC 9293 3.1).
    void add_pseudo(Ipv4Address source, Ipv4Address destination, uint8_t protocol, size_t length) {
        sum_ += uint64_t{source.bits() >> 16} + (source.bits() & 0xffff);
        sum_ += uint64_t{destination.bits() >> 16} + (destination.bits() & 0xffff);
        sum_ += uint64_t{protocol} + length;
    }

    /// Over data that contain a checksum: is it right? That is so when the sum is zero, and the
    /// zero of one's complement that is not all bits clear is all bits set (RFC 1071 1).
    bool holds() const { return sum_ % 0xffff == 0 && sum_ != 0; }

    /// For the header field, host order. Zero over data that contain a right checksum.
    uint16_t finish() const {
        uint64_t sum = sum_;
        while (sum >> 16 != 0)
            sum = (sum & 0xffff) + (sum >> 16);
        return uint16_t(~sum);
    }

  private:
    uint64_t sum_{}; // of 16-bit words in host order, carries not yet folded
    bool odd_{};     // the bytes so far end in the middle of a word
};

inline bool checksum_holds(Bytes bytes) {
    Checksum sum;
    sum.add(bytes);
    return sum.holds();
}

/// Of an IPv4 header without options, in memory order: five loads.
constexpr uint64_t sum_of(const wire::Ipv4& header) {
    const auto words = std::bit_cast<std::array<uint32_t, 5>>(header);
    uint64_t sum = 0;
    for (const uint32_t word : words)
        sum += word;
    return sum;
}

constexpr bool checksum_holds(const wire::Ipv4& header) {
    return sum_of(header) % 0xffff == 0; // never zero, as the version is not
}

/// For its field, which is zero so far.
constexpr uint16_t checksum_of(const wire::Ipv4& header) {
    const uint64_t sum = sum_of(header);
    uint32_t folded = uint32_t(sum & 0xffff'ffff) % 0xffff + uint32_t(sum >> 32);
    folded = (folded & 0xffff) + (folded >> 16);
    return std::byteswap(uint16_t(~folded));
}

} // namespace net
