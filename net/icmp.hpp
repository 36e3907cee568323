// ICMP (RFC 792, RFC 1122 3.2.2): answers echoes, reports errors at a limited rate with a
// faithful quote, and takes in what others report about our packets.
#pragma once

#include <optional>

#include "net/ip.hpp"
#include "net/token_bucket.hpp"
#include "net/wire/icmp.hpp"

namespace net {

/// What went wrong with a packet of ours, by an ICMP error or our own ARP.
struct Trouble {
    Err error{};
    bool hard{}; // RFC 1122 4.2.3.9: may end a connection attempt
    Ipv4Address reporter{};
    Ipv4Address source{}, destination{}; // of our packet
    uint8_t protocol{};
    uint16_t mtu_bytes{}; // with message_too_long: what the next link takes; 0: not said
    Bytes transport{};    // the quoted bytes after our IP header, at least 8
};

class Icmp {
  public:
    Icmp(const Config& config, Ip& ip, Drops& drops, Counters& counters, Instant now)
        : ip_{ip}, drops_{drops}, counters_{counters}, errors_{config.icmp_errors_per_second, now} {
    }

    struct EchoReply {
        uint16_t identifier, sequence;
        size_t bytes;
    };

    /// What a message means to somebody above; both none: it was handled or dropped here.
    struct Meaning {
        std::optional<Trouble> trouble;
        std::optional<EchoReply> reply;
    };

    Meaning input(const Ipv4Packet& packet, Instant now);

    /// Tells the sender of `about` that it did not arrive. Never about errors, broadcasts, or
    /// what came from nowhere (RFC 1122 3.2.2).
    void send_unreachable(uint8_t code, const Ipv4Packet& about, Instant now) {
        send_error(wire::Icmp::unreachable, code, about, now);
    }

    /// The same for who sent `about` through us. `mtu` goes with fragmentation_needed.
    void
    send_error(uint8_t type, uint8_t code, const Ipv4Packet& about, Instant now, uint16_t mtu = 0) {
        report(
            {.type = type, .code = code, .checksum = {}, .first = {}, .second = mtu}, about, now
        );
    }

    /// Tells the sender of `about` that `gateway` is nearer to where it goes.
    void send_redirect(Ipv4Address gateway, const Ipv4Packet& about, Instant now) {
        report(
            {.type = wire::Icmp::redirect,
             .code = wire::Icmp::redirect_host,
             .checksum = {},
             .first = uint16_t(gateway.bits() >> 16),
             .second = uint16_t(gateway.bits())},
            about,
            now
        );
    }

    void send_time_exceeded(uint8_t code, const Ipv4Packet& about, Instant now) {
        send_error(wire::Icmp::time_exceeded, code, about, now);
    }

    /// errors   as Ip::output
    Result<> send_echo(
        Ipv4Address source,
        Ipv4Address to,
        uint16_t identifier,
        uint16_t sequence,
        Bytes payload,
        Instant now
    );

    /// Of a packet of ours that an ICMP error quotes, or that ARP gave up.
    static std::optional<Trouble> read_quote(Bytes quote);

  private:
    void answer_echo(const Ipv4Packet& packet, const wire::Icmp& icmp, Bytes payload, Instant now);
    std::optional<Trouble>
    read_error(const Ipv4Packet& packet, const wire::Icmp& icmp, Bytes quote);
    void report(const wire::Icmp& what, const Ipv4Packet& about, Instant now);
    static void seal(OutPacket& packet, wire::Icmp icmp);

    Ip& ip_;
    Drops& drops_;
    Counters& counters_;
    TokenBucket errors_;
};

} // namespace net
