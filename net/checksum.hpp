// The Internet checksum (RFC 1071), eight bytes at a load; pieces may follow each other at any
// length, as the payload of a segment may wrap around a ring.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/base/bytes.hpp"
#include "net/address.hpp"

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
    return sum.finish() == 0;
}

} // namespace net
