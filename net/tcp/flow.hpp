// Who talks to whom, in the order in which an arriving header says it: what connections are found
// by, and what the pseudo-header is summed from.
#pragma once

#include <bit>

#include "net/address.hpp"
#include "net/checksum.hpp"
#include "net/wire/ipv4.hpp"

namespace net::tcp {

class Flow {
  public:
    constexpr Flow() = default;

    constexpr Flow(Endpoint local, Endpoint remote)
        : Flow{
              local.address,
              remote.address,
              uint32_t{remote.port.number()} << 16 | local.port.number()
          } {}

    /// `ports`: the first word of an arriving TCP header, remote above local.
    constexpr Flow(Ipv4Address local, Ipv4Address remote, uint32_t ports)
        : addresses_{uint64_t{remote.bits()} << 32 | local.bits()}, ports_{ports} {}

    constexpr Endpoint local() const { return {local_address(), Port{uint16_t(ports_)}}; }

    constexpr Endpoint remote() const { return {remote_address(), Port{uint16_t(ports_ >> 16)}}; }

    constexpr Ipv4Address local_address() const { return Ipv4Address{uint32_t(addresses_)}; }

    constexpr Ipv4Address remote_address() const { return Ipv4Address{uint32_t(addresses_ >> 32)}; }

    /// The first word of a header that we send.
    constexpr uint32_t ports_out() const { return std::rotl(ports_, 16); }

    /// Keyed, so that nobody outside can aim connections at one bucket: pair-multiply-shift
    /// (Thorup 2015, 3.5), universal with two secret numbers of 64 bits.
    constexpr uint32_t hash(uint64_t first_key, uint64_t second_key) const {
        const uint64_t ours = (addresses_ << 32 | ports_) + second_key;
        return uint32_t(((addresses_ >> 32) + first_key) * ours >> 32);
    }

    /// Sum of the pseudo-header (RFC 9293 3.1) of a segment of `bytes` bytes, either way.
    constexpr uint64_t pseudo_sum(size_t bytes) const {
        constexpr uint64_t protocol = std::to_underlying(wire::Protocol::tcp) << 8;
        return add_carry(std::byteswap(addresses_), std::byteswap(uint16_t(bytes)) + protocol);
    }

    friend constexpr bool operator==(const Flow&, const Flow&) = default;

  private:
    uint64_t addresses_{};
    uint32_t ports_{};
};

} // namespace net::tcp
