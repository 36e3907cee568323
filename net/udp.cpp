#include "net/udp.hpp"

#include "net/checksum.hpp"
#include "net/wire/udp.hpp"

namespace net {
namespace {

/// What stands before each datagram in a socket's queue.
struct RecordHeader {
    Be<uint32_t> from, to;
    Be<uint16_t> port;
    Be<uint16_t> size;
};

template <class T>
std::span<std::byte, sizeof(T)> writable_bytes(T& value) {
    return std::as_writable_bytes(std::span<T, 1>{&value, 1});
}

} // namespace

Udp::Udp(
    Arena& arena,
    const Config& config,
    Ip& ip,
    NewsQueue& news,
    Random& random,
    Drops& drops,
    Counters& counters
)
    : ip_{ip}, news_{news}, random_{random}, drops_{drops}, counters_{counters},
      sockets_{arena, config.datagram_sockets}, ports_{arena, config.datagram_sockets} {
    const size_t each = config.datagram_buffer_bytes;
    MutableBytes memory = arena.bytes(config.datagram_sockets * each);
    if (memory.empty()) return;
    for (DatagramSocket& socket : sockets_.entries()) {
        socket.queue = ByteRing{memory.first(each)};
        memory = memory.subspan(each);
    }
}

std::optional<UdpDatagram> Udp::parse(const Ipv4Packet& packet) {
    ++counters_.udp_in;
    const auto refuse = [&](Drop reason) {
        drops_.count(reason);
        return std::nullopt;
    };
    Bytes bytes = packet.payload;
    const auto udp = peel<wire::Udp>(bytes);
    if (!udp) return refuse(Drop::udp_truncated);
    const size_t length = udp->length;
    if (length < sizeof(wire::Udp) || length > packet.payload.size()) {
        return refuse(Drop::udp_bad_length);
    }
    if (udp->checksum != 0 && !packet.sums_checked) {
        Checksum sum;
        sum.add_pseudo(packet.source, packet.destination, packet.protocol, length);
        sum.add(packet.payload.first(length));
        if (sum.finish() != 0) return refuse(Drop::udp_bad_checksum);
    }
    return UdpDatagram{
        {packet.source, Port{udp->source}},
        {packet.destination, Port{udp->destination}},
        bytes.first(length - sizeof(wire::Udp))
    };
}

bool Udp::deliver(const UdpDatagram& datagram) {
    DatagramSocket* socket = ports_.find(datagram.to);
    const bool wanted =
        socket != nullptr && (socket->remote.port.is_any() || socket->remote == datagram.from);
    if (!wanted) {
        drops_.count(Drop::udp_no_port);
        return false;
    }
    RecordHeader record{
        datagram.from.address.bits(),
        datagram.to.address.bits(),
        datagram.from.port.number(),
        uint16_t(datagram.payload.size())
    };
    if (socket->queue.room() < sizeof record + datagram.payload.size()) {
        drops_.count(Drop::udp_queue_full);
        return true;
    }
    socket->queue.write(writable_bytes(record));
    socket->queue.write(datagram.payload);
    news_.raise(*socket, Event::readable);
    return true;
}

void Udp::trouble(const Trouble& trouble) {
    Bytes quoted = trouble.transport;
    const auto udp = peel<wire::Udp>(quoted);
    DatagramSocket* socket = udp ? ports_.find({trouble.source, Port{udp->source}}) : nullptr;
    if (socket == nullptr) return drops_.count(Drop::icmp_bad_quote);
    const bool connected = !socket->remote.port.is_any();
    if (!connected && !socket->options.hears_errors) return;
    const Endpoint to{trouble.destination, Port{udp->destination}};
    if (connected && !(socket->remote == to)) return drops_.count(Drop::icmp_bad_quote);
    socket->error = trouble.error;
    news_.raise(*socket, Event::error);
}

void Udp::link_ready() {
    for (DatagramSocket& socket : sockets_.entries()) {
        if (std::exchange(socket.waits_for_link, false)) news_.raise(socket, Event::writable);
    }
}

Result<> Udp::output(
    Endpoint from, Endpoint to, Bytes payload, Way way, Instant now, const DatagramOptions& options
) {
    if (payload.size() > most_payload_bytes) return fail(Err::message_too_long);
    const uint16_t length = uint16_t(payload.size() + sizeof(wire::Udp));
    wire::Udp udp{from.port.number(), to.port.number(), length, {}};
    const Ip::Addresses addresses{from.address, to.address, wire::Protocol::udp};
    ++counters_.udp_out;
    TRY_VOID(ip_.look_up(addresses, way));
    Checksum sum;
    sum.add_pseudo(from.address, to.address, uint8_t(wire::Protocol::udp), length);
    udp.checksum = sum.so_far();
    OutPacket packet;
    packet.set_manner(options.service, options.time_to_live);
    packet.append(payload);
    packet.prepend(udp);
    packet.leave_sum(LinkWork::Sum::udp);
    if (!Ip::is_summed_by_link(packet, way)) packet.finish_sum();
    return ip_.output_along(packet, addresses, way, now);
}

/// RFC 6056 3.3.1: from a random place on, the first free one.
Result<Port> Udp::choose_port(Ipv4Address address) {
    const uint64_t start = random_.next();
    for (uint32_t i = 0; i < dynamic_ports; ++i) {
        const Port port{uint16_t(first_dynamic_port + (start + i) % dynamic_ports)};
        if (!ports_.taken({address, port})) return port;
    }
    return fail(Err::address_in_use);
}

Result<SocketId> Udp::bind(Endpoint local, uint64_t cookie) {
    if (!local.address.is_any() && !ip_.is_ours(local.address)) {
        return fail(Err::address_not_available);
    }
    if (local.port.is_any()) local.port = TRY(choose_port(local.address));
    if (ports_.taken(local)) return fail(Err::address_in_use);
    DatagramSocket* socket = sockets_.take();
    if (socket == nullptr) return fail(Err::no_slots);
    socket->local = local;
    socket->error = Err::none;
    socket->waits_for_link = false;
    socket->remote = {};
    socket->options = {};
    socket->queue.consume(socket->queue.size());
    ports_.add(*socket);
    return sockets_.hand_out(*socket, cookie);
}

Result<> Udp::send_to(SocketId id, Endpoint to, Bytes payload, Instant now) {
    DatagramSocket& socket = *TRY(sockets_.find(id));
    if (const Err error = socket.take_error(); error != Err::none) return fail(error);
    if (to.port.is_any()) return fail(Err::bad_argument);
    const Path path = TRY(ip_.path_to(to.address));
    Endpoint from = socket.local;
    Way way; // of its own if the address decides over the link
    if (from.address.is_any()) {
        from.address = path.source;
        way = path.way;
    }
    const auto sent = output(from, to, payload, way, now, socket.options);
    if (!sent && sent.error() == Err::no_space) socket.waits_for_link = true;
    return sent;
}

Result<> Udp::connect(SocketId id, Endpoint remote) {
    DatagramSocket& socket = *TRY(sockets_.find(id));
    if (remote.port.is_any()) remote = {};
    if (!remote.port.is_any()) TRY(ip_.path_to(remote.address));
    socket.remote = remote;
    return {};
}

Result<> Udp::configure(SocketId id, const DatagramOptions& options) {
    if (options.time_to_live == 0) return fail(Err::bad_argument);
    (*TRY(sockets_.find(id))).options = options;
    return {};
}

Result<DatagramInfo> Udp::receive_from(SocketId id, MutableBytes room, bool take) {
    DatagramSocket& socket = *TRY(sockets_.find(id));
    const bool looks_only = !take && room.empty(); // for the length: an error stays for who reads
    if (!looks_only)
        if (const Err error = socket.take_error(); error != Err::none) return fail(error);
    if (socket.queue.empty()) return fail(Err::would_block);
    RecordHeader record;
    socket.queue.peek(0, writable_bytes(record));
    const size_t full = record.size;
    const size_t copied = std::min(full, room.size());
    socket.queue.peek(sizeof record, room.first(copied));
    if (take) socket.queue.consume(sizeof record + full);
    return DatagramInfo{
        {Ipv4Address{record.from}, Port{record.port}}, Ipv4Address{record.to}, copied, full
    };
}

Result<> Udp::close(SocketId id) {
    DatagramSocket& socket = *TRY(sockets_.find(id));
    ports_.remove(socket);
    sockets_.put(socket);
    return {};
}

Result<EventSet> Udp::ready(SocketId id) const {
    const DatagramSocket& socket = *TRY(sockets_.find(id));
    EventSet set;
    if (!socket.waits_for_link) set.add(Event::writable);
    if (!socket.queue.empty()) set.add(Event::readable);
    if (socket.error != Err::none) set.add(Event::error);
    return set;
}

Result<SocketInfo> Udp::info(SocketId id) const {
    const DatagramSocket& socket = *TRY(sockets_.find(id));
    SocketInfo info{.id = id, .local = socket.local, .remote = socket.remote};
    info.receive_queue_bytes = uint32_t(socket.queue.size());
    return info;
}

} // namespace net
