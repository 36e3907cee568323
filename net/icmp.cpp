#include "net/icmp.hpp"

#include "net/checksum.hpp"

namespace net {
namespace {

/// RFC 1122 3.2.2.1 and 4.2.3.9.
std::optional<std::pair<Err, bool>> meaning_of(const wire::Icmp& icmp) {
    if (icmp.type == wire::Icmp::unreachable) {
        switch (icmp.code) {
        case wire::Icmp::net_unreachable: return std::pair{Err::network_unreachable, false};
        case wire::Icmp::protocol_unreachable:
        case wire::Icmp::port_unreachable: return std::pair{Err::connection_refused, true};
        case wire::Icmp::fragmentation_needed: return std::pair{Err::message_too_long, false};
        case 9:
        case 10:
        case 13: return std::pair{Err::host_unreachable, true}; // prohibited
        default: return std::pair{Err::host_unreachable, false};
        }
    }
    if (icmp.type == wire::Icmp::time_exceeded) return std::pair{Err::host_unreachable, false};
    if (icmp.type == wire::Icmp::parameter_problem) return std::pair{Err::malformed, false};
    return std::nullopt;
}

} // namespace

void Icmp::seal(OutPacket& packet, wire::Icmp icmp) {
    icmp.checksum = 0;
    Checksum sum;
    sum.add(std::as_bytes(std::span<const wire::Icmp, 1>{&icmp, 1}));
    for (const Bytes piece : packet.payload())
        sum.add(piece);
    icmp.checksum = sum.finish();
    packet.prepend(icmp);
}

Icmp::Meaning Icmp::input(const Ipv4Packet& packet, Instant now) {
    ++counters_.icmp_in;
    Bytes payload = packet.payload;
    const auto icmp = peel<wire::Icmp>(payload);
    if (!icmp) {
        drops_.count(Drop::icmp_truncated);
        return {};
    }
    if (!checksum_holds(packet.payload)) {
        drops_.count(Drop::icmp_bad_checksum);
        return {};
    }
    if (icmp->type == wire::Icmp::echo_request) {
        answer_echo(packet, *icmp, payload, now);
        return {};
    }
    if (icmp->type == wire::Icmp::echo_reply) {
        return {.trouble = {}, .reply = EchoReply{icmp->first, icmp->second, payload.size()}};
    }
    return {.trouble = read_error(packet, *icmp, payload), .reply = {}};
}

void Icmp::answer_echo(
    const Ipv4Packet& packet, const wire::Icmp& icmp, Bytes payload, Instant now
) {
    // RFC 1122 3.2.2.6 lets us be silent here, and an amplifier is worse than a mute host.
    if (packet.broadcast || packet.source.is_any()) {
        return drops_.count(Drop::icmp_broadcast_echo);
    }
    OutPacket reply;
    reply.append(payload);
    wire::Icmp header = icmp;
    header.type = wire::Icmp::echo_reply;
    header.code = 0;
    seal(reply, header);
    ++counters_.icmp_out;
    const auto sent =
        ip_.output(reply, {packet.destination, packet.source, wire::Protocol::icmp}, now);
    if (!sent && sent.error() == Err::no_space) drops_.count(Drop::link_full);
}

std::optional<Trouble>
Icmp::read_error(const Ipv4Packet& packet, const wire::Icmp& icmp, Bytes quote) {
    if (icmp.type == wire::Icmp::redirect) { // an invitation to whoever can reach us
        drops_.count(Drop::icmp_redirect);
        return std::nullopt;
    }
    const auto meaning = meaning_of(icmp);
    if (!meaning) {
        drops_.count(Drop::icmp_unknown_type);
        return std::nullopt;
    }
    auto trouble = read_quote(quote);
    if (!trouble || !ip_.is_ours(trouble->source)) {
        drops_.count(Drop::icmp_bad_quote);
        return std::nullopt;
    }
    trouble->error = meaning->first;
    trouble->hard = meaning->second;
    trouble->reporter = packet.source;
    if (trouble->error == Err::message_too_long) trouble->mtu_bytes = icmp.second; // RFC 1191 4
    return trouble;
}

std::optional<Trouble> Icmp::read_quote(Bytes quote) {
    Bytes rest = quote;
    const auto ip = peel<wire::Ipv4>(rest);
    if (!ip || ip->version() != 4) return std::nullopt;
    const size_t header_bytes = ip->header_bytes();
    // Eight bytes of transport header are promised by RFC 792; a later fragment has no ports.
    if (header_bytes < sizeof(wire::Ipv4) || quote.size() < header_bytes + 8) return std::nullopt;
    if (ip->offset_bytes() != 0) return std::nullopt;
    return Trouble{
        .error = Err::host_unreachable,
        .hard = false,
        .reporter = {},
        .source = Ipv4Address{ip->source},
        .destination = Ipv4Address{ip->destination},
        .protocol = ip->protocol,
        .transport = quote.subspan(header_bytes),
    };
}

void Icmp::report(const wire::Icmp& what, const Ipv4Packet& about, Instant now) {
    if (about.broadcast || !about.source.is_plain_unicast()) {
        if (!about.source.is_loopback()) return;
    }
    // From the address that was written to, or else the one on the way back (RFC 1812 4.3.2.4).
    const auto back = ip_.path_to(about.source);
    if (!back) return drops_.count(Drop::ip_no_route);
    const bool to_us = ip_.is_ours(about.destination);
    if (!errors_.take(now)) return drops_.count(Drop::icmp_rate_limited);
    // As much as fits in 576 bytes (RFC 1812 4.3.2.3), so that tunnels find their inner header.
    constexpr size_t most = 576 - sizeof(wire::Ipv4) - sizeof(wire::Icmp);
    OutPacket error;
    error.append(about.whole.first(std::min(most, about.whole.size())));
    seal(error, what);
    ++counters_.icmp_out;
    const auto sent = ip_.output(
        error, {to_us ? about.destination : back->source, about.source, wire::Protocol::icmp}, now
    );
    if (!sent && sent.error() == Err::no_space) drops_.count(Drop::link_full);
}

Result<> Icmp::send_echo(
    Ipv4Address source,
    Ipv4Address to,
    uint16_t identifier,
    uint16_t sequence,
    Bytes payload,
    Instant now
) {
    OutPacket packet;
    packet.append(payload);
    seal(
        packet,
        {.type = wire::Icmp::echo_request,
         .code = 0,
         .checksum = {},
         .first = identifier,
         .second = sequence}
    );
    ++counters_.icmp_out;
    return ip_.output(packet, {source, to, wire::Protocol::icmp}, now);
}

} // namespace net
