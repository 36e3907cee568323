// A TCP segment as it comes in: checked once, then passed on by value of its fields.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "lib/base/bytes.hpp"
#include "net/address.hpp"
#include "net/drops.hpp"
#include "net/ip.hpp"
#include "net/tcp/sequence.hpp"
#include "net/wire/tcp.hpp"

namespace net::tcp {

/// Control bits (RFC 9293 3.1).
class Flags {
  public:
    constexpr Flags() = default;

    constexpr explicit Flags(uint8_t bits) : bits_{bits} {}

    constexpr bool fin() const { return (bits_ & wire::Tcp::fin) != 0; }

    constexpr bool syn() const { return (bits_ & wire::Tcp::syn) != 0; }

    constexpr bool rst() const { return (bits_ & wire::Tcp::rst) != 0; }

    constexpr bool ack() const { return (bits_ & wire::Tcp::ack) != 0; }

    constexpr bool urg() const { return (bits_ & wire::Tcp::urg) != 0; }

    constexpr uint8_t bits() const { return bits_; }

    constexpr Flags without(uint8_t bits) const { return Flags{uint8_t(bits_ & ~bits)}; }

  private:
    uint8_t bits_{};
};

/// What the options said; absent ones keep their defaults.
struct Options {
    static constexpr uint16_t default_mss_bytes = 536; // RFC 9293 3.7.1

    std::optional<uint16_t> mss_bytes;
    std::optional<uint8_t> window_scale;
    bool sack_permitted{};
    bool has_timestamps{};
    uint32_t timestamp_value{}, timestamp_echo{};
    Bytes sack; // blocks as they came, of two numbers each (RFC 2018 3)
};

struct Segment {
    Endpoint from{}, to{};
    SeqNumber sequence{}, acknowledgement{};
    Flags flags{};
    uint16_t window{};
    uint16_t urgent{}; // the octet after the urgent data, from `sequence` (RFC 9293 3.8.5)
    Options options{};
    Bytes data{};

    /// Fills this from a packet after checking lengths, checksum, flags and options. A reason:
    /// it is no segment.
    std::optional<Drop> read(const Ipv4Packet& packet);

    /// In sequence space (RFC 9293 3.4).
    uint32_t length() const {
        return uint32_t(data.size()) + (flags.syn() ? 1 : 0) + (flags.fin() ? 1 : 0);
    }

    SeqNumber end() const { return sequence + length(); }
};

/// errors   malformed: a length that leaves the options
Result<Options> parse_options(Bytes options);

} // namespace net::tcp
