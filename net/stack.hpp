// The whole stack as one object: frames and time go in, frames and events come out. It reads no
// clock, owns no device and allocates nothing beyond the memory handed to create().
//
//   auto stack = TRY(net::Stack::create(memory, config, link, events));
//   stack->set_address({{10, 77, 0, 2}, 24});
//   loop: stack->receive(frame, now) for each frame; stack->advance(now) at next_deadline().
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "lib/base/bytes.hpp"
#include "lib/base/result.hpp"
#include "lib/base/time.hpp"
#include "net/address.hpp"
#include "net/config.hpp"
#include "net/drops.hpp"
#include "net/link.hpp"
#include "net/socket.hpp"

namespace net {

struct Parts;

struct RouteInfo {
    Ipv4Prefix destination;
    Ipv4Address gateway; // any: on the link
    LinkNumber link;
};

struct NeighbourInfo {
    Ipv4Address address;
    MacAddress mac;
    LinkNumber link;
    bool resolved{};
    Duration age; // since last confirmed
};

class Stack {
  public:
    static constexpr size_t links_max = 4;

    static Result<size_t> memory_needed(const Config& config);
    /// Lays the stack out in `memory`, which must outlive it, with `link` and `events`.
    ///   errors   bad_argument (config out of range), no_memory (less than memory_needed)
    static Result<Stack*>
    create(MutableBytes memory, const Config& config, Link& link, Events& events, Instant now);
    Stack(const Stack&) = delete;

    // --- Frames and time. `now` never decreases between calls.

    /// One frame from a link, without FCS, handled to completion. `frame` may be reused after.
    ///   sums_checked   the card has found the checksums of IP and of TCP or UDP right
    void receive(Bytes frame, Instant now, LinkNumber from = first_link, bool sums_checked = false);
    /// The link has room again after no_space: what was held goes out.
    void link_ready(Instant now);
    /// Runs what is due. Call at next_deadline(); calling early or late is harmless.
    void advance(Instant now);
    /// When advance() is next needed; none: not before something else happens.
    std::optional<Instant> next_deadline() const;

    // --- Links, addresses and routes.

    /// One more link beside the first, for good.
    ///   errors   no_slots, bad_argument (a group's address, or more bytes than Config's packets)
    Result<LinkNumber> add_link(MacAddress mac, uint16_t mtu_bytes, Link& link);
    size_t links() const;
    /// Sets the address on a link and the route to its network; {any, 0} unsets both, and every
    /// other route by that link goes. Connections from a former address stay and die by their
    /// time-outs.
    ///   errors   bad_argument, no_space (no room for the route)
    Result<> set_address(Ipv4Prefix address, LinkNumber on = first_link);
    Ipv4Prefix address(LinkNumber on = first_link) const;
    /// Of all hosts of a network: not every application may send to it.
    bool is_broadcast(Ipv4Address address) const;
    MacAddress mac(LinkNumber on = first_link) const;
    /// Longest prefix wins; {any, 0} is the default route. An equal prefix is replaced. Who is
    /// reached without a gateway is on the link named; a gateway is where its network is.
    ///   errors   no_space, bad_argument (prefix beyond 32, no such link), network_unreachable
    ///            (gateway on no link)
    Result<> add_route(Ipv4Prefix destination, Ipv4Address gateway, LinkNumber on = first_link);
    Result<> remove_route(Ipv4Prefix destination);
    /// Whether packets for others go on to them, as a router does it (RFC 1812); at first: no.
    void set_forwarding(bool on);
    bool forwarding() const;
    /// Asks for a lease on the first link until there is one; then renews it. See
    /// Events::lease_changed.
    void start_dhcp(Instant now);
    /// Stops asking and forgets the lease without releasing it; address and routes stay.
    void stop_dhcp();
    std::optional<Lease> lease() const;

    // --- Streams. A `cookie` comes back with each event of the socket. Calls that move data do
    // what can be done now; would_block means wait for the event.

    /// `local.address` any: all of ours.   errors   address_in_use, no_slots, bad_argument
    Result<SocketId> tcp_listen(
        Endpoint local, uint16_t backlog, uint64_t cookie, const StreamOptions& options = {}
    );
    /// Event connected, or error. `local` any and port 0: chosen.
    ///   errors   address_in_use, network_unreachable, address_not_available, no_slots, no_memory
    Result<SocketId> tcp_connect(
        Endpoint remote,
        Endpoint local,
        uint64_t cookie,
        Instant now,
        const StreamOptions& options = {}
    );
    /// May a new stream socket be bound there? Not where one listens, and where connections are,
    /// only if they and the new one have `reuse_address`.
    ///   errors   address_in_use, address_not_available
    Result<> tcp_may_bind(Endpoint local, bool reuse_address) const;
    /// A port that may be bound.   errors   address_in_use (none is left)
    Result<Port> tcp_choose_port(Ipv4Address address);
    /// errors   would_block (none waits)
    Result<SocketId> tcp_accept(SocketId listener, uint64_t cookie);
    /// Copies into the send buffer; returns how many bytes fitted, at least 1 if given any.
    ///   errors   would_block, not_connected, bad_state (after shutdown), connection_reset, …
    Result<size_t> tcp_send(SocketId socket, Bytes data, Instant now);
    /// The same, the last byte of it urgent (RFC 9293 3.8.5). New applications should not.
    Result<size_t> tcp_send_urgent(SocketId socket, Bytes data, Instant now);
    /// Copies out; at least 1 byte.   errors   would_block, end_of_file, connection_reset, …
    Result<size_t> tcp_receive(SocketId socket, MutableBytes room, Instant now);
    /// The first contiguous bytes of the receive buffer, in place, until any other call.
    Result<Bytes> tcp_peek(SocketId socket) const;
    Result<> tcp_consume(SocketId socket, size_t bytes, Instant now);
    /// Sends FIN after all that was sent; receiving goes on.
    Result<> tcp_shutdown(SocketId socket, Instant now);
    /// Gives the handle up; the connection ends in the background. Unread data turn it into abort.
    /// Also for listeners: what was not accepted is reset.
    Result<> tcp_close(SocketId socket, Instant now);
    /// Gives the handle up with a RST.
    Result<> tcp_abort(SocketId socket, Instant now);
    /// Copies from `offset` on without taking; at least 1 byte.   errors   as tcp_receive
    Result<size_t> tcp_copy(SocketId socket, size_t offset, MutableBytes room) const;
    /// Of a stream or a listener.   errors   bad_argument
    Result<> tcp_configure(SocketId socket, const StreamOptions& options, Instant now);
    Result<StreamOptions> tcp_options(SocketId socket) const;
    Result<> tcp_set_backlog(SocketId listener, uint16_t backlog);
    Result<StreamInfo> tcp_info(SocketId socket) const;

    // --- Datagrams.

    /// Port 0: chosen.   errors   address_in_use, address_not_available, no_slots
    Result<SocketId> udp_bind(Endpoint local, uint64_t cookie);
    /// Up to 65,507 bytes.
    ///   errors   message_too_long, network_unreachable, no_space (link full: try after an event
    ///            writable), and once whatever ICMP reported about an earlier one
    Result<> udp_send_to(SocketId socket, Endpoint to, Bytes data, Instant now);
    /// From now on only datagrams from there come in. `remote` any: from everywhere again.
    ///   errors   network_unreachable
    Result<> udp_connect(SocketId socket, Endpoint remote);
    Result<> udp_configure(SocketId socket, const DatagramOptions& options);
    /// errors   would_block, connection_refused and others that ICMP reported
    Result<DatagramInfo> udp_receive_from(SocketId socket, MutableBytes room);
    /// The same, and it stays in the queue.
    Result<DatagramInfo> udp_copy(SocketId socket, MutableBytes room);
    Result<> udp_close(SocketId socket);

    // --- Echo.

    Result<SocketId> ping_open(uint64_t cookie);
    /// errors   message_too_long (payload beyond 65,507), network_unreachable, no_space
    Result<> ping_send(
        SocketId socket, Ipv4Address to, uint16_t sequence, size_t payload_bytes, Instant now
    );
    /// errors   would_block
    Result<PingReply> ping_receive(SocketId socket);
    Result<> ping_close(SocketId socket);

    // --- Whole packets. Who may is the owner's to decide.

    /// errors   bad_argument (no protocol, no such link), no_slots
    Result<SocketId> raw_open(const RawFilter& filter, uint64_t cookie);
    /// A payload to `to`, or a frame as it is (`to` does not matter).
    ///   errors   message_too_long, bad_argument (no whole Ethernet header), network_unreachable,
    ///            no_space (link full: try after an event writable)
    Result<> raw_send(SocketId socket, Ipv4Address to, Bytes data, Instant now);
    /// errors   would_block
    Result<RawInfo> raw_receive(SocketId socket, MutableBytes room);
    Result<> raw_close(SocketId socket);

    // --- Any socket.

    /// What could be done now without would_block; also closed, peer_closed and error.
    Result<EventSet> ready(SocketId socket) const;
    /// The pending error, which is thereby taken; none if there is none.
    Result<Err> take_error(SocketId socket);
    Result<SocketInfo> info(SocketId socket) const;

    // --- Reading the state (`netstat`, `ifconfig`). Each fills `room` from entry `first` of the
    // table on, and returns how many it wrote.

    /// Sockets come and go meanwhile: `place` says where to go on, 0 at first, and is moved on.
    size_t list_sockets(size_t& place, std::span<SocketInfo> room) const;
    size_t list_routes(size_t first, std::span<RouteInfo> room) const;
    size_t list_neighbours(size_t first, std::span<NeighbourInfo> room, Instant now) const;
    const Drops& drops() const;
    const Counters& counters() const;

  private:
    friend struct Parts;

    explicit Stack(Parts& parts) : parts_{parts} {}

    void settle(Instant now);

    Parts& parts_;
};

} // namespace net
