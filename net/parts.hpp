// Everything inside a Stack, and the one place where the protocols meet.
#pragma once

#include "net/arp.hpp"
#include "net/dhcp.hpp"
#include "net/forward.hpp"
#include "net/icmp.hpp"
#include "net/ip.hpp"
#include "net/ping.hpp"
#include "net/raw.hpp"
#include "net/stack.hpp"
#include "net/tcp/engine.hpp"
#include "net/udp.hpp"

namespace net {

struct Parts {
    enum class LeaseNews : uint8_t { none, taken, lost };

    Parts(Arena& arena, const Config& given, Link& link, Events& listener, Instant now);

    static size_t memory_needed(const Config& config);

    void receive_frame(Bytes frame, Interface& in, bool sums_checked, Instant now);
    void
    receive_packet(Bytes bytes, Interface& in, Arrival arrival, bool sums_checked, Instant now);
    void receive_udp(const Ipv4Packet& packet, Instant now);
    void receive_icmp(const Ipv4Packet& packet, Instant now);
    /// An ICMP error, or our own ARP, about a packet of ours.
    void pass_on(const Trouble& trouble, Instant now);
    void follow_dhcp(Dhcp::Change change, Instant now);
    /// ARP gave up a packet.
    void undelivered(Bytes packet, Instant now);
    Result<> set_address(Ipv4Prefix address, LinkNumber on);
    std::optional<Instant> next_deadline() const;
    void advance(Instant now);
    void settle(Instant now);

    const Config config;
    Events& events;
    Drops drops;
    Counters counters;
    NewsQueue news;
    Random random;
    Interfaces interfaces;
    Arp arp;
    Ip ip;
    Icmp icmp;
    Forwarder forwarder;
    Udp udp;
    Ping ping;
    Raw raw;
    tcp::Engine tcp;
    Dhcp dhcp;
    Stack stack;
    LeaseNews lease_news{LeaseNews::none};
    bool settling{};
};

} // namespace net
