#include "net/forward.hpp"

#include <cstddef>

#include "net/checksum.hpp"

namespace net {
namespace {

/// RFC 3927 2.7: what was sent to one link is not for another.
constexpr bool is_link_local(Ipv4Address address) {
    return address.bits() >> 16 == 0xa9fe;
}

/// A header of its own, to be changed.
struct Header {
    std::array<std::byte, 60> bytes{};
    size_t size{};

    explicit Header(Bytes from) : size{from.size()} { std::ranges::copy(from, bytes.begin()); }

    wire::Ipv4 fields() const { return load<wire::Ipv4>(bytes.data()); }

    /// With a right checksum.
    void set(wire::Ipv4 ip) {
        ip.version_and_length = uint8_t(0x40 | size / 4);
        ip.checksum = 0;
        const auto put = [&] { __builtin_memcpy(bytes.data(), &ip, sizeof ip); };
        put();
        Checksum sum;
        sum.add(view());
        ip.checksum = sum.finish();
        put();
    }

    Bytes view() const { return Bytes{bytes}.first(size); }
};

/// RFC 791 3.1: the header of every fragment but the first has only the options marked so.
Header without_uncopied(const Header& first) {
    Header header{first.view().first(sizeof(wire::Ipv4))};
    Bytes options = first.view().subspan(sizeof(wire::Ipv4));
    while (!options.empty()) { // they were checked on the way in
        const auto kind = std::to_integer<uint8_t>(options[0]);
        if (kind == uint8_t(wire::Ipv4Option::end)) break;
        const size_t length = kind == uint8_t(wire::Ipv4Option::no_operation)
                                  ? 1
                                  : std::to_integer<size_t>(options[1]);
        if ((kind & wire::option_copied) != 0) {
            std::ranges::copy(options.first(length), header.bytes.begin() + long(header.size));
            header.size += length;
        }
        options = options.subspan(length);
    }
    header.size = (header.size + 3) / 4 * 4; // filled up with zeros, which end the list
    return header;
}

} // namespace

void Forwarder::forward(const Ipv4Packet& packet, const Interface& in, Instant now) {
    if (!on_ || !packet.destination.is_plain_unicast() || is_link_local(packet.destination) ||
        is_link_local(packet.source)) {
        return drops_.count(Drop::ip_not_for_us);
    }
    const size_t offset = load<wire::Ipv4>(packet.whole.data()).offset_bytes();
    if (offset + packet.whole.size() > 0xffff) return drops_.count(Drop::fragment_bad);
    if (packet.time_to_live <= 1) {
        drops_.count(Drop::forward_time_exceeded);
        return refuse(wire::Icmp::time_exceeded, wire::Icmp::transit_exceeded, packet, now);
    }
    Recent* const recent = find_way(packet.destination);
    if (recent == nullptr) {
        drops_.count(Drop::ip_no_route);
        return refuse(wire::Icmp::unreachable, wire::Icmp::net_unreachable, packet, now);
    }
    if (recent->way.hop.link == in.number()) redirect(packet, in, recent->way, now);
    pass_on(packet, recent->way, now);
}

Forwarder::Recent* Forwarder::find_way(Ipv4Address destination) {
    const uint32_t spread = destination.bits() * 0x9e37'79b9u; // 2^32 by the golden ratio
    Recent& recent = recent_[spread >> 26];
    static_assert(recent_ways == 1u << (32 - 26));
    const Routes& routes = ip_.routes();
    if (recent.way.as_of == routes.changes() && recent.destination == destination) return &recent;
    const auto hop = routes.next_hop(destination);
    if (!hop) return nullptr;
    const uint16_t mtu_bytes = interfaces_[hop->link].mtu_bytes();
    recent = {destination, {.as_of = routes.changes(), .hop = *hop, .mtu_bytes = mtu_bytes}};
    return &recent;
}

/// RFC 1812 5.2.7.2: it leaves by the link it came from, and its sender could have asked the next
/// station itself.
void Forwarder::redirect(
    const Ipv4Packet& packet, const Interface& in, const Way& way, Instant now
) {
    const Ipv4Prefix& network = in.address();
    if (!network.contains(packet.source) || !network.contains(way.hop.address)) return;
    if (!may_be_told(packet)) return;
    icmp_.send_redirect(way.hop.address, packet, now);
}

void Forwarder::pass_on(const Ipv4Packet& packet, Way& way, Instant now) {
    Header header{packet.whole.first(packet.header_bytes())};
    wire::Ipv4 ip = header.fields();
    if (packet.whole.size() > way.mtu_bytes) {
        if ((ip.fragment & wire::Ipv4::dont_fragment) == 0) return cut(packet, way, now);
        drops_.count(Drop::forward_too_big);
        return refuse(
            wire::Icmp::unreachable, wire::Icmp::fragmentation_needed, packet, now, way.mtu_bytes
        );
    }
    --ip.time_to_live;
    header.set(ip);
    transmit(packet, header.view(), packet.payload, way, now);
}

/// RFC 791 3.2; what comes in may itself be a piece from the middle.
void Forwarder::cut(const Ipv4Packet& packet, Way& way, Instant now) {
    Header header{packet.whole.first(packet.header_bytes())};
    const wire::Ipv4 whole = header.fields();
    for (size_t from = 0; from < packet.payload.size();) {
        const size_t most = (way.mtu_bytes - header.size) / 8 * 8;
        const size_t to = std::min(from + most, packet.payload.size());
        const bool more = to < packet.payload.size() || whole.has_more();
        wire::Ipv4 ip = whole;
        --ip.time_to_live;
        ip.total_length = uint16_t(header.size + to - from);
        ip.fragment =
            uint16_t((whole.offset_bytes() + from) / 8 | (more ? wire::Ipv4::more_fragments : 0));
        header.set(ip);
        ++counters_.fragments_out;
        transmit(packet, header.view(), packet.payload.subspan(from, to - from), way, now);
        if (from == 0) header = without_uncopied(header);
        from = to;
    }
}

void Forwarder::transmit(
    const Ipv4Packet& packet, Bytes header, Bytes payload, Way& way, Instant now
) {
    OutPacket out;
    out.append(payload);
    out.prepend_bytes(header);
    const auto sent = arp_.output(out, way.hop, way.hint, now);
    if (sent) {
        ++counters_.forwarded;
    } else if (sent.error() == Err::no_space) {
        drops_.count(Drop::link_full);
    } else {
        drops_.count(Drop::arp_unresolved);
        refuse(wire::Icmp::unreachable, wire::Icmp::host_unreachable, packet, now);
    }
}

void Forwarder::unreachable(Bytes bytes, Instant now) {
    const auto ip = load<wire::Ipv4>(bytes.data()); // it went through transmit()
    const Ipv4Packet packet{
        .source = Ipv4Address{ip.source},
        .destination = Ipv4Address{ip.destination},
        .protocol = ip.protocol,
        .time_to_live = ip.time_to_live,
        .payload = bytes.subspan(ip.header_bytes()),
        .whole = bytes,
    };
    refuse(wire::Icmp::unreachable, wire::Icmp::host_unreachable, packet, now);
}

void Forwarder::refuse(
    uint8_t type, uint8_t code, const Ipv4Packet& packet, Instant now, uint16_t mtu
) {
    if (may_be_told(packet)) icmp_.send_error(type, code, packet, now, mtu);
}

/// RFC 1812 4.3.2.7: never about an error, nor about a piece that is not the first.
bool Forwarder::may_be_told(const Ipv4Packet& packet) {
    if (load<wire::Ipv4>(packet.whole.data()).offset_bytes() != 0) return false;
    if (packet.protocol != uint8_t(wire::Protocol::icmp)) return true;
    return !packet.payload.empty() &&
           wire::Icmp::is_query(std::to_integer<uint8_t>(packet.payload[0]));
}

} // namespace net
