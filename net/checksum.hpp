// The Internet checksum (RFC 1071), summed as the words lie in memory: the result is right in that
// order too, whatever the machine's is (section 2B). Pieces may follow each other at any length, as
// the payload of a segment may wrap around a ring.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "lib/base/bytes.hpp"
#include "net/address.hpp"

namespace net {

/// What lies at `at`, of any alignment.
template <class T>
T load(const std::byte* at) {
    T value;
    __builtin_memcpy(&value, at, sizeof value);
    return value;
}

/// One's-complement addition: the carry comes back in at the bottom.
constexpr uint64_t add_carry(uint64_t a, uint64_t b) {
    const uint64_t sum = a + b;
    return sum + (sum < a ? 1 : 0);
}

/// Sum of words one after another, the carry of each going into the next.
template <size_t words>
[[gnu::always_inline]] inline uint64_t sum_of_words(uint64_t sum, const std::byte* at) {
    unsigned long long carry = 0;
    for (size_t i = 0; i < words; ++i)
        sum = __builtin_addcll(sum, load<uint64_t>(at + 8 * i), carry, &carry);
    sum = __builtin_addcll(sum, 0, carry, &carry);
    return sum + carry;
}

/// Of at most 16 bits, as if the first byte were at an even place.
uint16_t sum_of(Bytes bytes);

/// To 16 bits: a word plus itself turned by half has the folded sum in its upper half.
constexpr uint16_t fold(uint64_t sum) {
    const uint32_t half = uint32_t((sum + std::rotl(sum, 32)) >> 32);
    return uint16_t((half + std::rotl(half, 16)) >> 16);
}

class Checksum {
  public:
    constexpr Checksum() = default;

    /// Goes on from a sum in memory order.
    constexpr explicit Checksum(uint64_t sum) : sum_{sum} {}

    void add(Bytes bytes) {
        if (bytes.empty()) return;
        const uint16_t sum = sum_of(bytes);
        // Bytes that start at an odd place have changed roles: high is low (RFC 1071 2B).
        add_sum(odd_ ? std::byteswap(sum) : sum);
        odd_ ^= (bytes.size() & 1) != 0;
    }

    /// A sum of bytes from an even place on.
    constexpr void add_sum(uint64_t sum) { sum_ = add_carry(sum_, sum); }

    /// A number of 16 bits in the host's order.
    constexpr void add_number(size_t number) {
        sum_ = add_carry(sum_, std::byteswap(uint16_t(number)));
    }

    /// The pseudo-header of UDP and TCP without the length (RFC 768, RFC 9293 3.1).
    static constexpr uint64_t pseudo(Ipv4Address a, Ipv4Address b, uint8_t protocol) {
        const uint64_t addresses = uint64_t{std::byteswap(a.bits())} + std::byteswap(b.bits());
        return addresses + (uint32_t{protocol} << 8);
    }

    void add_pseudo(Ipv4Address source, Ipv4Address destination, uint8_t protocol, size_t length) {
        sum_ = add_carry(sum_, pseudo(source, destination, protocol));
        add_number(length);
    }

    /// Over data that contain a checksum: is it right? That is so when the sum is zero, and the
    /// zero of one's complement that is not all bits clear is all bits set (RFC 1071 1).
    constexpr bool holds() const {
        // A multiple of 65,535, as its product with the inverse tells without a division (Granlund
        // and Montgomery 1994, section 9).
        constexpr uint64_t inverse = 0xfffe'fffe'fffe'ffff;
        static_assert(inverse * 0xffff == 1);
        return sum_ * inverse <= ~uint64_t{0} / 0xffff && sum_ != 0;
    }

    /// For the header field.
    constexpr uint16_t finish() const { return std::byteswap(uint16_t(~fold(sum_))); }

    /// The same for who goes on summing: not inverted.
    constexpr uint16_t so_far() const { return std::byteswap(fold(sum_)); }

  private:
    uint64_t sum_{}; // of words of 16 to 64 bits, carries folded in
    bool odd_{};     // the bytes so far end in the middle of a word
};

inline bool checksum_holds(Bytes bytes) {
    Checksum sum;
    sum.add(bytes);
    return sum.holds();
}

} // namespace net
