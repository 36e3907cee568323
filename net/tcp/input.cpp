// What a segment does to a connection: RFC 9293 3.10.7.3 and 3.10.7.4, in that order, with the
// checks of RFC 5961.
#include "net/tcp/connection.hpp"
#include "net/tcp/engine.hpp"

namespace net::tcp {

void Connection::process(Engine& engine, const Segment& segment, Instant now) {
    if (state_ == State::syn_sent) return process_syn_sent(engine, segment, now);
    const Flags flags = segment.flags;
    if (state_ == State::syn_received && flags.syn() && flags.ack() &&
        segment.sequence == initial_receive_) {
        // Simultaneous open (RFC 9293 figure 7): the SYN was seen before, its ACK is news.
        Segment rest = segment;
        rest.sequence = receive_next_;
        rest.flags = Flags{uint8_t(flags.bits() & ~wire::Tcp::syn)};
        return process(engine, rest, now);
    }
    if (!acceptable(segment)) return refuse(engine, segment, now);
    if (flags.rst()) return process_reset(engine, segment, now);
    if (flags.syn()) { // RFC 5961 4.2, in every synchronized state
        engine.count(Drop::tcp_unexpected_syn);
        return challenge(engine, now);
    }
    if (!flags.ack()) return engine.count(Drop::tcp_no_ack);
    if (!process_ack(engine, segment, now)) return;
    process_text(engine, segment, now);
    if (state_ != State::closed) dispatch(engine, now);
}

void Connection::process_syn_sent(Engine& engine, const Segment& segment, Instant now) {
    const Flags flags = segment.flags;
    const SeqNumber ack = segment.acknowledgement;
    if (flags.ack() && (!after(ack, initial_send_) || after(ack, send_max_))) {
        engine.count(Drop::tcp_bad_handshake);
        if (!flags.rst()) engine.answer_with_reset(segment, now);
        return;
    }
    if (flags.rst()) {
        if (flags.ack()) return end(engine, Err::connection_refused);
        return engine.count(Drop::tcp_bad_reset);
    }
    if (!flags.syn()) return engine.count(Drop::tcp_bad_handshake);
    initial_receive_ = segment.sequence;
    receive_next_ = advertised_edge_ = segment.sequence + 1;
    negotiate(segment.options, engine.own_mss_bytes());
    if (!flags.ack()) { // both called at once: answer with SYN and ACK
        state_ = State::syn_received;
        send_window_ = greatest_window_ = segment.window;
        window_from_sequence_ = segment.sequence;
        send_next_ = initial_send_;
        timing_ = false;
        return dispatch(engine, now);
    }
    Segment rest = segment; // without the SYN, which is dealt with
    rest.sequence = receive_next_;
    rest.flags = Flags{uint8_t(flags.bits() & ~wire::Tcp::syn)};
    become_established(engine, segment, now);
    ack_now_ = true;
    process_text(engine, rest, now);
    if (state_ != State::closed) dispatch(engine, now);
}

/// RFC 9293 3.4, but the right edge counts as inside, so that with a closed window the
/// acknowledgements and resets of a peer that probes are still heard (3.10.7.4).
bool Connection::acceptable(const Segment& segment) const {
    const SeqNumber edge = receive_next_ + uint32_t(receive_ring_.room());
    if (segment.length() == 0) return within(receive_next_, segment.sequence, edge);
    return !after(segment.sequence, edge) && after(segment.end(), receive_next_);
}

void Connection::refuse(Engine& engine, const Segment& segment, Instant now) {
    engine.count(Drop::tcp_not_acceptable);
    if (segment.flags.rst()) return;
    if (state_ == State::syn_received && segment.flags.syn()) {
        if (!may_challenge(now)) return;
        send_next_ = initial_send_; // our SYN and ACK was lost
        timing_ = false;
        return dispatch(engine, now);
    }
    if (state_ == State::time_wait && segment.flags.fin()) enter_time_wait(engine, now);
    // Data that come twice mean a lost ACK: answered at once. Bare segments could be an echo of
    // our own answer, so those are limited.
    if (segment.length() == 0 && !may_challenge(now)) return;
    ack_now_ = true;
    dispatch(engine, now);
}

/// RFC 5961 3.2: only a reset at exactly the next number is believed.
void Connection::process_reset(Engine& engine, const Segment& segment, Instant now) {
    if (!(segment.sequence == receive_next_)) {
        engine.count(Drop::tcp_bad_reset);
        return challenge(engine, now);
    }
    ++engine.counters().tcp_resets_in;
    switch (state_) {
    case State::syn_received: return end(engine, active_ ? Err::connection_refused : Err::none);
    case State::closing:
    case State::last_ack:
    case State::time_wait: return end(engine, Err::none);
    default: return end(engine, Err::connection_reset);
    }
}

/// A few a second a connection: RFC 5961 7, without the global counter that leaks to others.
bool Connection::may_challenge(Instant now) {
    constexpr uint8_t most_a_second = 10;
    if (challenges_ == 0 || now - challenges_since_ >= seconds(1)) {
        challenges_since_ = now;
        challenges_ = 0;
    }
    if (challenges_ >= most_a_second) return false;
    ++challenges_;
    return true;
}

void Connection::challenge(Engine& engine, Instant now) {
    if (!may_challenge(now)) return;
    ++engine.counters().tcp_challenge_acks;
    ack_now_ = true;
    dispatch(engine, now);
}

void Connection::sample_rtt(SeqNumber ack, Instant now) {
    if (!timing_ || before(ack, timed_until_)) return;
    timing_ = false;
    rtt_.sample(now - timed_since_);
}

/// The peer has acknowledged our SYN.
void Connection::become_established(Engine& engine, const Segment& segment, Instant now) {
    const bool lost_syn = retries_ != 0;
    send_unacknowledged_ = initial_send_ + 1;
    send_next_ = send_max_ = later(send_max_, send_unacknowledged_);
    sample_rtt(segment.acknowledgement, now);
    if (lost_syn) rtt_.after_lost_syn();
    wait_for(engine, Waiting::nothing, now);
    retries_ = 0;
    // The window of a SYN is never scaled (RFC 7323 2.2).
    send_window_ = uint32_t{segment.window} << (segment.flags.syn() ? 0 : send_scale_);
    greatest_window_ = std::max(greatest_window_, send_window_);
    window_from_sequence_ = segment.sequence;
    window_from_ack_ = segment.acknowledgement;
    engine.congestion_control().start(congestion_, send_mss_, lost_syn);
    state_ = fin_wanted_ ? State::fin_wait_1 : State::established;
    if (listener != nullptr) return engine.established(*this);
    writer_waits_ = false;
    engine.raise(*this, Event::connected | Event::writable);
}

bool Connection::process_handshake_ack(Engine& engine, const Segment& segment, Instant now) {
    const SeqNumber ack = segment.acknowledgement;
    if (!after(ack, send_unacknowledged_) || after(ack, send_max_)) {
        engine.count(Drop::tcp_bad_ack);
        engine.answer_with_reset(segment, now);
        return false;
    }
    become_established(engine, segment, now);
    return true;
}

/// RFC 9293 3.10.7.4, fifth. False: the segment ends here.
bool Connection::process_ack(Engine& engine, const Segment& segment, Instant now) {
    if (state_ == State::syn_received && !process_handshake_ack(engine, segment, now)) {
        return false;
    }
    const SeqNumber ack = segment.acknowledgement;
    // RFC 5961 5.2: neither what was never sent, nor older than the peer's window allows.
    if (after(ack, send_max_) || before(ack, send_unacknowledged_ - greatest_window_)) {
        engine.count(Drop::tcp_bad_ack);
        challenge(engine, now);
        return false;
    }
    if (before(ack, send_unacknowledged_)) return true;
    if (waiting_ == Waiting::window) retries_ = 0; // it answers our probes, so it lives
    if (after(ack, send_unacknowledged_)) {
        process_new_ack(engine, ack, now);
    } else if (segment.length() == 0 && in_flight() != 0 && waiting_ != Waiting::window &&
               uint32_t{segment.window} << send_scale_ == send_window_) {
        process_duplicate_ack(engine, now);
    }
    if (state_ == State::closed) return false;
    update_window(engine, segment);
    return true;
}

void Connection::process_new_ack(Engine& engine, SeqNumber ack, Instant now) {
    const uint32_t flying = in_flight();
    const uint32_t acked = ack - send_unacknowledged_;
    const uint32_t data = std::min(acked, uint32_t(send_ring_.size()));
    const bool fin_acked = acked > data; // only the FIN is left in sequence space
    send_ring_.consume(data);
    send_unacknowledged_ = ack;
    send_next_ = later(send_next_, ack);
    sample_rtt(ack, now);
    retries_ = 0;
    const CongestionControl& control = engine.congestion_control();
    if (in_recovery_ && before(ack, recover_)) {
        // RFC 6582 3.2 step 3 (2): a partial one shows the next hole, and deflates the window.
        resend_first_ = true;
        congestion_.window_bytes -= std::min(acked, congestion_.window_bytes);
        congestion_.window_bytes += send_mss_;
    } else if (in_recovery_) {
        in_recovery_ = resend_first_ = false;
        duplicate_acks_ = 0;
        control.recovered(congestion_, in_flight());
    } else {
        duplicate_acks_ = 0;
        // RFC 2861: a window that was not used has not been tried.
        if (flying + send_mss_ >= congestion_.window_bytes) {
            control.acknowledged(congestion_, acked, now);
        }
    }
    if (in_flight() == 0) {
        wait_for(engine, Waiting::nothing, now);
    } else {
        wait_for(engine, Waiting::acknowledgement, now + rtt_.timeout()); // RFC 6298 (5.3)
    }
    if (writer_waits_ && send_ring_.room() >= send_ring_.capacity() / 4) {
        writer_waits_ = false;
        engine.raise(*this, Event::writable);
    }
    if (fin_acked) fin_acknowledged(engine, now);
}

/// RFC 5681 3.2 with RFC 6582 3.2.
void Connection::process_duplicate_ack(Engine& engine, Instant now) {
    ++duplicate_acks_total_;
    if (in_recovery_) {
        congestion_.window_bytes += send_mss_; // one has left the network
        return;
    }
    if (duplicate_acks_ < 3) ++duplicate_acks_;
    if (duplicate_acks_ != 3 || !after(send_unacknowledged_, recover_)) return;
    recover_ = send_max_;
    in_recovery_ = resend_first_ = true;
    timing_ = false;
    engine.congestion_control().lost(congestion_, in_flight(), now);
}

void Connection::update_window(Engine& engine, const Segment& segment) {
    const bool newer = before(window_from_sequence_, segment.sequence) ||
                       (window_from_sequence_ == segment.sequence &&
                        !after(window_from_ack_, segment.acknowledgement));
    if (!newer) return;
    const uint32_t window = uint32_t{segment.window} << send_scale_;
    if (waiting_ == Waiting::window && window > send_window_) {
        wait_for(engine, Waiting::nothing, Instant{});
        rtt_.forget_backoff();
    }
    send_window_ = window;
    greatest_window_ = std::max(greatest_window_, window);
    window_from_sequence_ = segment.sequence;
    window_from_ack_ = segment.acknowledgement;
}

void Connection::fin_acknowledged(Engine& engine, Instant now) {
    switch (state_) {
    case State::fin_wait_1:
        state_ = State::fin_wait_2;
        // Nobody will read what a silent peer might send: do not wait for ever.
        if (abandoned_) wait_for(engine, Waiting::end, now + engine.config().time_wait);
        return;
    case State::closing: return enter_time_wait(engine, now);
    case State::last_ack: return end(engine, Err::none);
    default: INVARIANT(false, "only these states have an unacknowledged FIN");
    }
}

void Connection::enter_time_wait(Engine& engine, Instant now) {
    const bool first = state_ != State::time_wait;
    state_ = State::time_wait;
    wait_for(engine, Waiting::end, now + engine.config().time_wait);
    if (first && is_owned()) engine.raise(*this, Event::closed);
}

/// RFC 9293 3.10.7.4, seventh and eighth. What finds no room is not acknowledged.
void Connection::process_text(Engine& engine, const Segment& segment, Instant now) {
    if (!can_receive()) return;
    Bytes data = segment.data;
    bool fin = segment.flags.fin();
    if (data.empty() && !fin) return;
    SeqNumber begin = segment.sequence;
    if (before(begin, receive_next_)) {
        ack_now_ = true;
        data = data.subspan(std::min<size_t>(receive_next_ - begin, data.size()));
        begin = receive_next_;
    }
    if (abandoned_ && !data.empty()) { // RFC 9293 3.6.1: nobody will ever read it
        engine.count(Drop::tcp_after_close);
        engine.send_reset(*this, now);
        return end(engine, Err::none);
    }
    const uint32_t ahead = begin - receive_next_;
    uint32_t room = uint32_t(receive_ring_.room());
    if (peer_fin_known_) room = std::min(room, peer_fin_ - receive_next_);
    if (ahead + data.size() > room) {
        engine.count(Drop::tcp_beyond_window);
        ack_now_ = true;
        fin = false;
        data = data.first(ahead < room ? room - ahead : 0);
    }
    if (!data.empty() && ahead == 0) {
        take_in_order(engine, data, now);
    } else if (!data.empty()) {
        ack_now_ = true; // RFC 5681 4.2: tell the sender of the hole at once
        ++out_of_order_;
        if (!beyond_.add(begin, begin + uint32_t(data.size()))) {
            return engine.count(Drop::tcp_out_of_order_full);
        }
        receive_ring_.place(ahead, data);
    }
    if (fin && !peer_fin_known_) {
        peer_fin_known_ = true;
        peer_fin_ = segment.end() - 1;
        ack_now_ = true;
    }
    if (peer_fin_known_ && receive_next_ == peer_fin_) process_fin(engine, now);
}

void Connection::take_in_order(Engine& engine, Bytes data, Instant now) {
    receive_ring_.write(data);
    receive_next_ = receive_next_ + uint32_t(data.size());
    received_bytes_ += data.size();
    if (!beyond_.empty()) {
        const SeqNumber reach = beyond_.advance(receive_next_);
        receive_ring_.grow(reach - receive_next_);
        received_bytes_ += reach - receive_next_;
        receive_next_ = reach;
        ack_now_ = true; // RFC 5681 4.2: a hole was filled, all or in part
    }
    if (is_owned()) engine.raise(*this, Event::readable);
    // RFC 9293 3.8.6.3: at least every second segment, and within the delay.
    if (++unanswered_segments_ >= 2) {
        ack_now_ = true;
    } else if (!delayed_ack_timer_.armed()) {
        engine.wheel().arm(delayed_ack_timer_, now + engine.config().delayed_ack);
    }
}

void Connection::process_fin(Engine& engine, Instant now) {
    receive_next_ = receive_next_ + 1;
    peer_fin_known_ = false;
    ack_now_ = true;
    if (is_owned()) engine.raise(*this, Event::readable | Event::peer_closed);
    switch (state_) {
    case State::established: state_ = State::close_wait; return;
    case State::fin_wait_1: state_ = State::closing; return;
    default: return enter_time_wait(engine, now); // FIN-WAIT-2
    }
}

} // namespace net::tcp
