// What a connection sends, and when: RFC 9293 3.8, RFC 5681, RFC 6298.
#include "net/tcp/connection.hpp"
#include "net/tcp/engine.hpp"
#include "net/tcp/option_writer.hpp"

namespace net::tcp {

/// The window field, and the promise in it. The edge moves in steps worth a segment, so that the
/// sender is not lured into small ones (RFC 9293 3.8.6.2.2), and never back.
[[gnu::always_inline]] uint16_t Connection::advertise(bool is_syn) {
    const uint32_t room = receive_room();
    if (is_syn) {
        const uint16_t field = uint16_t(std::min(room, 0xffffu));
        advertised_edge_ = receive_next_ + field;
        return field;
    }
    const uint32_t step = std::min<uint32_t>(send_mss_, receive_limit() / 2);
    uint32_t offered = advertised_edge_ - receive_next_;
    const bool behind = int32_t(offered) < 0;
    if (behind || int32_t(room - offered) >= int32_t(step)) offered = room;
    const uint32_t field = std::min(offered >> receive_scale_, 0xffffu);
    advertised_edge_ = receive_next_ + (field << receive_scale_);
    return uint16_t(field);
}

/// From the options to the ports, in front of the data.
void Connection::write_header(
    OutPacket& packet, OutSegment out, uint16_t own_mss_bytes, Instant now
) {
    using wire::Tcp;
    OptionBytes options;
    const size_t option_bytes = write_options(options, out.flags, own_mss_bytes, now);
    packet.prepend_bytes(Bytes{options}.first(option_bytes));
    const uint16_t urgent = urgent_from(out.sequence);
    packet.prepend(
        Tcp{.ports = flow.ports_out(),
            .sequence = out.sequence.number(),
            .acknowledgement = (out.flags & Tcp::ack) != 0 ? receive_next_.number() : 0,
            .offset = uint8_t((sizeof(Tcp) + option_bytes) / 4 << 4),
            .flags = uint8_t(out.flags | (urgent != 0 ? Tcp::urg : 0)),
            .window = advertise((out.flags & Tcp::syn) != 0),
            .checksum = {},
            .urgent = urgent}
    );
}

[[gnu::always_inline]] inline void
Connection::add_data(OutPacket& packet, uint32_t offset, uint32_t length) const {
    if (length == 0) return;
    const Bytes first = sending().front(offset, length);
    packet.append(first);
    if (first.size() != length) [[unlikely]]
        packet.append(sending().front(offset + first.size(), length - first.size()));
}

[[gnu::always_inline]] inline bool
Connection::send(Engine& engine, OutPacket& packet, Instant now) {
    packet.dont_fragment = !may_fragment_;
    const auto sent = engine.output(packet, flow, way, now);
    // Whatever else goes wrong is as a loss on the way, and the timer sees to it.
    return sent || !(sent.error() == Err::no_space);
}

bool Connection::transmit(Engine& engine, OutSegment& out, Instant now) {
    OutPacket packet;
    packet.set_manner(options_.service, options_.time_to_live);
    if (out.length > full_segment()) packet.segment_bytes = uint16_t(full_segment());
    add_data(packet, out.offset, out.length);
    write_header(packet, out, own_mss_bytes(engine.own_mss_bytes(), options_), now);
    const bool sent = send(engine, packet, now);
    if (packet.left_out != 0) {
        out.length -= packet.left_out;
        out.flags = wire::Tcp::ack;
    }
    return sent;
}

[[gnu::always_inline]] inline void Connection::note_answered(Engine& engine, Instant now) {
    ack_now_ = false;
    unanswered_segments_ = 0;
    engine.wheel().cancel(delayed_ack_timer_);
    last_sent_ = now;
    last_ack_sent_ = receive_next_;
}

[[gnu::always_inline]] inline void
Connection::note_new(uint32_t data_bytes, SeqNumber first_end, Instant now) {
    sent_bytes_ += data_bytes;
    if (timing_) return;
    timing_ = true;
    timed_until_ = first_end; // of a train, that of its first segment
    timed_since_ = now;
}

void Connection::note_sent(Engine& engine, OutSegment out, Instant now) {
    note_answered(engine, now);
    if (out.sequence_length() == 0) return;
    const SeqNumber end = out.sequence + out.sequence_length();
    const uint32_t full = full_segment();
    if (out.sequence == send_max_) {
        note_new(out.length, out.sequence + std::min(out.sequence_length(), full), now);
    } else if (after(end, send_max_)) {
        sent_bytes_ += std::min(end - send_max_, out.length);
    } else {
        timing_ = false; // Karn: it cannot be told which of the two was acknowledged
        ++retransmitted_;
        ++engine.counters().tcp_retransmitted;
    }
    switch (out.why) {
    case OutSegment::Why::next: send_next_ = end; break;
    case OutSegment::Why::first: resend_first_ = false; [[fallthrough]];
    case OutSegment::Why::hole: repeated_ = later(repeated_, end); break;
    case OutSegment::Why::rescue: rescued_ = true; break;
    }
    if (out.length % full != 0) small_until_ = end;
    send_max_ = later(send_max_, end);
    if (waiting_ != Waiting::acknowledgement) { // RFC 6298 (5.1)
        wait_for(engine, Waiting::acknowledgement, now + rtt_.timeout());
    }
}

/// Nagle (RFC 9293 3.7.4) as Minshall and Linux have it: one small segment at a time in flight, so
/// that the tail of a long answer does not wait for a delayed acknowledgement of its beginning.
bool Connection::may_send_small() const {
    return options_.no_delay || !after(small_until_, send_unacknowledged_);
}

/// Of less than a full segment: against silly windows (RFC 9293 3.8.6.2.1) and small segments.
[[gnu::always_inline]] inline bool
Connection::is_worth_sending(uint32_t length, bool is_last) const {
    return (is_last && may_send_small()) || length >= std::max(greatest_window_ / 2, 1u);
}

/// How much of several segments goes at once, of what is unsent: no more than the windows have
/// room for, and a small one at the end only if it might go alone.
uint32_t Connection::train(uint32_t unsent, uint32_t room, uint32_t window, uint32_t full) const {
    uint32_t length = std::min({unsent, room, longest_train(full)});
    if (length < unsent && length < burst(window) && in_flight() >= 2 * full) return 0;
    const uint32_t tail = length % full;
    if (tail != 0 && !is_worth_sending(tail, length == unsent)) length -= tail;
    return length;
}

/// Where the link cuts, what the windows permit bit by bit is worth waiting for, up to a third of
/// them: two thirds are on the way still, so the acknowledgements for that will come. Else 0.
uint32_t Connection::burst(uint32_t window) const {
    if (!way.abilities.segments) return 0;
    return std::min(window / 3, longest_train(full_without_blocks()));
}

/// Of a plain connection: what follows what was sent, or only an acknowledgement. The link may take
/// less than `length`; then it says so.
[[gnu::always_inline]] inline bool Connection::transmit_plain(
    Engine& engine, uint32_t& length, uint32_t full, bool push, Instant now
) {
    using wire::Tcp;
    OutPacket packet;
    if (length > full) packet.segment_bytes = uint16_t(full);
    add_data(packet, in_flight(), length);
    if (offers_timestamps_) {
        constexpr uint32_t head = wire::TcpTimestamps::usual_head;
        packet.prepend(wire::TcpTimestamps{head, timestamp(now), recent_timestamp_});
    }
    packet.prepend(
        Tcp{.ports = flow.ports_out(),
            .sequence = send_max_.number(),
            .acknowledgement = receive_next_.number(),
            .offset = uint8_t(plain_head_),
            .flags = uint8_t(plain_head_ >> 8 | (push ? Tcp::psh : 0)),
            .window = advertise(false),
            .checksum = {},
            .urgent = {}}
    );
    const bool sent = send(engine, packet, now);
    length -= packet.left_out;
    return sent;
}

/// What dispatch() does for a plain connection: something new, or just an acknowledgement. False:
/// the link has no room.
bool Connection::send_plain(Engine& engine, Instant now) {
    while (true) {
        const uint32_t full = full_without_blocks();
        const uint32_t flying = in_flight();
        const uint32_t unsent = uint32_t(sending().size()) - flying;
        const uint32_t window = std::min(send_window_, congestion_.window_bytes);
        const uint32_t room = window > flying ? window - flying : 0;
        uint32_t length = std::min(unsent, room);
        if (unsent > full && room >= full) {
            length = train(unsent, room, window, full);
        } else if (length != full && !is_worth_sending(length, length == unsent)) {
            length = 0;
        }
        if (length == 0 && !ack_now_) return true;
        const bool push = length == unsent && length != 0;
        if (!transmit_plain(engine, length, full, push, now)) return false;
        note_answered(engine, now);
        if (length == 0) return true;
        note_new(length, send_max_ + std::min(length, full), now);
        const SeqNumber end = send_max_ + length;
        send_next_ = send_max_ = end;
        if (length != full && length % full != 0) small_until_ = end;
        if (waiting_ != Waiting::acknowledgement) {
            wait_for(engine, Waiting::acknowledgement, now + rtt_.timeout());
        }
        if (length == unsent) return true;
    }
}

void Connection::dispatch(Engine& engine, Instant now) {
    if (plain_head_ != not_plain) {
        if (!send_plain(engine, now)) return engine.hold(*this);
    } else {
        while (auto out = next_segment()) {
            if (!transmit(engine, *out, now)) return engine.hold(*this);
            note_sent(engine, *out, now);
        }
    }
    override_ = false;
    // Nothing in flight will bring news of the window: ask for it (RFC 9293 3.8.6.1), and do not
    // wait for ever with a small segment either (3.8.6.2.1, the override).
    if (in_flight() != 0) return;
    const bool waits = waiting_ != Waiting::nothing && waiting_ != Waiting::keep_alive;
    if (!waits && work_is_left()) {
        wait_for(engine, Waiting::window, now + rtt_.timeout());
    }
}

bool Connection::fin_is_due() const {
    return state_ == State::fin_wait_1 || state_ == State::closing || state_ == State::last_ack;
}

bool Connection::work_is_left() const {
    if (state_ == State::syn_sent || state_ == State::syn_received) return false;
    const uint32_t offset = send_next_ - send_unacknowledged_;
    return offset < sending().size() || (fin_is_due() && offset == sending().size());
}

std::optional<OutSegment> Connection::next_segment() const {
    using wire::Tcp;
    switch (state_) {
    case State::closed:
    case State::listen: return std::nullopt;
    case State::syn_sent:
        if (!(send_next_ == initial_send_)) return std::nullopt;
        return OutSegment{initial_send_, 0, 0, Tcp::syn};
    case State::syn_received:
        if (send_next_ == initial_send_) {
            return OutSegment{initial_send_, 0, 0, Tcp::syn | Tcp::ack};
        }
        break;
    default:
        if (resend_first_ || in_recovery_ || work_is_left()) {
            if (const auto out = next_data_segment()) return out;
        }
    }
    if (ack_now_) return bare_ack();
    return std::nullopt;
}

/// Bytes `from` on, at most `most` and not beyond `until`; with the FIN if that is next.
std::optional<OutSegment>
Connection::cut(SeqNumber from, SeqNumber until, OutSegment::Why why, uint32_t most) const {
    const uint32_t offset = from - send_unacknowledged_;
    const uint32_t queued = uint32_t(sending().size());
    if (offset > queued) return std::nullopt;
    const uint32_t length = std::min({queued - offset, until - from, most});
    const bool is_last = offset + length == queued;
    const SeqNumber after_data = from + length;
    const bool fin = is_last && fin_is_due() && held_by_peer().skip(after_data) == after_data;
    if (length == 0 && !fin) return std::nullopt;
    uint8_t flags = wire::Tcp::ack;
    if (fin) flags |= wire::Tcp::fin;
    if (is_last && length != 0) flags |= wire::Tcp::psh;
    return OutSegment{from, offset, length, flags, why};
}

std::optional<OutSegment> Connection::next_data_segment() const {
    if (resend_first_ && in_flight() != 0) {
        return cut(
            send_unacknowledged_,
            held_by_peer().next_begin(send_unacknowledged_, send_max_ + 1),
            OutSegment::Why::first,
            full_segment()
        );
    }
    if (in_recovery_ && offers_blocks_) return next_in_recovery();
    return next_in_turn();
}

/// What follows what was sent, if the windows and the rules against silly windows and small
/// segments permit.
std::optional<OutSegment> Connection::next_in_turn() const {
    const Ranges& theirs = held_by_peer();
    const SeqNumber from = theirs.empty() ? send_next_ : theirs.skip(send_next_);
    const uint32_t offset = from - send_unacknowledged_;
    const uint32_t queued = uint32_t(sending().size());
    const bool again = before(from, send_max_);
    // RFC 3042: each of the first two duplicate acknowledgements lets one new segment go. Blocks
    // do the same by what they take off the pipe.
    const bool limited_transmit = !again && !in_recovery_ && !offers_blocks_;
    const uint32_t extra =
        limited_transmit ? uint32_t{duplicate_acks_} % 3 * congestion_.mss_bytes : 0;
    const uint32_t flying = outstanding();
    const uint32_t network = congestion_.window_bytes + extra;
    const uint32_t room = std::min(
        send_window_ > offset ? send_window_ - offset : 0, network > flying ? network - flying : 0
    );
    const uint32_t gap =
        theirs.empty() ? room : std::min(room, theirs.next_begin(from, from + room) - from);
    const uint32_t full = full_segment();
    const bool several = !again && !in_recovery_ && !urgent_out_ && theirs.empty();
    auto out = cut(from, from + gap, OutSegment::Why::next, several ? longest_train(full) : full);
    if (!out) return std::nullopt;
    const bool is_last = offset + out->length == queued;
    const bool fin = (out->flags & wire::Tcp::fin) != 0;
    // What goes again is no small news, and what is urgent does not wait.
    const bool at_once = fin || again || override_ || urgent_out_;
    const uint32_t small = out->length % full;
    if (at_once || (small == 0 && out->length != 0)) return out;
    if (!options_.cork && is_worth_sending(small, is_last)) return out;
    if (out->length < full) return std::nullopt;
    out->length -= small;
    out->flags = wire::Tcp::ack;
    return out;
}

void Connection::wait_for(Engine& engine, Waiting what, Instant until) {
    waiting_ = what;
    if (what == Waiting::window || what == Waiting::end) plain_head_ = not_plain;
    engine.wheel().arm(retransmit_timer_, until);
}

/// Nothing is to come; an old connection may want to know whether its peer is still there.
void Connection::wait_for_nothing(Engine& engine, Instant now) {
    const bool open = state_ == State::established || state_ == State::close_wait;
    if (options_.keep_idle_seconds != 0 && open) {
        return wait_for(engine, Waiting::keep_alive, now + seconds(options_.keep_idle_seconds));
    }
    waiting_ = Waiting::nothing;
    engine.wheel().cancel(retransmit_timer_);
}

// --- Options

size_t Connection::block_option_bytes() const {
    if (!offers_blocks_ || beyond().empty()) return 0;
    return 4 + sizeof(uint64_t) * std::min<size_t>(beyond().size(), offers_timestamps_ ? 3 : 4);
}

/// How much data a segment may carry beside the options (RFC 9293 3.7.1, Eff.snd.MSS).
uint32_t Connection::full_segment() const {
    return full_without_blocks() - uint32_t(block_option_bytes());
}

size_t Connection::write_options(
    OptionBytes& into, uint8_t flags, uint16_t own_mss_bytes, Instant now
) const {
    OptionWriter options{into};
    std::optional<Timestamps> timestamps;
    if (offers_timestamps_) {
        const bool has_ack = (flags & wire::Tcp::ack) != 0;
        timestamps = {timestamp(now), has_ack ? recent_timestamp_ : 0};
    }
    if ((flags & wire::Tcp::syn) != 0) {
        options.syn(
            own_mss_bytes,
            offers_blocks_,
            timestamps,
            offers_window_scale_ ? std::optional{receive_scale_} : std::nullopt
        );
        return options.size();
    }
    if (timestamps) options.timestamps(*timestamps);
    const bool is_reset = (flags & wire::Tcp::rst) != 0;
    if (is_reset || block_option_bytes() == 0) return options.size();
    return options.size() + write_blocks(MutableBytes{into}.subspan(options.size()));
}

/// RFC 2018 4: first the range that the latest segment is in, then those reported before it, then
/// whichever there are.
size_t Connection::write_blocks(MutableBytes into) const {
    const Ranges& ranges = beyond();
    const size_t count = (block_option_bytes() - 4) / sizeof(uint64_t);
    OptionWriter options{into};
    options.blocks_follow(count);
    uint32_t done = 0; // a bit for each range
    static_assert(Ranges::most <= 32);
    size_t written = 0;
    const auto write = [&](size_t i) {
        if (written == count || (done >> i & 1) != 0) return;
        done |= uint32_t{1} << i;
        ++written;
        options.number(ranges[i].begin.number());
        options.number(ranges[i].end.number());
    };
    for (const SeqNumber reported : receive_memory->reported) {
        for (size_t i = 0; i < ranges.size(); ++i) {
            if (!before(reported, ranges[i].begin) && before(reported, ranges[i].end)) write(i);
        }
    }
    for (size_t i = 0; i < ranges.size(); ++i)
        write(i);
    return options.size();
}

// --- The window

/// The application has read: tell the peer when that is worth a segment of its own.
void Connection::offer_more(Engine& engine, Instant now) {
    if (!can_receive()) return;
    const uint32_t capacity = receive_limit();
    const uint32_t offered =
        before(advertised_edge_, receive_next_) ? 0 : advertised_edge_ - receive_next_;
    const uint32_t gain = receive_room() - std::min(offered, receive_room());
    const bool worth = gain >= capacity / 2 || (offered < capacity / 4 && gain >= 2u * send_mss_) ||
                       (offered < send_mss_ && gain >= std::min<uint32_t>(send_mss_, capacity / 2));
    if (!worth) return;
    ack_now_ = true;
    dispatch(engine, now);
}

} // namespace net::tcp
