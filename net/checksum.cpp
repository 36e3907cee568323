#include "net/checksum.hpp"

#include <bit>

namespace net {
namespace {

template <class T>
T load(const std::byte* at) {
    T value;
    __builtin_memcpy(&value, at, sizeof value);
    return value;
}

/// One's-complement addition: the carry comes back in at the bottom.
uint64_t add_carry(uint64_t a, uint64_t b) {
    const uint64_t sum = a + b;
    return sum + (sum < a ? 1 : 0);
}

uint16_t fold(uint64_t sum) {
    sum = (sum & 0xffff'ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return uint16_t((sum & 0xffff) + (sum >> 16));
}

/// Little-endian sum of the bytes, as if the first were at an even place.
uint16_t sum_of(Bytes bytes) {
    const std::byte* at = bytes.data();
    size_t left = bytes.size();
    uint64_t sum = 0;
    for (; left >= 32; left -= 32, at += 32) {
        sum = add_carry(sum, load<uint64_t>(at));
        sum = add_carry(sum, load<uint64_t>(at + 8));
        sum = add_carry(sum, load<uint64_t>(at + 16));
        sum = add_carry(sum, load<uint64_t>(at + 24));
    }
    for (; left >= 8; left -= 8, at += 8)
        sum = add_carry(sum, load<uint64_t>(at));
    for (; left >= 2; left -= 2, at += 2)
        sum = add_carry(sum, load<uint16_t>(at));
    if (left != 0) sum = add_carry(sum, std::to_integer<uint64_t>(*at));
    return fold(sum);
}

} // namespace

void Checksum::add(Bytes bytes) {
    if (bytes.empty()) return;
    const uint16_t little = sum_of(bytes);
    // Bytes that start at an odd place have changed roles: high is low (RFC 1071 2B).
    sum_ += odd_ ? little : std::byteswap(little);
    odd_ ^= (bytes.size() & 1) != 0;
}

} // namespace net
