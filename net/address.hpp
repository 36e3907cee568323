// Addresses as types: a port is not a length, and an IPv4 address is a number only on request.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>

#include "lib/base/bytes.hpp"

namespace net {

class MacAddress {
  public:
    constexpr MacAddress() = default;

    constexpr explicit MacAddress(std::array<uint8_t, 6> octets) : octets_{octets} {}

    static constexpr MacAddress broadcast() {
        return MacAddress{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    }

    /// Broadcast counts as a group (IEEE 802: the low bit of the first octet).
    constexpr bool is_group() const { return (octets_[0] & 1) != 0; }

    constexpr bool is_zero() const { return *this == MacAddress{}; }

    constexpr const std::array<uint8_t, 6>& octets() const { return octets_; }

    friend constexpr bool operator==(const MacAddress& a, const MacAddress& b) {
        return a.number() == b.number(); // two loads, where an array means a call
    }

  private:
    constexpr uint64_t number() const {
        uint64_t sum = 0;
        for (size_t i = 0; i < octets_.size(); ++i)
            sum |= uint64_t{octets_[i]} << (8 * i);
        return sum;
    }

    std::array<uint8_t, 6> octets_{};
};

static_assert(sizeof(MacAddress) == 6 && alignof(MacAddress) == 1);

/// An IPv4 address; `bits()` is in host order, so 10.0.2.15 is 0x0a00020f.
class Ipv4Address {
  public:
    constexpr Ipv4Address() = default;

    constexpr explicit Ipv4Address(uint32_t bits) : bits_{bits} {}

    constexpr Ipv4Address(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
        : bits_{uint32_t{a} << 24 | uint32_t{b} << 16 | uint32_t{c} << 8 | d} {}

    constexpr explicit Ipv4Address(const std::array<uint8_t, 4>& octets)
        : Ipv4Address{octets[0], octets[1], octets[2], octets[3]} {}

    constexpr uint32_t bits() const { return bits_; }

    /// In the order in which they are written and sent.
    constexpr std::array<uint8_t, 4> octets() const {
        const auto octet = [this](unsigned shift) { return static_cast<uint8_t>(bits_ >> shift); };
        return {octet(24), octet(16), octet(8), octet(0)};
    }

    constexpr bool is_any() const { return bits_ == 0; }

    constexpr bool is_limited_broadcast() const { return bits_ == 0xffff'ffff; }

    constexpr bool is_multicast() const { return bits_ >> 28 == 0xe; }

    constexpr bool is_loopback() const { return bits_ >> 24 == 127; }

    /// Neither this network (0/8), loopback, multicast, nor class E and broadcast (RFC
    /// 1122 3.2.1.3).
    constexpr bool is_plain_unicast() const {
        return bits_ >> 24 != 0 && !is_loopback() && bits_ >> 28 < 0xe;
    }

    friend constexpr bool operator==(Ipv4Address, Ipv4Address) = default;

  private:
    uint32_t bits_{};
};

constexpr Ipv4Address ipv4_any{};
constexpr Ipv4Address ipv4_broadcast{0xffff'ffffu};

/// An address with its network: 10.0.2.15/24.
struct Ipv4Prefix {
    Ipv4Address address;
    uint8_t length{};

    constexpr uint32_t mask() const { return length == 0 ? 0 : ~uint32_t{0} << (32 - length); }

    constexpr bool contains(Ipv4Address other) const {
        return ((address.bits() ^ other.bits()) & mask()) == 0;
    }

    constexpr Ipv4Address network() const { return Ipv4Address{address.bits() & mask()}; }

    /// The directed broadcast; /31 and /32 have none (RFC 3021).
    constexpr bool is_broadcast(Ipv4Address other) const {
        return length < 31 && other.bits() == (address.bits() | ~mask());
    }

    friend constexpr bool operator==(Ipv4Prefix, Ipv4Prefix) = default;
};

class Port {
  public:
    constexpr Port() = default;

    constexpr explicit Port(uint16_t number) : number_{number} {}

    constexpr uint16_t number() const { return number_; }

    constexpr bool is_any() const { return number_ == 0; }

    friend constexpr bool operator==(Port, Port) = default;

  private:
    uint16_t number_{};
};

struct Endpoint {
    Ipv4Address address;
    Port port;
    friend constexpr bool operator==(Endpoint, Endpoint) = default;
};

} // namespace net
