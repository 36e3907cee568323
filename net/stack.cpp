#include "net/stack.hpp"

#include <algorithm>
#include <bit>

#include "net/parts.hpp"

namespace net {

namespace {

bool is_power_of_two_within(uint32_t value, uint32_t least, uint32_t most) {
    return std::has_single_bit(value) && value >= least && value <= most;
}

Result<> check(const Config& config) {
    constexpr uint32_t kib = 1024;
    const bool good = config.mtu_bytes >= 576 && config.mtu_bytes <= 9000 &&
                      config.connections != 0 && config.listeners != 0 &&
                      config.datagram_sockets != 0 && config.neighbours != 0 &&
                      config.routes != 0 && config.loopback_packets != 0 &&
                      is_power_of_two_within(config.stream_buffer_bytes, 2 * kib, 4 * kib * kib) &&
                      is_power_of_two_within(config.datagram_buffer_bytes, 4 * kib, kib * kib) &&
                      !config.mac.is_group();
    if (!good) return fail(Err::bad_argument);
    return {};
}

} // namespace

Result<size_t> Stack::memory_needed(const Config& config) {
    TRY_VOID(check(config));
    return Parts::memory_needed(config);
}

Result<Stack*>
Stack::create(MutableBytes memory, const Config& config, Link& link, Events& events, Instant now) {
    TRY_VOID(check(config));
    if (memory.size() < Parts::memory_needed(config)) return fail(Err::no_memory);
    Arena arena{memory};
    const MutableBytes place = arena.bytes(sizeof(Parts));
    auto* parts = ::new (static_cast<void*>(place.data())) Parts{arena, config, link, events, now};
    INVARIANT(arena.fits(), "memory_needed() asks for what the parts ask for");
    return &parts->stack;
}

void Stack::receive(Bytes frame, Instant now, LinkNumber from, bool sums_checked) {
    INVARIANT(from.raw < parts_.interfaces.count(), "the owner knows what it added");
    parts_.receive_frame(frame, parts_.interfaces[from], sums_checked, now);
    settle(now);
}

void Stack::link_ready(Instant now) {
    parts_.tcp.retry_held(now);
    parts_.udp.link_ready();
    parts_.raw.link_ready();
    settle(now);
}

void Stack::advance(Instant now) {
    parts_.advance(now);
    settle(now);
}

std::optional<Instant> Stack::next_deadline() const {
    return parts_.next_deadline();
}

void Stack::settle(Instant now) {
    parts_.settle(now);
}

Result<LinkNumber> Stack::add_link(MacAddress mac, uint16_t mtu_bytes, Link& link) {
    // Packets are held and looped back in places of the configured size.
    if (mac.is_group() || mtu_bytes < 576 || mtu_bytes > parts_.config.mtu_bytes)
        return fail(Err::bad_argument);
    return parts_.interfaces.add(mac, mtu_bytes, link);
}

size_t Stack::links() const {
    return parts_.interfaces.count();
}

Result<> Stack::set_address(Ipv4Prefix address, LinkNumber on) {
    if (address.length > 32 || on.raw >= links()) return fail(Err::bad_argument);
    if (!address.address.is_any() && !address.address.is_plain_unicast()) {
        return fail(Err::bad_argument);
    }
    return parts_.set_address(address, on);
}

Ipv4Prefix Stack::address(LinkNumber on) const {
    return parts_.interfaces[on].address();
}

bool Stack::is_broadcast(Ipv4Address address) const {
    return parts_.ip.is_broadcast(address);
}

MacAddress Stack::mac(LinkNumber on) const {
    return parts_.interfaces[on].mac();
}

Result<> Stack::add_route(Ipv4Prefix destination, Ipv4Address gateway, LinkNumber on) {
    if (destination.length > 32 || on.raw >= links()) return fail(Err::bad_argument);
    if (!gateway.is_any()) {
        const Interface* const out = parts_.interfaces.find([&](const Interface& one) {
            return one.has_address() && one.address().contains(gateway);
        });
        if (out == nullptr) return fail(Err::network_unreachable);
        on = out->number();
    }
    return parts_.ip.routes().add(destination, gateway, on);
}

void Stack::set_forwarding(bool on) {
    parts_.forwarder.set_on(on);
}

bool Stack::forwarding() const {
    return parts_.forwarder.on();
}

Result<> Stack::remove_route(Ipv4Prefix destination) {
    return parts_.ip.routes().remove(destination);
}

void Stack::start_dhcp(Instant now) {
    parts_.dhcp.start(now);
    parts_.follow_dhcp(Dhcp::Change::none, now);
    settle(now);
}

void Stack::stop_dhcp() {
    parts_.dhcp.stop();
}

std::optional<Lease> Stack::lease() const {
    return parts_.dhcp.lease();
}

Result<SocketId>
Stack::tcp_listen(Endpoint local, uint16_t backlog, uint64_t cookie, const StreamOptions& options) {
    return parts_.tcp.listen(local, backlog, cookie, options);
}

Result<SocketId> Stack::tcp_connect(
    Endpoint remote, Endpoint local, uint64_t cookie, Instant now, const StreamOptions& options
) {
    const auto result = parts_.tcp.connect(remote, local, cookie, options, now);
    settle(now);
    return result;
}

Result<> Stack::tcp_may_bind(Endpoint local, bool reuse_address) const {
    return parts_.tcp.may_bind(local, reuse_address);
}

Result<Port> Stack::tcp_choose_port(Ipv4Address address) {
    return parts_.tcp.choose_port_to_bind(address);
}

Result<SocketId> Stack::tcp_accept(SocketId listener, uint64_t cookie) {
    return parts_.tcp.accept(listener, cookie);
}

Result<size_t> Stack::tcp_send(SocketId socket, Bytes data, Instant now) {
    const auto result = parts_.tcp.send(socket, data, false, now);
    settle(now);
    return result;
}

Result<size_t> Stack::tcp_send_urgent(SocketId socket, Bytes data, Instant now) {
    const auto result = parts_.tcp.send(socket, data, true, now);
    settle(now);
    return result;
}

Result<size_t> Stack::tcp_receive(SocketId socket, MutableBytes room, Instant now) {
    const auto result = parts_.tcp.receive(socket, room, now);
    settle(now);
    return result;
}

Result<Bytes> Stack::tcp_peek(SocketId socket) const {
    return parts_.tcp.peek(socket);
}

Result<> Stack::tcp_consume(SocketId socket, size_t bytes, Instant now) {
    const auto result = parts_.tcp.consume(socket, bytes, now);
    settle(now);
    return result;
}

Result<> Stack::tcp_shutdown(SocketId socket, Instant now) {
    const auto result = parts_.tcp.shutdown(socket, now);
    settle(now);
    return result;
}

Result<> Stack::tcp_close(SocketId socket, Instant now) {
    const auto result = parts_.tcp.close(socket, now);
    settle(now);
    return result;
}

Result<> Stack::tcp_abort(SocketId socket, Instant now) {
    const auto result = parts_.tcp.abort(socket, now);
    settle(now);
    return result;
}

Result<size_t> Stack::tcp_copy(SocketId socket, size_t offset, MutableBytes room) const {
    return parts_.tcp.copy(socket, offset, room);
}

Result<> Stack::tcp_configure(SocketId socket, const StreamOptions& options, Instant now) {
    const auto result = parts_.tcp.configure(socket, options, now);
    settle(now);
    return result;
}

Result<StreamOptions> Stack::tcp_options(SocketId socket) const {
    return parts_.tcp.options(socket);
}

Result<> Stack::tcp_set_backlog(SocketId listener, uint16_t backlog) {
    return parts_.tcp.set_backlog(listener, backlog);
}

Result<StreamInfo> Stack::tcp_info(SocketId socket) const {
    return parts_.tcp.details(socket);
}

Result<SocketId> Stack::udp_bind(Endpoint local, uint64_t cookie) {
    return parts_.udp.bind(local, cookie);
}

Result<> Stack::udp_send_to(SocketId socket, Endpoint to, Bytes data, Instant now) {
    const auto result = parts_.udp.send_to(socket, to, data, now);
    settle(now);
    return result;
}

Result<> Stack::udp_connect(SocketId socket, Endpoint remote) {
    return parts_.udp.connect(socket, remote);
}

Result<> Stack::udp_configure(SocketId socket, const DatagramOptions& options) {
    return parts_.udp.configure(socket, options);
}

Result<DatagramInfo> Stack::udp_receive_from(SocketId socket, MutableBytes room) {
    return parts_.udp.receive_from(socket, room, true);
}

Result<DatagramInfo> Stack::udp_copy(SocketId socket, MutableBytes room) {
    return parts_.udp.receive_from(socket, room, false);
}

Result<> Stack::udp_close(SocketId socket) {
    return parts_.udp.close(socket);
}

Result<SocketId> Stack::ping_open(uint64_t cookie) {
    return parts_.ping.open(cookie);
}

Result<> Stack::ping_send(
    SocketId socket, Ipv4Address to, uint16_t sequence, size_t payload_bytes, Instant now
) {
    const auto result = parts_.ping.send(socket, to, sequence, payload_bytes, now);
    settle(now);
    return result;
}

Result<PingReply> Stack::ping_receive(SocketId socket) {
    return parts_.ping.receive(socket);
}

Result<> Stack::ping_close(SocketId socket) {
    return parts_.ping.close(socket);
}

Result<SocketId> Stack::raw_open(const RawFilter& filter, uint64_t cookie) {
    return parts_.raw.open(filter, cookie);
}

Result<> Stack::raw_send(SocketId socket, Ipv4Address to, Bytes data, Instant now) {
    const auto result = parts_.raw.send(socket, to, data, now);
    settle(now);
    return result;
}

Result<RawInfo> Stack::raw_receive(SocketId socket, MutableBytes room) {
    return parts_.raw.receive(socket, room);
}

Result<> Stack::raw_close(SocketId socket) {
    return parts_.raw.close(socket);
}

Result<EventSet> Stack::ready(SocketId socket) const {
    switch (socket.kind()) {
    case SocketKind::datagram: return parts_.udp.ready(socket);
    case SocketKind::ping: return parts_.ping.ready(socket);
    case SocketKind::raw: return parts_.raw.ready(socket);
    default: return parts_.tcp.ready(socket);
    }
}

Result<Err> Stack::take_error(SocketId socket) {
    switch (socket.kind()) {
    case SocketKind::datagram: return TRY(parts_.udp.sockets().find(socket))->take_error();
    case SocketKind::ping: return TRY(parts_.ping.sockets().find(socket))->take_error();
    case SocketKind::raw: return TRY(parts_.raw.sockets().find(socket))->take_error();
    default: return TRY(parts_.tcp.base(socket))->take_error();
    }
}

Result<SocketInfo> Stack::info(SocketId socket) const {
    switch (socket.kind()) {
    case SocketKind::datagram: return parts_.udp.info(socket);
    case SocketKind::ping:
        TRY(parts_.ping.sockets().find(socket));
        return SocketInfo{.id = socket, .local = {}, .remote = {}};
    case SocketKind::raw:
        TRY(parts_.raw.sockets().find(socket));
        return SocketInfo{.id = socket, .local = {}, .remote = {}};
    default: return parts_.tcp.info(socket);
    }
}

size_t Stack::list_sockets(size_t& place, std::span<SocketInfo> room) const {
    size_t written = 0, begin = 0;
    const auto add_from = [&](const auto& entries, auto&& info_of) {
        for (; place < begin + entries.size() && written < room.size(); ++place) {
            if (const std::optional<SocketInfo> info = info_of(entries[place - begin]))
                room[written++] = *info;
        }
        begin += entries.size();
    };
    const auto by_handle = [](const auto& of) {
        return [&of](const auto& entry) -> std::optional<SocketInfo> {
            const auto info = of.info(entry.id);
            return info ? std::optional{*info} : std::nullopt;
        };
    };
    add_from(parts_.tcp.listeners().entries(), by_handle(parts_.tcp));
    // Those in TIME-WAIT and the like have no handle any more, but are there.
    add_from(
        parts_.tcp.connections().entries(),
        [](const tcp::Connection& connection) -> std::optional<SocketInfo> {
            if (!connection.listed && !connection.is_owned()) return std::nullopt;
            return connection.info();
        }
    );
    add_from(parts_.udp.sockets().entries(), by_handle(parts_.udp));
    return written;
}

size_t Stack::list_routes(size_t first, std::span<RouteInfo> room) const {
    const auto routes = parts_.ip.routes().entries();
    if (first >= routes.size()) return 0;
    const size_t count = std::min(room.size(), routes.size() - first);
    std::ranges::copy(routes.subspan(first, count), room.begin());
    return count;
}

size_t Stack::list_neighbours(size_t first, std::span<NeighbourInfo> room, Instant now) const {
    return parts_.arp.list(first, room, now);
}

const Drops& Stack::drops() const {
    return parts_.drops;
}

const Counters& Stack::counters() const {
    return parts_.counters;
}

} // namespace net
