#include "net/parts.hpp"

#include "net/checksum.hpp"
#include "net/wire/ethernet.hpp"

namespace net {

Parts::Parts(Arena& arena, const Config& given, Link& link, Events& listener, Instant now)
    : config{given}, events{listener}, random{given.secret},
      interfaces{given.mac, given.mtu_bytes, link, counters},
      arp{arena, config, interfaces, drops, counters},
      ip{arena, config, interfaces, arp, random, drops, counters},
      icmp{config, ip, drops, counters, now}, forwarder{interfaces, arp, ip, icmp, drops, counters},
      udp{arena, config, ip, news, random, drops, counters},
      ping{arena, config, ip, icmp, news, random, drops},
      raw{arena, config, ip, interfaces, news, drops},
      tcp{arena, config, ip, news, random, drops, counters, now}, dhcp{given.mac, random, drops},
      stack{*this} {}

namespace {

struct NowhereLink final : Link {
    Result<> transmit(std::span<const Bytes>, LinkWork) override { return {}; }
};

struct NoListener final : Events {
    void socket_event(SocketId, uint64_t, EventSet) override {}

    void lease_changed(const Lease*) override {}
};

} // namespace

/// By a rehearsal without memory: the arena only counts.
size_t Parts::memory_needed(const Config& config) {
    NowhereLink link;
    NoListener listener;
    Arena arena{{}};
    arena.bytes(sizeof(Parts));
    const Parts rehearsal{arena, config, link, listener, Instant{}};
    return arena.used() + 64; // the memory may begin anywhere in a line
}

// --- From frame to socket, in one pass

void Parts::receive_frame(Bytes frame, Interface& in, bool sums_checked, Instant now) {
    ++counters.frames_in;
    if (raw.any()) [[unlikely]]
        raw.deliver_frame(frame, in.number());
    const auto header = peel<wire::Ethernet>(frame);
    if (!header) return drops.count(Drop::ethernet_truncated);
    if (header->source.is_group() || header->source == in.mac()) {
        return drops.count(Drop::ethernet_bad_source);
    }
    const bool broadcast = header->destination == MacAddress::broadcast();
    if (!broadcast && !(header->destination == in.mac())) {
        return drops.count(Drop::ethernet_other_mac);
    }
    switch (wire::EtherType(uint16_t(header->type))) {
    case wire::EtherType::ipv4:
        return receive_packet(
            frame, in, broadcast ? Arrival::link_broadcast : Arrival::unicast, sums_checked, now
        );
    case wire::EtherType::arp: return arp.input(frame, in, now);
    default: drops.count(Drop::ethernet_unknown_type);
    }
}

void Parts::receive_packet(
    Bytes bytes, Interface& in, Arrival arrival, bool sums_checked, Instant now
) {
    Ipv4Packet packet;
    if (const Verdict verdict = ip.input(bytes, in, arrival, sums_checked, now, packet);
        verdict != Verdict::ours) {
        if (verdict == Verdict::for_others) forwarder.forward(packet, in, now);
        return;
    }
    const bool taken = raw.any() && raw.deliver_packet(packet);
    switch (wire::Protocol(packet.protocol)) {
    case wire::Protocol::tcp: return tcp.input(packet, now);
    case wire::Protocol::udp: return receive_udp(packet, now);
    case wire::Protocol::icmp: return receive_icmp(packet, now);
    default:
        if (taken) return;
        drops.count(Drop::ip_unknown_protocol);
        icmp.send_unreachable(wire::Icmp::protocol_unreachable, packet, now);
    }
}

void Parts::receive_udp(const Ipv4Packet& packet, Instant now) {
    const auto datagram = udp.parse(packet);
    if (!datagram) return;
    if (dhcp.running() && datagram->to.port.number() == Dhcp::client_port) {
        const auto change = dhcp.input(datagram->payload, now);
        return follow_dhcp(change, now);
    }
    if (!udp.deliver(*datagram)) {
        icmp.send_unreachable(wire::Icmp::port_unreachable, packet, now);
    }
}

void Parts::receive_icmp(const Ipv4Packet& packet, Instant now) {
    const auto meaning = icmp.input(packet, now);
    if (meaning.reply) ping.reply(packet, *meaning.reply, now);
    if (meaning.trouble) pass_on(*meaning.trouble, now);
}

void Parts::pass_on(const Trouble& trouble, Instant now) {
    switch (wire::Protocol(trouble.protocol)) {
    case wire::Protocol::tcp: return tcp.trouble(trouble, now);
    case wire::Protocol::udp: return udp.trouble(trouble);
    case wire::Protocol::icmp: return ping.trouble(trouble, now);
    default: drops.count(Drop::icmp_bad_quote);
    }
}

// --- DHCP

void Parts::follow_dhcp(Dhcp::Change change, Instant now) {
    if (change == Dhcp::Change::bound) {
        const Lease lease = *dhcp.lease();
        const bool is_renewal = interfaces.first().address() == lease.address;
        // No room for the route to the own network: then there is none for the default route.
        if (!is_renewal && !set_address(lease.address, first_link)) drops.count(Drop::ip_no_route);
        if (!lease.router.is_any()) {
            // A full table of static routes leaves the lease without a default route only.
            if (!ip.routes().add({}, lease.router, first_link)) drops.count(Drop::ip_no_route);
        }
        lease_news = LeaseNews::taken;
    } else if (change == Dhcp::Change::lost) {
        const auto unset = set_address({}, first_link);
        INVARIANT(unset, "no route is added");
        lease_news = LeaseNews::lost;
    }
    const Endpoint server{ipv4_any, Port{Dhcp::server_port}};
    while (const auto message = dhcp.poll(now)) {
        const Endpoint from{message->source, Port{Dhcp::client_port}};
        // A message that the link cannot take is lost and comes again by its timer.
        if (!udp.output(from, {message->destination, server.port}, message->bytes, {}, now)) {
            drops.count(Drop::link_full);
        }
    }
}

Result<> Parts::set_address(Ipv4Prefix address, LinkNumber on) {
    interfaces.set_address(on, address);
    arp.clear(on);
    ip.routes().clear(on);
    if (address.address.is_any()) return {};
    return ip.routes().add(address, ipv4_any, on);
}

// --- Time

std::optional<Instant> Parts::next_deadline() const {
    std::optional<Instant> first = tcp.next_deadline();
    const std::optional<Instant> others[] = {
        arp.next_deadline(), ip.reassembly().next_deadline(), dhcp.next_deadline()
    };
    for (const auto& other : others) {
        if (other && (!first || *other < *first)) first = other;
    }
    return first;
}

void Parts::advance(Instant now) {
    tcp.advance(now);
    ip.reassembly().advance(now, [&](Bytes beginning) {
        Bytes rest = beginning;
        const auto header = peel<wire::Ipv4>(rest);
        // Of ICMP it could be an error, and of those there are none (RFC 1122 3.2.2).
        if (!header || header->protocol == uint8_t(wire::Protocol::icmp)) return;
        const Ipv4Packet about{
            .source = Ipv4Address{header->source},
            .destination = Ipv4Address{header->destination},
            .protocol = header->protocol,
            .broadcast = ip.is_broadcast(Ipv4Address{header->destination}),
            .whole = beginning,
        };
        icmp.send_time_exceeded(wire::Icmp::reassembly_exceeded, about, now);
    });
    arp.advance(now, [&](Bytes packet) { undelivered(packet, now); });
    if (const auto due = dhcp.next_deadline(); due && *due <= now) {
        follow_dhcp(dhcp.advance(now), now);
    }
}

void Parts::undelivered(Bytes packet, Instant now) {
    const Ipv4Address source{load<wire::Ipv4>(packet.data()).source}; // it went through Ip
    if (!ip.is_ours(source)) return forwarder.unreachable(packet, now);
    auto trouble = Icmp::read_quote(packet);
    if (!trouble) return;
    trouble->hard = true; // on our own link there is no other way (RFC 1122 2.4)
    trouble->reporter = trouble->source;
    pass_on(*trouble, now);
}

/// Empties what piled up during a call: looped-back packets, then news.
void Parts::settle(Instant now) {
    if (settling) return; // called from an event: the outer one goes on
    settling = true;
    bool more = true;
    while (more) {
        more = false;
        while (!ip.loopback().empty()) {
            receive_packet(
                ip.loopback().front(), interfaces.first(), Arrival::loopback, false, now
            );
            ip.loopback().pop();
            if (ip.loopback().empty() && tcp.has_held()) tcp.retry_held(now);
        }
        if (const LeaseNews change = std::exchange(lease_news, LeaseNews::none);
            change != LeaseNews::none) {
            const auto lease = dhcp.lease();
            events.lease_changed(change == LeaseNews::taken && lease ? &*lease : nullptr);
            more = true;
        }
        news.deliver(events);
        more |= !ip.loopback().empty();
    }
    settling = false;
}

} // namespace net
