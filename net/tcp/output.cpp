// What a connection sends, and when: RFC 9293 3.8, RFC 5681, RFC 6298.
#include "net/tcp/connection.hpp"
#include "net/tcp/engine.hpp"

namespace net::tcp {

void Connection::dispatch(Engine& engine, Instant now) {
    while (const auto out = next_segment()) {
        if (!engine.transmit(*this, *out, now)) return engine.hold(*this);
        note_sent(engine, *out, now);
    }
    override_ = false;
    // Nothing in flight will bring news of the window: ask for it (RFC 9293 3.8.6.1), and do not
    // wait for ever with a small segment either (3.8.6.2.1, the override).
    if (work_is_left() && in_flight() == 0 && waiting_ == Waiting::nothing) {
        wait_for(engine, Waiting::window, now + rtt_.timeout());
    }
}

bool Connection::fin_is_due() const {
    return state_ == State::fin_wait_1 || state_ == State::closing || state_ == State::last_ack;
}

bool Connection::work_is_left() const {
    if (state_ == State::syn_sent || state_ == State::syn_received) return false;
    const uint32_t offset = send_next_ - send_unacknowledged_;
    return offset < send_ring_.size() || (fin_is_due() && offset == send_ring_.size());
}

/// Nagle (RFC 9293 3.7.4) as Minshall and Linux have it: one small segment at a time in flight, so
/// that the tail of a long answer does not wait for a delayed acknowledgement of its beginning.
bool Connection::may_send_small() const {
    return no_delay_ || !after(small_until_, send_unacknowledged_);
}

std::optional<OutSegment> Connection::next_segment() const {
    using wire::Tcp;
    switch (state_) {
    case State::closed:
    case State::listen: return std::nullopt;
    case State::syn_sent:
        if (!(send_next_ == initial_send_)) return std::nullopt;
        return OutSegment{initial_send_, Tcp::syn, 0, 0, false};
    case State::syn_received:
        if (send_next_ == initial_send_) {
            return OutSegment{initial_send_, uint8_t(Tcp::syn | Tcp::ack), 0, 0, false};
        }
        break;
    default:
        if (resend_first_ || work_is_left()) {
            if (const auto out = next_data_segment()) return out;
        }
    }
    if (ack_now_) return bare_ack();
    return std::nullopt;
}

/// The first unacknowledged segment when that is asked for, else the next one that the windows
/// and the rules against silly windows and small segments permit.
std::optional<OutSegment> Connection::next_data_segment() const {
    const bool alone = resend_first_ && in_flight() != 0;
    const uint32_t offset = alone ? 0 : send_next_ - send_unacknowledged_;
    const uint32_t queued = uint32_t(send_ring_.size());
    uint32_t limit = send_mss_;
    if (!alone) {
        // RFC 3042: each of the first two duplicate acknowledgements lets one new segment go.
        const bool is_new = !before(send_next_, send_max_) && !in_recovery_;
        const uint32_t extra = is_new ? uint32_t{duplicate_acks_} % 3 * send_mss_ : 0;
        const uint32_t window = std::min(send_window_, congestion_.window_bytes + extra);
        limit = std::min(limit, window > offset ? window - offset : 0);
    }
    const uint32_t length = std::min(offset < queued ? queued - offset : 0, limit);
    const bool is_last = offset + length == queued;
    const bool fin = is_last && fin_is_due();
    if (length == 0 && !fin) return std::nullopt;
    const bool sends = alone || fin || override_ || length == send_mss_ ||
                       before(send_next_, send_max_) || // again, so no small news
                       (is_last && may_send_small()) ||
                       length >= std::max(greatest_window_ / 2, 1u); // RFC 9293 3.8.6.2.1
    if (!sends) return std::nullopt;
    uint8_t flags = wire::Tcp::ack;
    if (fin) flags |= wire::Tcp::fin;
    if (is_last && length != 0) flags |= wire::Tcp::psh;
    return OutSegment{send_unacknowledged_ + offset, flags, offset, length, alone};
}

void Connection::note_sent(Engine& engine, const OutSegment& out, Instant now) {
    ack_now_ = false;
    unanswered_segments_ = 0;
    engine.wheel().cancel(delayed_ack_timer_);
    last_sent_ = now;
    if (out.sequence_length() == 0) return;
    const SeqNumber end = out.sequence + out.sequence_length();
    if (after(end, send_max_)) {
        sent_bytes_ += std::min(end - send_max_, out.length);
        if (!timing_ && out.sequence == send_max_) {
            timing_ = true;
            timed_until_ = end;
            timed_since_ = now;
        }
    } else {
        timing_ = false; // Karn: it cannot be told which of the two was acknowledged
        ++retransmitted_;
        ++engine.counters().tcp_retransmitted;
    }
    if (out.resent_alone) {
        resend_first_ = false;
    } else {
        send_next_ = end;
    }
    if (out.length != 0 && out.length < send_mss_) small_until_ = end;
    send_max_ = later(send_max_, end);
    if (waiting_ != Waiting::acknowledgement) { // RFC 6298 (5.1)
        wait_for(engine, Waiting::acknowledgement, now + rtt_.timeout());
    }
}

void Connection::wait_for(Engine& engine, Waiting what, Instant until) {
    waiting_ = what;
    if (what == Waiting::nothing) {
        engine.wheel().cancel(retransmit_timer_);
    } else {
        engine.wheel().arm(retransmit_timer_, until);
    }
}

void Connection::expired(Engine& engine, Timer& timer, Instant now) {
    if (&timer == &delayed_ack_timer_) {
        ack_now_ = true;
        return dispatch(engine, now);
    }
    const Waiting what = waiting_;
    waiting_ = Waiting::nothing;
    switch (what) {
    case Waiting::acknowledgement: return retransmission_timeout(engine, now);
    case Waiting::window: return probe_window(engine, now);
    case Waiting::end: return end(engine, Err::none);
    case Waiting::nothing: INVARIANT(false, "an armed timer waits for something");
    }
}

/// RFC 6298 (5.4) to (5.6), RFC 5681 3.1; all from the first unacknowledged on goes again.
void Connection::retransmission_timeout(Engine& engine, Instant now) {
    constexpr uint16_t most_syn_ack_retries = 5;
    if (retries_ == 0) failing_since_ = now;
    const bool passive_opening = state_ == State::syn_received && !active_;
    if (now - failing_since_ >= engine.config().give_up ||
        (passive_opening && retries_ >= most_syn_ack_retries)) {
        return end(engine, soft_error_ != Err::none ? soft_error_ : Err::timed_out);
    }
    ++timeouts_;
    ++engine.counters().tcp_timeouts;
    engine.congestion_control().timed_out(congestion_, in_flight(), retries_ != 0);
    ++retries_;
    rtt_.back_off();
    recover_ = send_max_;
    in_recovery_ = resend_first_ = timing_ = false;
    duplicate_acks_ = 0;
    send_next_ = send_unacknowledged_;
    dispatch(engine, now);
    // The window may have closed meanwhile; then nothing was sent and it must be probed.
    if (waiting_ == Waiting::nothing && !held) {
        wait_for(engine, Waiting::window, now + rtt_.timeout());
    }
}

/// One byte beyond the closed window (RFC 9293 3.8.6.1), for ever as long as it is answered; or,
/// when the window is only small, what fits into it.
void Connection::probe_window(Engine& engine, Instant now) {
    if (retries_ == 0) failing_since_ = now;
    if (now - failing_since_ >= engine.config().give_up) {
        return end(engine, soft_error_ != Err::none ? soft_error_ : Err::timed_out);
    }
    if (send_window_ != 0) {
        override_ = true;
        return dispatch(engine, now);
    }
    if (!work_is_left()) return;
    ++retries_;
    rtt_.back_off();
    const bool has_data = !send_ring_.empty();
    const uint8_t flags = has_data ? wire::Tcp::ack : uint8_t(wire::Tcp::ack | wire::Tcp::fin);
    const OutSegment probe{send_unacknowledged_, flags, 0, has_data ? 1u : 0u, false};
    // Whether the link took it or not: there will be another one.
    if (engine.transmit(*this, probe, now)) ack_now_ = false;
    send_next_ = send_unacknowledged_;
    send_max_ = later(send_max_, send_unacknowledged_ + 1);
    timing_ = false;
    wait_for(engine, Waiting::window, now + rtt_.timeout());
}

/// The window field, and the promise in it. The edge moves in steps worth a segment, so that the
/// sender is not lured into small ones (RFC 9293 3.8.6.2.2), and never back.
uint16_t Connection::advertise(bool is_syn) {
    const uint32_t room = uint32_t(receive_ring_.room());
    if (is_syn) {
        const uint16_t field = uint16_t(std::min(room, 0xffffu));
        advertised_edge_ = receive_next_ + field;
        return field;
    }
    const uint32_t step = std::min<uint32_t>(send_mss_, uint32_t(receive_ring_.capacity() / 2));
    const SeqNumber edge = receive_next_ + room;
    const bool behind = before(advertised_edge_, receive_next_);
    const SeqNumber offered = behind || edge - advertised_edge_ >= step ? edge : advertised_edge_;
    const uint32_t field = std::min((offered - receive_next_) >> receive_scale_, 0xffffu);
    advertised_edge_ = receive_next_ + (field << receive_scale_);
    return uint16_t(field);
}

/// The application has read: tell the peer when that is worth a segment of its own.
void Connection::offer_more(Engine& engine, Instant now) {
    if (!can_receive()) return;
    const uint32_t capacity = uint32_t(receive_ring_.capacity());
    const uint32_t offered =
        before(advertised_edge_, receive_next_) ? 0 : advertised_edge_ - receive_next_;
    const uint32_t gain =
        uint32_t(receive_ring_.room()) - std::min(offered, uint32_t(receive_ring_.room()));
    const bool worth = gain >= capacity / 2 || (offered < capacity / 4 && gain >= 2u * send_mss_) ||
                       (offered < send_mss_ && gain >= std::min<uint32_t>(send_mss_, capacity / 2));
    if (!worth) return;
    ack_now_ = true;
    dispatch(engine, now);
}

} // namespace net::tcp
