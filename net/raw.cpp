#include "net/raw.hpp"

#include "net/wire/ethernet.hpp"

namespace net {
namespace {

/// What stands before each packet in a socket's queue.
struct RecordHeader {
    Be<uint32_t> size;
    uint8_t link{};
};

constexpr size_t most_payload_bytes = 65535 - sizeof(wire::Ipv4);

} // namespace

Raw::Raw(
    Arena& arena,
    const Config& config,
    Ip& ip,
    Interfaces& interfaces,
    NewsQueue& news,
    Drops& drops
)
    : ip_{ip}, interfaces_{interfaces}, news_{news}, drops_{drops},
      sockets_{arena, config.raw_sockets} {
    const size_t each = config.datagram_buffer_bytes;
    MutableBytes memory = arena.bytes(config.raw_sockets * each);
    if (memory.empty()) return;
    for (RawSocket& socket : sockets_.entries()) {
        socket.queue = ByteRing{memory.first(each)};
        memory = memory.subspan(each);
    }
}

void Raw::keep(RawSocket& socket, Bytes packet, LinkNumber from) {
    RecordHeader record{uint32_t(packet.size()), from.raw};
    if (socket.queue.room() < sizeof record + packet.size())
        return drops_.count(Drop::raw_queue_full);
    socket.queue.write(std::as_writable_bytes(std::span{&record, 1}));
    socket.queue.write(packet);
    news_.raise(socket, Event::readable);
}

void Raw::deliver_frame(Bytes frame, LinkNumber from) {
    Bytes rest = frame;
    const auto header = peel<wire::Ethernet>(rest);
    if (!header) return; // it is counted by who judges it
    const uint16_t type = header->type;
    for (RawSocket& socket : sockets_.entries()) {
        const RawFilter& filter = socket.filter;
        if (socket.id.kind() == SocketKind::none || filter.kind != RawFilter::Kind::frame) continue;
        if (filter.link != from || (filter.number != 0 && filter.number != type)) continue;
        keep(socket, frame, from);
    }
}

bool Raw::deliver_packet(const Ipv4Packet& packet) {
    bool taken = false;
    for (RawSocket& socket : sockets_.entries()) {
        const RawFilter& filter = socket.filter;
        if (socket.id.kind() == SocketKind::none || filter.kind != RawFilter::Kind::ip) continue;
        if (filter.number != packet.protocol) continue;
        keep(socket, packet.whole, first_link);
        taken = true;
    }
    return taken;
}

void Raw::link_ready() {
    for (RawSocket& socket : sockets_.entries())
        if (std::exchange(socket.waits_for_link, false)) news_.raise(socket, Event::writable);
}

Result<SocketId> Raw::open(const RawFilter& filter, uint64_t cookie) {
    const bool good = filter.kind == RawFilter::Kind::ip
                          ? filter.number != 0 && filter.number <= 0xff
                          : filter.link.raw < interfaces_.count();
    if (!good) return fail(Err::bad_argument);
    RawSocket* const socket = sockets_.take();
    if (socket == nullptr) return fail(Err::no_slots);
    socket->filter = filter;
    socket->error = Err::none;
    socket->waits_for_link = false;
    socket->queue.consume(socket->queue.size());
    ++open_;
    return sockets_.hand_out(*socket, cookie);
}

Result<> Raw::send(SocketId id, Ipv4Address to, Bytes data, Instant now) {
    RawSocket& socket = *TRY(sockets_.find(id));
    const RawFilter& filter = socket.filter;
    const auto sent = filter.kind == RawFilter::Kind::frame
                          ? send_frame(filter.link, data)
                          : send_packet(uint8_t(filter.number), to, data, now);
    if (!sent && sent.error() == Err::no_space) socket.waits_for_link = true;
    return sent;
}

Result<> Raw::send_packet(uint8_t protocol, Ipv4Address to, Bytes data, Instant now) {
    if (data.size() > most_payload_bytes) return fail(Err::message_too_long);
    const Path path = TRY(ip_.path_to(to));
    Way way = path.way;
    OutPacket packet;
    packet.append(data);
    return ip_.output_along(packet, {path.source, to, wire::Protocol(protocol)}, way, now);
}

Result<> Raw::send_frame(LinkNumber by, Bytes frame) {
    Interface& out = interfaces_[by];
    if (frame.size() < sizeof(wire::Ethernet)) return fail(Err::bad_argument);
    if (frame.size() > sizeof(wire::Ethernet) + out.mtu_bytes()) return fail(Err::message_too_long);
    return out.transmit_frame(frame);
}

Result<RawInfo> Raw::receive(SocketId id, MutableBytes room) {
    RawSocket& socket = *TRY(sockets_.find(id));
    if (socket.queue.empty()) return fail(Err::would_block);
    RecordHeader record;
    socket.queue.peek(0, std::as_writable_bytes(std::span{&record, 1}));
    const size_t full = uint32_t(record.size);
    const size_t copied = std::min(full, room.size());
    socket.queue.peek(sizeof record, room.first(copied));
    socket.queue.consume(sizeof record + full);
    return RawInfo{LinkNumber{{record.link}}, copied, full};
}

Result<> Raw::close(SocketId id) {
    sockets_.put(*TRY(sockets_.find(id)));
    --open_;
    return {};
}

Result<EventSet> Raw::ready(SocketId id) const {
    const RawSocket& socket = *TRY(sockets_.find(id));
    EventSet set;
    if (!socket.waits_for_link) set.add(Event::writable);
    if (!socket.queue.empty()) set.add(Event::readable);
    return set;
}

} // namespace net
