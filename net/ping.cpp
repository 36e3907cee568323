#include "net/ping.hpp"

namespace net {

Ping::Ping(
    Arena& arena,
    const Config& config,
    Ip& ip,
    Icmp& icmp,
    NewsQueue& news,
    Random& random,
    Drops& drops
)
    : ip_{ip}, icmp_{icmp}, news_{news}, random_{random}, drops_{drops},
      sockets_{arena, config.ping_sockets},
      pattern_{arena.bytes(config.ping_sockets == 0 ? 0 : most_payload_bytes)} {
    for (size_t i = 0; i < pattern_.size(); ++i)
        pattern_[i] = std::byte(i & 0xff);
}

PingSocket* Ping::find(uint16_t identifier) {
    for (PingSocket& socket : sockets_.entries()) {
        if (socket.id.kind() == SocketKind::ping && socket.identifier == identifier) return &socket;
    }
    return nullptr;
}

void Ping::reply(const Ipv4Packet& packet, const Icmp::EchoReply& reply, Instant now) {
    PingSocket* socket = find(reply.identifier);
    if (socket == nullptr) return drops_.count(Drop::icmp_unmatched_reply);
    const PingReply answer{
        .from = packet.source,
        .sequence = reply.sequence,
        .ttl = packet.time_to_live,
        .bytes = reply.bytes,
        .round_trip = {},
    };
    finish(*socket, answer, now);
}

void Ping::trouble(const Trouble& trouble, Instant now) {
    Bytes quoted = trouble.transport;
    const auto icmp = peel<wire::Icmp>(quoted);
    PingSocket* socket =
        icmp && icmp->type == wire::Icmp::echo_request ? find(icmp->first) : nullptr;
    if (socket == nullptr) return drops_.count(Drop::icmp_bad_quote);
    const PingReply answer{
        .from = trouble.reporter,
        .sequence = icmp->second,
        .round_trip = {},
        .error = trouble.error,
    };
    finish(*socket, answer, now);
}

/// Counts only as the answer to a question that is open: not a forged or a second one.
void Ping::finish(PingSocket& socket, PingReply reply, Instant now) {
    for (auto& question : socket.questions) {
        if (!question.open || question.sequence != reply.sequence) continue;
        question.open = false;
        if (socket.reply_count == socket.replies.size()) return drops_.count(Drop::ping_queue_full);
        reply.round_trip = now - question.sent;
        const size_t at = (socket.first_reply + socket.reply_count++) % socket.replies.size();
        socket.replies[at] = reply;
        return news_.raise(socket, Event::readable);
    }
    drops_.count(Drop::icmp_unmatched_reply);
}

Result<SocketId> Ping::open(uint64_t cookie) {
    PingSocket* socket = sockets_.take();
    if (socket == nullptr) return fail(Err::no_slots);
    do
        socket->identifier = uint16_t(random_.next());
    while (find(socket->identifier) != nullptr);
    socket->error = Err::none;
    socket->questions = {};
    socket->reply_count = 0;
    return sockets_.hand_out(*socket, cookie);
}

Result<>
Ping::send(SocketId id, Ipv4Address to, uint16_t sequence, size_t payload_bytes, Instant now) {
    PingSocket& socket = *TRY(sockets_.find(id));
    if (payload_bytes > most_payload_bytes) return fail(Err::message_too_long);
    const Path path = TRY(ip_.path_to(to));
    auto& question = socket.questions[socket.next_question++ % PingSocket::most_open];
    question = {.sequence = sequence, .open = true, .sent = now};
    return icmp_.send_echo(
        path.source, to, socket.identifier, sequence, pattern_.first(payload_bytes), now
    );
}

Result<PingReply> Ping::receive(SocketId id) {
    PingSocket& socket = *TRY(sockets_.find(id));
    if (socket.reply_count == 0) return fail(Err::would_block);
    const PingReply reply = socket.replies[socket.first_reply];
    socket.first_reply = (socket.first_reply + 1) % socket.replies.size();
    --socket.reply_count;
    return reply;
}

Result<> Ping::close(SocketId id) {
    sockets_.put(*TRY(sockets_.find(id)));
    return {};
}

Result<EventSet> Ping::ready(SocketId id) const {
    const PingSocket& socket = *TRY(sockets_.find(id));
    EventSet set = Event::writable;
    if (socket.reply_count != 0) set.add(Event::readable);
    return set;
}

} // namespace net
