// How a connection begins: RFC 9293 3.5 and 3.10.7.3, and what the two SYNs agree on.
#include "net/tcp/connection.hpp"
#include "net/tcp/engine.hpp"

namespace net::tcp {

void Connection::open(Engine& engine, Instant now) {
    state_ = State::syn_sent;
    active_ = true;
    dispatch(engine, now);
}

void Connection::open_by(Engine& engine, const Segment& syn, Instant now) {
    meet(syn, now);
    dispatch(engine, now);
}

void Connection::open_by_cookie(const Segment& syn, Instant now) {
    meet(syn, now);
    send_next_ = send_max_ = initial_send_ + 1;
    (void)advertise(true); // the promise that the cookie's segment made
}

void Connection::meet(const Segment& syn, Instant now) {
    state_ = State::syn_received;
    initial_receive_ = syn.sequence;
    receive_next_ = advertised_edge_ = last_ack_sent_ = syn.sequence + 1;
    last_heard_ = now;
    negotiate(syn.options, now);
    send_window_ = greatest_window_ = syn.window;
    window_from_sequence_ = syn.sequence;
}

/// Both SYNs have been seen: what the peer said of itself (RFC 9293 3.7.1, RFC 7323 2.2 and 3.2,
/// RFC 2018 2).
void Connection::negotiate(const Options& options, Instant now) {
    constexpr uint16_t least_mss_bytes = 64; // a peer that says less wants to hurt us
    const uint16_t theirs = options.mss_bytes.value_or(Options::default_mss_bytes);
    send_mss_ = std::max(least_mss_bytes, std::min(theirs, path_mss_));
    offers_window_scale_ = options.window_scale.has_value();
    send_scale_ = options.window_scale.value_or(0);
    if (!offers_window_scale_) receive_scale_ = 0;
    offers_blocks_ = options.sack_permitted;
    offers_timestamps_ = options.has_timestamps;
    recent_timestamp_ = options.timestamp_value;
    recent_since_ = now;
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
    receive_next_ = advertised_edge_ = last_ack_sent_ = segment.sequence + 1;
    last_heard_ = now;
    negotiate(segment.options, now);
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
    rest.flags = flags.without(wire::Tcp::syn);
    become_established(engine, segment, now);
    ack_now_ = true;
    process_text(engine, rest, now);
    if (state_ != State::closed) dispatch(engine, now);
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

/// The peer has acknowledged our SYN.
void Connection::become_established(Engine& engine, const Segment& segment, Instant now) {
    const bool lost_syn = retries_ != 0;
    send_unacknowledged_ = initial_send_ + 1;
    send_next_ = send_max_ = later(send_max_, send_unacknowledged_);
    sample_rtt(segment.acknowledgement, segment.options.timestamp_echo, now);
    if (lost_syn) rtt_.after_lost_syn();
    retries_ = 0;
    // The window of a SYN is never scaled (RFC 7323 2.2).
    send_window_ = uint32_t{segment.window} << (segment.flags.syn() ? 0 : send_scale_);
    greatest_window_ = std::max(greatest_window_, send_window_);
    window_from_sequence_ = segment.sequence;
    window_from_ack_ = segment.acknowledgement;
    engine.congestion_control().start(congestion_, full_segment(), lost_syn);
    state_ = fin_wanted_ ? State::fin_wait_1 : State::established;
    wait_for_nothing(engine, now);
    if (listener != nullptr) return engine.established(*this, now);
    writer_waits_ = false;
    engine.raise(*this, Event::connected | Event::writable);
}

} // namespace net::tcp
