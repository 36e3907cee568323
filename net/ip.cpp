#include "net/ip.hpp"

#include <cstddef>

#include "net/checksum.hpp"

namespace net {
namespace {

/// Of a header without options.
[[gnu::always_inline]] inline uint64_t sum_of(const std::byte* header) {
    return add_carry(sum_of_words<2>(0, header), load<uint32_t>(header + 16));
}

} // namespace

Ip::Ip(
    Arena& arena,
    const Config& config,
    Interfaces& interfaces,
    Arp& arp,
    Random& random,
    Drops& drops,
    Counters& counters
)
    : interfaces_{interfaces}, arp_{arp}, drops_{drops}, counters_{counters},
      routes_{arena, config.routes}, loopback_{arena, config.loopback_packets, config.mtu_bytes},
      reassembly_{arena, config.reassemblies, drops, counters}, paths_{config.mtu_bytes},
      identification_{uint16_t(random.next())} {}

/// RFC 1122 3.2.1.3, RFC 1812 5.3.7: addresses that cannot be right on this path.
std::optional<Drop> Ip::refuse_addresses(const wire::Ipv4& ip, Arrival arrival) const {
    const Ipv4Address source{ip.source}, destination{ip.destination};
    if (arrival == Arrival::loopback) return std::nullopt;
    if (!source.is_plain_unicast() && !source.is_any()) return Drop::ip_martian_source;
    if (is_ours(source) || is_broadcast(source)) return Drop::ip_martian_source;
    if (destination.is_loopback() || destination.is_any()) return Drop::ip_martian_destination;
    if (is_broadcast(destination)) return std::nullopt;
    if (source.is_any()) return Drop::ip_martian_source; // RFC 1122 3.2.1.3: only before an address
    // RFC 1122 3.3.6, RFC 1812 5.3.4: a unicast packet that came by link broadcast is a mistake or
    // an attack.
    if (arrival == Arrival::link_broadcast) return Drop::ip_link_broadcast;
    return std::nullopt;
}

/// Options are tolerated, not obeyed; a source route would let others send through us.
std::optional<Drop> Ip::refuse_options(Bytes options) {
    while (!options.empty()) {
        const auto kind = std::to_integer<uint8_t>(options[0]);
        if (kind == uint8_t(wire::Ipv4Option::end)) return std::nullopt;
        if (kind == uint8_t(wire::Ipv4Option::no_operation)) {
            options = options.subspan(1);
            continue;
        }
        if (kind == uint8_t(wire::Ipv4Option::loose_source_route) ||
            kind == uint8_t(wire::Ipv4Option::strict_source_route)) {
            return Drop::ip_source_route;
        }
        const size_t length = options.size() < 2 ? 0 : std::to_integer<size_t>(options[1]);
        if (length < 2 || length > options.size()) return Drop::ip_bad_option;
        options = options.subspan(length);
    }
    return std::nullopt;
}

/// Nearly always one host sends another a whole packet without options: nothing else is looked at.
Verdict Ip::input(
    Bytes packet, Interface& in, Arrival arrival, bool sums_checked, Instant now, Ipv4Packet& into
) {
    ++counters_.ip_in;
    if (packet.size() < sizeof(wire::Ipv4)) return drop(Drop::ip_truncated);
    const auto ip = load<wire::Ipv4>(packet.data());
    const size_t total = ip.total_length;
    const auto pair = load<uint64_t>(packet.data() + offsetof(wire::Ipv4, source));
    const bool usual = ip.version_and_length == 0x45 && !ip.is_fragment() &&
                       total >= sizeof(wire::Ipv4) && total <= packet.size() &&
                       arrival == Arrival::unicast && interfaces_.is_from_host_to_us(in, pair) &&
                       (sums_checked || Checksum{sum_of(packet.data())}.holds());
    if (!usual) return input_unusual(packet, arrival, now, into);
    into = {
        .source = Ipv4Address{ip.source},
        .destination = Ipv4Address{ip.destination},
        .protocol = ip.protocol,
        .time_to_live = ip.time_to_live,
        .sums_checked = sums_checked,
        .payload = {packet.data() + sizeof(wire::Ipv4), total - sizeof(wire::Ipv4)},
        .whole = {packet.data(), total},
    };
    return Verdict::ours;
}

Verdict Ip::input_unusual(Bytes packet, Arrival arrival, Instant now, Ipv4Packet& into) {
    Bytes rest = packet;
    const auto peeled = peel<wire::Ipv4>(rest);
    if (!peeled) return drop(Drop::ip_truncated);
    const wire::Ipv4& ip = *peeled;
    if (ip.version() != 4) return drop(Drop::ip_bad_version);
    const size_t header_bytes = ip.header_bytes();
    if (header_bytes < sizeof(wire::Ipv4)) return drop(Drop::ip_bad_header_length);
    if (header_bytes > packet.size()) return drop(Drop::ip_bad_header_length);
    const size_t total = ip.total_length;
    if (total < header_bytes) return drop(Drop::ip_bad_total_length);
    if (total > packet.size()) return drop(Drop::ip_truncated);
    packet = packet.first(total); // the rest is the link's padding
    const Bytes header = packet.first(header_bytes);
    if (!checksum_holds(header)) return drop(Drop::ip_bad_checksum);
    if (const auto reason = refuse_addresses(ip, arrival)) return drop(*reason);
    if (const auto reason = refuse_options(header.subspan(sizeof(wire::Ipv4)))) {
        return drop(*reason);
    }
    into = {
        .source = Ipv4Address{ip.source},
        .destination = Ipv4Address{ip.destination},
        .protocol = ip.protocol,
        .time_to_live = ip.time_to_live,
        .broadcast =
            arrival == Arrival::link_broadcast || is_broadcast(Ipv4Address{ip.destination}),
        .payload = packet.subspan(header_bytes),
        .whole = packet,
    };
    if (!into.broadcast && !is_ours(into.destination)) return Verdict::for_others;
    if (!ip.is_fragment()) return Verdict::ours;
    const auto whole = reassembly_.add(ip, header, into.payload, now);
    if (!whole) return Verdict::dropped;
    into.payload = whole->payload;
    into.whole = whole->both;
    return Verdict::ours;
}

Result<Path> Ip::path_to(Ipv4Address destination) const {
    auto way = find_way(destination, ipv4_any);
    if (!way) return fail(Err::network_unreachable);
    if (way->kind == Way::Kind::ourselves) return Path{destination, *way};
    const Interface* out = &interfaces_[way->hop.link];
    if (!out->has_address() && way->kind == Way::Kind::group)
        out = interfaces_.find([](const Interface& one) { return one.has_address(); });
    if (out == nullptr || !out->has_address()) return fail(Err::network_unreachable);
    way->hop.link = out->number();
    return Path{out->address().address, *way};
}

[[gnu::always_inline]] inline void Ip::lay_header(
    OutPacket& packet, const Addresses& addresses, uint16_t identification, uint16_t fragment
) {
    const bool usual = !packet.has_manner;
    packet.prepend(wire::Ipv4{
        .version_and_length = 0x45,
        .type_of_service = usual ? uint8_t{0} : packet.service,
        .total_length = uint16_t(packet.size() + sizeof(wire::Ipv4)),
        .identification = identification,
        .fragment = fragment,
        .time_to_live = usual ? OutPacket::usual_time_to_live : packet.time_to_live,
        .protocol = uint8_t(addresses.protocol),
        .checksum = {},
        .source = addresses.source.bits(),
        .destination = addresses.destination.bits(),
    });
    if (packet.segment_bytes != 0) [[unlikely]] { // the link finishes each header
        counters_.ip_out += packet.segments();
        return;
    }
    const Checksum sum{sum_of(packet.headers().data())};
    packet.patch(offsetof(wire::Ipv4, checksum), Be<uint16_t>{sum.finish()});
    ++counters_.ip_out;
}

[[gnu::always_inline]] inline Result<>
Ip::send(OutPacket& packet, Ipv4Address destination, Way& way, Instant now) {
    if (way.kind != Way::Kind::neighbour) return send_unusual(packet, destination, way);
    return arp_.output(packet, way.hop, way.hint, now);
}

Result<> Ip::look_up_again(const Addresses& addresses, Way& way) {
    const auto found = find_way(addresses.destination, addresses.source);
    if (!found) {
        drops_.count(Drop::ip_no_route);
        return fail(Err::network_unreachable);
    }
    way = *found;
    return {};
}

Result<> Ip::output_along(OutPacket& packet, const Addresses& addresses, Way& way, Instant now) {
    const size_t whole = packet.segment_bytes == 0 ? packet.size() : 0;
    if (whole + sizeof(wire::Ipv4) > way.mtu_bytes) {
        return output_fragments(packet, addresses, way, now);
    }
    const uint16_t fragment = packet.dont_fragment ? wire::Ipv4::dont_fragment : uint16_t{0};
    const uint16_t identification = identification_;
    // RFC 6864 4.1: none twice; a card that cuts counts one up with each segment.
    identification_ += packet.segment_bytes == 0 ? 1 : uint16_t(packet.segments());
    lay_header(packet, addresses, identification, fragment);
    return send(packet, addresses.destination, way, now);
}

/// RFC 791 3.2, fragmentation; the pieces refer to the same memory as the packet.
Result<>
Ip::output_fragments(OutPacket& packet, const Addresses& addresses, Way& way, Instant now) {
    INVARIANT(packet.size() + sizeof(wire::Ipv4) <= 0xffff, "each protocol knows its limit");
    const size_t most = (way.mtu_bytes - sizeof(wire::Ipv4)) / 8 * 8;
    const uint16_t identification = identification_++;
    for (size_t from = 0; from < packet.size(); from += most) {
        const size_t to = std::min(from + most, packet.size());
        OutPacket fragment;
        fragment.set_manner(packet);
        fragment.append_part(packet.pieces(), from, to);
        const uint16_t more = to < packet.size() ? wire::Ipv4::more_fragments : uint16_t{0};
        ++counters_.fragments_out;
        lay_header(fragment, addresses, identification, uint16_t(more | from / 8));
        TRY_VOID(send(fragment, addresses.destination, way, now));
    }
    return {};
}

/// On which link that address of ours is; the first one when it is none (DHCP has none yet).
LinkNumber Ip::link_of(Ipv4Address source) const {
    const Interface* const found =
        interfaces_.find([&](const Interface& one) { return one.is_ours(source); });
    return found == nullptr ? first_link : found->number();
}

std::optional<Way> Ip::find_way(Ipv4Address to, Ipv4Address source) const {
    Way way{.as_of = routes_.changes(), .hop = {to, first_link}};
    if (is_ours(to)) {
        way.kind = Way::Kind::ourselves;
    } else if (to.is_multicast() || to.is_limited_broadcast()) {
        way.kind = Way::Kind::group;
        way.hop.link = link_of(source);
    } else if (const Interface* const all =
                   interfaces_.find([&](const Interface& one) { return one.is_broadcast(to); })) {
        way.kind = Way::Kind::group;
        way.hop.link = all->number();
    } else if (const auto hop = to.is_plain_unicast() ? routes_.next_hop(to) : std::nullopt) {
        way.hop = *hop;
    } else {
        return std::nullopt;
    }
    const Interface& out = interfaces_[way.hop.link];
    way.mtu_bytes = out.mtu_bytes();
    if (way.kind != Way::Kind::ourselves) way.abilities = out.abilities();
    return way;
}

Result<> Ip::send_unusual(OutPacket& packet, Ipv4Address destination, const Way& way) {
    if (way.kind == Way::Kind::ourselves) return loopback_.push(packet);
    MacAddress to = MacAddress::broadcast();
    if (destination.is_multicast()) { // RFC 1112 6.4
        const uint32_t group = destination.bits();
        to = MacAddress{
            {0x01, 0, 0x5e, uint8_t(group >> 16 & 0x7f), uint8_t(group >> 8), uint8_t(group)}
        };
    }
    return interfaces_[way.hop.link].transmit(packet, to, wire::EtherType::ipv4);
}

} // namespace net
