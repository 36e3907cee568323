// IPv4 (RFC 791, RFC 1122 3.2): what may come in, and where what goes out goes.
#pragma once

#include <optional>

#include "net/arp.hpp"
#include "net/loopback.hpp"
#include "net/path_mtu.hpp"
#include "net/reassembly.hpp"
#include "net/route.hpp"
#include "net/siphash.hpp"
#include "net/wire/ipv4.hpp"

namespace net {

/// A datagram that came in whole: checked, and put together if it had been cut.
struct Ipv4Packet {
    Ipv4Address source{}, destination{};
    uint8_t protocol{};
    uint8_t time_to_live{};
    bool broadcast{};    // sent to more hosts than us, by IP or link address
    bool sums_checked{}; // by the card: IP's, and that of TCP or UDP
    Bytes payload{};
    Bytes whole{}; // from the first byte of the header, for quoting

    size_t header_bytes() const { return whole.size() - payload.size(); }
};

/// Where a frame's IP packet came from.
enum class Arrival : uint8_t { unicast, link_broadcast, loopback };

/// Where the packets to one destination go, as found last: good until the routes change.
struct Way {
    enum class Kind : uint8_t { neighbour, group, ourselves };

    uint32_t as_of{}; // Routes::changes(); zero: not looked up yet
    Hop hop;
    Kind kind{};
    LinkAbilities abilities; // none of them to ourselves
    uint16_t mtu_bytes{};
    uint16_t hint{}; // where ARP knows it
};

/// The way to a destination, and which of our addresses to send from.
struct Path {
    Ipv4Address source;
    Way way;
};

/// Whose a packet is that came in.
enum class Verdict : uint8_t { dropped, ours, for_others };

class Ip {
  public:
    struct Addresses {
        Ipv4Address source, destination;
        wire::Protocol protocol;
    };

    Ip(Arena& arena,
       const Config& config,
       Interfaces& interfaces,
       Arp& arp,
       Random& random,
       Drops& drops,
       Counters& counters);

    /// Dropped: counted, or a fragment that does not complete its datagram. Packets for others
    /// are laid open as they came, fragment or not.
    ///   sums_checked   by the card; believed of a whole packet to us, of nothing else
    Verdict input(
        Bytes packet,
        Interface& in,
        Arrival arrival,
        bool sums_checked,
        Instant now,
        Ipv4Packet& into
    );

    /// errors   network_unreachable
    Result<Path> path_to(Ipv4Address destination) const;

    /// Puts the IPv4 header in front, cuts what is longer than the link takes, and sends.
    ///   source   any only before we have an address (RFC 1122 3.2.1.3)
    ///   way      of all packets to that destination, kept between them
    ///   errors   network_unreachable, host_unreachable, no_space (link full: nothing or only a
    ///            part was sent)
    Result<> output(OutPacket& packet, const Addresses& addresses, Way& way, Instant now) {
        TRY_VOID(look_up(addresses, way));
        return output_along(packet, addresses, way, now);
    }

    /// The first half of output(): finds the way again if it may have changed.
    ///   errors   network_unreachable
    Result<> look_up(const Addresses& addresses, Way& way) {
        if (way.as_of == routes_.changes()) return {};
        return look_up_again(addresses, way);
    }

    /// The second half, once checksums are made as the way wants them.
    Result<> output_along(OutPacket& packet, const Addresses& addresses, Way& way, Instant now);

    /// Does the link sum up that packet of TCP or UDP? Not if it is going to be cut by IP.
    static bool is_summed_by_link(const OutPacket& packet, const Way& way) {
        return way.abilities.sums &&
               (packet.segment_bytes != 0 || packet.size() + sizeof(wire::Ipv4) <= way.mtu_bytes);
    }

    /// Does the link cut that packet of TCP, whose header is there, into its segments? Only if it
    /// gets there at once, and they need no more cutting.
    bool is_cut_by_link(const OutPacket& packet, const Way& way) const {
        const size_t headers = sizeof(wire::Ipv4) + packet.headers().size();
        return way.abilities.segments && packet.segment_bytes >= LinkWork::least_segment &&
               headers + packet.segment_bytes <= way.mtu_bytes && arp_.knows(way.hop, way.hint);
    }

    Result<> output(OutPacket& packet, const Addresses& addresses, Instant now) {
        Way way;
        return output(packet, addresses, way, now);
    }

    bool is_ours(Ipv4Address address) const {
        return interfaces_.is_ours(address) || address.is_loopback();
    }

    bool is_broadcast(Ipv4Address address) const { return interfaces_.is_broadcast(address); }

    Routes& routes() { return routes_; }

    const Routes& routes() const { return routes_; }

    Loopback& loopback() { return loopback_; }

    PathMtu& paths() { return paths_; }

    Reassembly& reassembly() { return reassembly_; }

    const Reassembly& reassembly() const { return reassembly_; }

  private:
    Verdict input_unusual(Bytes packet, Arrival arrival, Instant now, Ipv4Packet& into);
    std::optional<Drop> refuse_addresses(const wire::Ipv4& ip, Arrival arrival) const;
    static std::optional<Drop> refuse_options(Bytes options);
    Result<> output_fragments(OutPacket& packet, const Addresses& addresses, Way& way, Instant now);
    void lay_header(
        OutPacket& packet, const Addresses& addresses, uint16_t identification, uint16_t fragment
    );
    Result<> look_up_again(const Addresses& addresses, Way& way);
    Result<> send(OutPacket& packet, Ipv4Address destination, Way& way, Instant now);
    Result<> send_unusual(OutPacket& packet, Ipv4Address destination, const Way& way);
    std::optional<Way> find_way(Ipv4Address destination, Ipv4Address source) const;
    LinkNumber link_of(Ipv4Address source) const;

    Verdict drop(Drop reason) {
        drops_.count(reason);
        return Verdict::dropped;
    }

    Interfaces& interfaces_;
    Arp& arp_;
    Drops& drops_;
    Counters& counters_;
    Routes routes_;
    Loopback loopback_;
    Reassembly reassembly_;
    PathMtu paths_;
    uint16_t identification_;
};

} // namespace net
