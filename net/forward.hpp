// What a router does with packets for others (RFC 1812 5.2 and 5.3): one hop further along the
// longest prefix, or an ICMP error to who sent it. Nothing is put together, nothing is looked into.
#pragma once

#include <array>
#include <cstdint>

#include "net/icmp.hpp"

namespace net {

class Forwarder {
  public:
    Forwarder(
        Interfaces& interfaces, Arp& arp, Ip& ip, Icmp& icmp, Drops& drops, Counters& counters
    )
        : interfaces_{interfaces}, arp_{arp}, ip_{ip}, icmp_{icmp}, drops_{drops},
          counters_{counters} {}

    bool on() const { return on_; }

    void set_on(bool on) { on_ = on; }

    /// A packet that is not for us, its header checked.
    void forward(const Ipv4Packet& packet, const Interface& in, Instant now);

    /// One that was on its way out, from its IPv4 header on: the next station does not answer.
    void unreachable(Bytes packet, Instant now);

  private:
    /// Where the packets of late went. By address, so that a train looks its way up once.
    struct Recent {
        Ipv4Address destination;
        Way way;
    };

    Recent* find_way(Ipv4Address destination);
    void redirect(const Ipv4Packet& packet, const Interface& in, const Way& way, Instant now);
    void pass_on(const Ipv4Packet& packet, Way& way, Instant now);
    void cut(const Ipv4Packet& packet, Way& way, Instant now);
    void transmit(const Ipv4Packet& packet, Bytes header, Bytes payload, Way& way, Instant now);
    void
    refuse(uint8_t type, uint8_t code, const Ipv4Packet& packet, Instant now, uint16_t mtu = 0);
    static bool may_be_told(const Ipv4Packet& packet);

    static constexpr size_t recent_ways = 64;

    Interfaces& interfaces_;
    Arp& arp_;
    Ip& ip_;
    Icmp& icmp_;
    Drops& drops_;
    Counters& counters_;
    std::array<Recent, recent_ways> recent_{};
    bool on_{};
};

} // namespace net
