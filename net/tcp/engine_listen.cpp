// Listeners: handshakes of others, those that are remembered and those that are not.
#include "net/tcp/engine.hpp"

namespace net::tcp {

/// RFC 9293 3.10.7.2. Where silence is the answer, the peer tries again when there may be room.
void Engine::input_for_listener(
    Listener& listener, const Segment& segment, std::optional<SeqNumber> used, Instant now
) {
    if (segment.flags.rst()) return count(Drop::tcp_bad_reset);
    if (segment.flags.ack()) return input_for_cookie(listener, segment, now);
    if (!segment.flags.syn()) return count(Drop::tcp_bad_handshake);
    if (listener.waiting >= listener.backlog) return count(Drop::tcp_listen_full);
    // Those that wait for accept are welcome; half-open ones may be a flood, which shall not keep
    // others out.
    const bool flooded = listener.pending >= listener.backlog;
    if (flooded) return answer_with_cookie(listener, segment, now);
    Connection* connection = take_connection();
    if (connection == nullptr && listener.pending > listener.waiting) {
        return answer_with_cookie(listener, segment, now);
    }
    if (connection == nullptr) return count(Drop::tcp_no_memory);
    Connection::Birth origin = birth(segment.to, segment.from, now);
    // RFC 9293 MAY-2 (1): what is still under way of the old one shall not look like ours.
    if (used) origin.sequence = later(origin.sequence, *used + 65536);
    connection->reset(segment.to, segment.from, origin, listener.options);
    connection->listener = &listener;
    ++listener.pending;
    enlist(*connection);
    enter(*connection, Connection::Queue::half_open);
    connection->open_by(*this, segment, now);
    settle(*connection);
}

void Engine::answer_with_cookie(const Listener& listener, const Segment& syn, Instant now) {
    std::optional<Timestamps> timestamps;
    if (syn.options.has_timestamps) {
        const uint32_t clock = Connection::clock(birth(syn.to, syn.from, now), now);
        timestamps = {SynCookies::stamp(clock, syn.options), syn.options.timestamp_value};
    }
    // Without timestamps there is no place to remember what else it offered.
    const bool scales = timestamps && syn.options.window_scale;
    const uint32_t most = Connection::most_receive_bytes(config_, listener.options);
    const uint8_t scale = Connection::scale_for(most);
    OptionBytes bytes;
    OptionWriter options{bytes};
    options.syn(
        Connection::own_mss_bytes(own_mss_bytes(), listener.options),
        timestamps && syn.options.sack_permitted,
        timestamps,
        scales ? std::optional{scale} : std::nullopt
    );
    const Header header{
        .from = syn.to,
        .to = syn.from,
        .sequence = cookies_.make(syn, now),
        .acknowledgement = syn.sequence + 1,
        .flags = wire::Tcp::syn | wire::Tcp::ack,
        .window = uint16_t(std::min<uint32_t>(most, 0xffff)),
    };
    ++counters_.tcp_cookies_sent;
    OutPacket packet;
    const auto sent = send_header(header, packet, Bytes{bytes}.first(options.size()), now);
    if (!sent && sent.error() == Err::no_space) count(Drop::link_full);
}

/// An acknowledgement that no connection knows: of a cookie, or of nothing.
void Engine::input_for_cookie(Listener& listener, const Segment& segment, Instant now) {
    const auto options = segment.flags.syn() ? std::nullopt : cookies_.check(segment, now);
    if (!options) {
        count(Drop::tcp_bad_handshake);
        return answer_with_reset(segment, now);
    }
    // Who is deferred is pending, not waiting; and cookies pass the bound on what is pending.
    const bool hoards =
        listener.options.defer_seconds != 0 && listener.pending >= 2u * listener.backlog;
    if (listener.waiting >= listener.backlog || hoards) return count(Drop::tcp_listen_full);
    Connection* connection = take_connection();
    if (connection == nullptr && forget_half_open(now)) connection = take_connection();
    if (connection == nullptr) return count(Drop::tcp_no_memory);
    Connection::Birth origin = birth(segment.to, segment.from, now);
    origin.sequence = segment.acknowledgement - 1;
    connection->reset(segment.to, segment.from, origin, listener.options);
    connection->listener = &listener;
    ++listener.pending;
    enlist(*connection);
    ++counters_.tcp_cookies_accepted;
    Segment syn = segment;
    syn.sequence = segment.sequence - 1;
    syn.options = *options;
    connection->open_by_cookie(syn, now);
    connection->process(*this, segment, now);
    settle(*connection);
}

/// A peer that has proved to be there is worth more than one that has not.
bool Engine::forget_half_open(Instant now) {
    if (half_open_.empty()) return false;
    Connection& oldest = *half_open_.front();
    count(Drop::tcp_half_open_evicted);
    oldest.abort(*this, now);
    settle(oldest);
    return true;
}

void Engine::leave_listener(Connection& connection) {
    if (connection.listener == nullptr) return;
    if (connection.queue == Connection::Queue::accept) --connection.listener->waiting;
    leave_queue(connection);
    --std::exchange(connection.listener, nullptr)->pending;
}

void Engine::established(Connection& connection, Instant now) {
    leave_queue(connection); // of those half open
    if (connection.options().defer_seconds != 0) return connection.defer(*this, now);
    show(connection);
}

void Engine::show(Connection& connection) {
    Listener& listener = *connection.listener;
    enter(connection, Connection::Queue::accept);
    ++listener.waiting;
    ++counters_.tcp_accepted;
    raise(listener, Event::acceptable);
}

} // namespace net::tcp
