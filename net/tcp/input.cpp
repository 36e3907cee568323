// What a segment does to a connection: RFC 9293 3.10.7.3 and 3.10.7.4, in that order, with the
// checks of RFC 5961.
#include <bit>
#include <cstddef>

#include "net/checksum.hpp"
#include "net/tcp/connection.hpp"
#include "net/tcp/engine.hpp"

namespace net::tcp {

void Connection::process(Engine& engine, const Segment& segment, Instant now) {
    plain_head_ = not_plain;
    process_segment(engine, segment, now);
    note_whether_plain();
}

void Connection::note_whether_plain() {
    using wire::Tcp;
    if (!is_plain()) return;
    const size_t bytes = sizeof(Tcp) + (offers_timestamps_ ? sizeof(wire::TcpTimestamps) : 0);
    plain_head_ = uint16_t(bytes / 4 << 4 | Tcp::ack << 8);
}

/// Nothing is the matter: the short ways of take_expected() and send_plain() lead where the long
/// ones do. Whatever may change this clears plain_head_.
bool Connection::is_plain() const {
    const bool waits = waiting_ == Waiting::window || waiting_ == Waiting::end || retries_ != 0;
    // A bare acknowledgement may have overtaken data: its window is newer than theirs.
    const bool receives =
        beyond().empty() && !peer_fin_known_ && !after(window_from_sequence_, receive_next_);
    const bool sends = held_by_peer().empty() && !in_recovery_ && !resend_first_ && !override_ &&
                       !urgent_out_ && duplicate_acks_ == 0 && send_next_ == send_max_;
    return state_ == State::established && is_owned() && options_.is_usual() && !waits &&
           receives && sends;
}

void Connection::process_segment(Engine& engine, const Segment& segment, Instant now) {
    if (state_ == State::syn_sent) return process_syn_sent(engine, segment, now);
    const Flags flags = segment.flags;
    if (!timely(engine, segment, now)) return;
    if (state_ == State::syn_received && flags.syn() && flags.ack() &&
        segment.sequence == initial_receive_) {
        // Simultaneous open (RFC 9293 figure 7): the SYN was seen before, its ACK is news.
        Segment rest = segment;
        rest.sequence = receive_next_;
        rest.flags = flags.without(wire::Tcp::syn);
        return process_segment(engine, rest, now);
    }
    if (!acceptable(segment)) return refuse(engine, segment, now);
    if (flags.rst()) return process_reset(engine, segment, now);
    if (flags.syn()) { // RFC 5961 4.2, in every synchronized state
        engine.count(Drop::tcp_unexpected_syn);
        return challenge(engine, now);
    }
    if (!flags.ack()) return engine.count(Drop::tcp_no_ack);
    if (!is_possible_ack(engine, segment, now)) return; // who guesses moves no clock of ours
    last_heard_ = now;
    // RFC 7323 4.3 (R3)
    if (offers_timestamps_ && !after(segment.sequence, last_ack_sent_)) {
        recent_timestamp_ = segment.options.timestamp_value;
        recent_since_ = now;
    }
    if (!process_ack(engine, segment, now)) return;
    if (flags.urg()) process_urgent(engine, segment);
    process_text(engine, segment, now);
    if (state_ != State::closed) dispatch(engine, now);
}

[[gnu::always_inline]] inline void
Connection::data_arrived(Engine& engine, bool at_once, Instant now) {
    // RFC 9293 3.8.6.3: at least every second segment, and within the delay.
    if (++unanswered_segments_ >= 2 || at_once) {
        ack_now_ = true;
    } else if (!delayed_ack_timer_.armed()) {
        engine.wheel().arm(delayed_ack_timer_, now + engine.config().delayed_ack);
    }
}

/// Header prediction (Jacobson 1990): is it what an established connection gets nearly always?
/// Looks only; whether the checksum is right is seen when the data are taken.
[[gnu::always_inline]] inline bool Connection::expects(Bytes bytes) const {
    using wire::Tcp;
    constexpr uint16_t push = Tcp::psh << 8;
    const std::byte* at = bytes.data();
    const uint16_t head = load<uint16_t>(at + offsetof(Tcp, offset));
    if ((head & ~push) != plain_head_ || bytes.size() < plain_header_bytes()) return false;
    const auto tcp = load<Tcp>(at);
    if (offers_timestamps_) {
        const auto times = load<wire::TcpTimestamps>(at + sizeof tcp);
        if (times.head != wire::TcpTimestamps::usual_head) return false;
        if (int32_t(times.value - recent_timestamp_) < 0) return false;
    }
    const uint32_t acked = SeqNumber{tcp.acknowledgement} - send_unacknowledged_;
    if (!(SeqNumber{tcp.sequence} == receive_next_) || acked > in_flight()) return false;
    const uint32_t length = uint32_t(bytes.size()) - plain_header_bytes();
    // The ring never has more room than the limit allows: it grows up to that.
    return (length | acked) != 0 && length <= receiving().room();
}

bool Connection::take(Engine& engine, const Ipv4Packet& packet, Instant now) {
    // The first byte for who holds nothing: room for it, so that the short way is taken all the
    // same.
    if (receiving().capacity() == 0 && plain_head_ != not_plain &&
        packet.payload.size() > plain_header_bytes()) [[unlikely]] {
        const size_t bytes = packet.payload.size() - plain_header_bytes();
        engine.provide(receive_memory, bytes, receive_limit(), Engine::Purpose::receiving);
    }
    if (!expects(packet.payload)) return false;
    take_expected(engine, packet, now);
    return true;
}

/// Does in short what process() would.
void Connection::take_expected(Engine& engine, const Ipv4Packet& packet, Instant now) {
    const Bytes bytes = packet.payload;
    if (!packet.sums_checked) {
        Checksum sum{flow.pseudo_sum(bytes.size())};
        sum.add_sum(sum_of(bytes));
        if (!sum.holds()) return engine.count(Drop::tcp_bad_checksum);
    }
    const auto tcp = load<wire::Tcp>(bytes.data());
    const SeqNumber ack{tcp.acknowledgement};
    uint32_t echo = 0;
    if (offers_timestamps_) {
        const auto times = load<wire::TcpTimestamps>(bytes.data() + sizeof tcp);
        echo = times.echo;
        if (!after(receive_next_, last_ack_sent_)) { // RFC 7323 4.3 (R3)
            recent_timestamp_ = times.value;
            recent_since_ = now;
        }
    }
    last_heard_ = now;
    // The number is the one expected, so the window is the latest.
    send_window_ = uint32_t{tcp.window} << send_scale_;
    greatest_window_ = std::max(greatest_window_, send_window_);
    window_from_sequence_ = receive_next_;
    window_from_ack_ = ack;
    if (!(ack == send_unacknowledged_)) process_new_ack(engine, ack, echo, now);
    const uint32_t length = uint32_t(bytes.size()) - plain_header_bytes();
    if (length != 0) {
        receiving().append({bytes.data() + plain_header_bytes(), length});
        receive_next_ = receive_next_ + length;
        received_bytes_ += length;
        engine.raise(*this, Event::readable);
        data_arrived(engine, false, now);
    }
    if (ack_now_ || in_flight() != sending().size()) dispatch(engine, now);
}

/// RFC 7323 5.3 (PAWS) and 3.2. False: the segment ends here.
bool Connection::timely(Engine& engine, const Segment& segment, Instant now) {
    constexpr Duration clock_life = seconds(24 * 24 * 3600); // 5.5: 24 days
    if (!offers_timestamps_ || segment.flags.rst()) return true;
    if (!segment.options.has_timestamps) {
        if (segment.flags.syn()) return true; // a peer that has forgotten us: to be challenged
        engine.count(Drop::tcp_no_timestamp);
        return false;
    }
    if (int32_t(segment.options.timestamp_value - recent_timestamp_) >= 0) return true;
    if (now - recent_since_ >= clock_life) {
        recent_timestamp_ = segment.options.timestamp_value;
        recent_since_ = now;
        return true;
    }
    engine.count(Drop::tcp_old_timestamp);
    answer_unacceptable(engine, segment, now);
    return false;
}

/// RFC 9293 3.4, but the right edge counts as inside, so that with a closed window the
/// acknowledgements and resets of a peer that probes are still heard (3.10.7.4).
bool Connection::acceptable(const Segment& segment) const {
    const SeqNumber edge = later(receive_next_ + receive_room(), advertised_edge_);
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
    answer_unacceptable(engine, segment, now);
}

/// Data that come twice mean a lost ACK: answered at once. Bare segments could be an echo of our
/// own answer, so those are limited.
void Connection::answer_unacceptable(Engine& engine, const Segment& segment, Instant now) {
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
    // The peer has sent all it had, and will not take ours any more.
    case State::close_wait: return end(engine, Err::broken_pipe);
    default: return end(engine, Err::connection_reset);
    }
}

/// A few a second a connection: RFC 5961 7, without the global counter that leaks to others.
bool Connection::may_challenge(Instant now) {
    constexpr uint8_t most_a_second = 10;
    constexpr uint32_t second = uint32_t(seconds(1).ns >> timestamp_shift) + 1;
    if (challenges_ == 0 || timestamp(now) - challenges_since_ >= second) {
        challenges_since_ = timestamp(now);
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

/// One segment at a time is timed by our own clock; of what was repeated only its timestamp tells
/// which of the copies was acknowledged (RFC 7323 4, instead of Karn's silence).
void Connection::sample_rtt(SeqNumber ack, uint32_t echo, Instant now) {
    if (timing_) {
        if (before(ack, timed_until_)) return;
        timing_ = false;
        return rtt_.sample(now - timed_since_);
    }
    const bool repeated = retries_ != 0 || in_recovery_;
    if (!repeated || !offers_timestamps_) return;
    const int32_t ticks = int32_t(timestamp(now) - echo);
    if (ticks >= 0) rtt_.sample(Duration{int64_t{ticks} << timestamp_shift});
}

/// RFC 5961 5.2: neither what was never sent, nor older than the peer's window allows.
bool Connection::is_possible_ack(Engine& engine, const Segment& segment, Instant now) {
    if (state_ == State::syn_received) return process_handshake_ack(engine, segment, now);
    const SeqNumber ack = segment.acknowledgement;
    if (!after(ack, send_max_) && !before(ack, send_unacknowledged_ - greatest_window_))
        return true;
    engine.count(Drop::tcp_bad_ack);
    challenge(engine, now);
    return false;
}

/// RFC 9293 3.10.7.4, fifth. False: the segment ends here.
bool Connection::process_ack(Engine& engine, const Segment& segment, Instant now) {
    const SeqNumber ack = segment.acknowledgement;
    if (before(ack, send_unacknowledged_)) return true;
    // It answers our probes, so it lives; but after our user has gone, only progress counts: a
    // peer that keeps its window shut would keep our memory for ever (RFC 6429 4).
    const bool asked = waiting_ == Waiting::keep_alive || waiting_ == Waiting::window;
    if (asked && !is_abandoned()) retries_ = 0;
    const bool is_new = after(ack, send_unacknowledged_);
    const bool has_blocks = offers_blocks_ && !segment.options.sack.empty();
    const bool sack_news = has_blocks && note_blocks(segment.options.sack);
    if (is_new) {
        process_new_ack(engine, ack, segment.options.timestamp_echo, now);
    } else if (!offers_blocks_ && segment.length() == 0 && in_flight() != 0 &&
               waiting_ != Waiting::window &&
               uint32_t{segment.window} << send_scale_ == send_window_) {
        process_duplicate_ack(engine, now);
    }
    if (sack_news) process_sack_news(engine, !is_new, now);
    if (state_ == State::closed) return false;
    update_window(engine, segment, now);
    return true;
}

void Connection::process_new_ack(Engine& engine, SeqNumber ack, uint32_t echo, Instant now) {
    const uint32_t flying = in_flight();
    const uint32_t acked = ack - send_unacknowledged_;
    const uint32_t data = std::min(acked, uint32_t(sending().size()));
    const bool fin_acked = acked > data; // only the FIN is left in sequence space
    sending().consume(data);
    send_unacknowledged_ = ack;
    send_next_ = later(send_next_, ack);
    if (!held_by_peer().empty()) {
        held_by_peer().forget_before(ack);
        // What it said to hold, it must acknowledge: else it has dropped it again (RFC 2018 8).
        if (!(held_by_peer().skip(ack) == ack)) held_by_peer().clear();
    }
    sample_rtt(ack, echo, now);
    retries_ = 0;
    if (in_recovery_) {
        recovery_acknowledged(acked);
    } else {
        duplicate_acks_ = 0;
        // RFC 2861: a window that was not used has not been tried; but what waits to go as a train
        // would have used it, if the peer's window allows.
        const bool more =
            sending().size() > in_flight() && send_window_ >= congestion_.window_bytes;
        const uint32_t waits = more ? burst(congestion_.window_bytes) : 0;
        if (flying + std::max(congestion_.mss_bytes, waits) >= congestion_.window_bytes) {
            engine.congestion_control().acknowledged(congestion_, acked, rtt_.smoothed(), now);
        }
    }
    if (in_flight() == 0) {
        wait_for_nothing(engine, now);
        if (sending().empty()) engine.spare(send_memory);
    } else {
        wait_for(engine, Waiting::acknowledgement, now + rtt_.timeout()); // RFC 6298 (5.3)
    }
    if (urgent_out_ && !after(urgent_until_, ack)) urgent_out_ = false;
    const uint32_t limit = writer_waits_ ? send_limit(engine) : 0;
    if (writer_waits_ && sending().size() <= limit - limit / 4) {
        may_write_again(engine);
    }
    if (fin_acked) fin_acknowledged(engine, now);
}

void Connection::update_window(Engine& engine, const Segment& segment, Instant now) {
    const bool newer = before(window_from_sequence_, segment.sequence) ||
                       (window_from_sequence_ == segment.sequence &&
                        !after(window_from_ack_, segment.acknowledgement));
    if (!newer) return;
    const uint32_t window = uint32_t{segment.window} << send_scale_;
    if (waiting_ == Waiting::window && window > send_window_) {
        wait_for_nothing(engine, now);
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
        if (is_abandoned()) wait_for(engine, Waiting::end, now + engine.config().time_wait);
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
    if (!first) engine.ends_later(*this);
}

/// RFC 9293 3.8.5: urgent data stay in line; the application hears of them at once (MUST-32), and
/// StreamInfo tells it how far they reach (MUST-33).
void Connection::process_urgent(Engine& engine, const Segment& segment) {
    if (!can_receive() || segment.urgent == 0) return;
    const SeqNumber until = segment.sequence + segment.urgent;
    const bool known = urgent_in_ && !after(until, receive_urgent_);
    if (known || !after(until, receive_next_)) return;
    receive_urgent_ = until;
    urgent_in_ = true;
    if (is_owned()) engine.raise(*this, Event::urgent);
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
    if (is_abandoned() && !data.empty()) { // RFC 9293 3.6.1: nobody will ever read it
        engine.count(Drop::tcp_after_close);
        engine.send_reset(*this, now);
        return end(engine, Err::none);
    }
    const uint32_t ahead = begin - receive_next_;
    const size_t within =
        std::min<size_t>(data.size(), receive_room() - std::min(ahead, receive_room()));
    // What came early may be more than its share: while memory is short it has to come again.
    if (within != 0 && (ahead == 0 || !engine.is_short())) {
        const size_t wanted = receiving().size() + ahead + within;
        engine.provide(receive_memory, wanted, receive_limit(), Engine::Purpose::receiving);
    }
    uint32_t room = std::min(receive_room(), uint32_t(receiving().room()));
    if (peer_fin_known_) room = std::min(room, peer_fin_ - receive_next_);
    if (ahead + data.size() > room) {
        // Without memory the window closes to what there is, and nothing is acknowledged.
        const bool starved = ahead + data.size() <= receive_room() && !peer_fin_known_;
        engine.count(starved ? Drop::tcp_no_buffer : Drop::tcp_beyond_window);
        if (starved && receiving().capacity() != 0)
            receive_order_ = uint8_t(std::countr_zero(receiving().capacity()));
        ack_now_ = true;
        fin = false;
        data = data.first(ahead < room ? room - ahead : 0);
    }
    if (!data.empty() && ahead == 0) {
        take_in_order(engine, data, now);
    } else if (!data.empty() && !take_ahead(engine, begin, data)) {
        return;
    }
    if (fin && !peer_fin_known_) {
        peer_fin_known_ = true;
        peer_fin_ = segment.end() - 1;
        ack_now_ = true;
    }
    if (peer_fin_known_ && receive_next_ == peer_fin_) process_fin(engine, now);
}

/// Data behind a hole. False: there are too many holes.
bool Connection::take_ahead(Engine& engine, SeqNumber begin, Bytes data) {
    ack_now_ = true; // RFC 5681 4.2: tell the sender of the hole at once
    ++out_of_order_;
    if (!beyond().add(begin, begin + uint32_t(data.size()))) {
        engine.count(Drop::tcp_out_of_order_full);
        return false;
    }
    receiving().place(begin - receive_next_, data);
    auto& reported = receive_memory->reported;
    if (!(reported[0] == begin)) reported = {begin, reported[0], reported[1]};
    return true;
}

void Connection::take_in_order(Engine& engine, Bytes data, Instant now) {
    receiving().write(data);
    receive_next_ = receive_next_ + uint32_t(data.size());
    received_bytes_ += data.size();
    if (!beyond().empty()) {
        const SeqNumber reach = beyond().advance(receive_next_);
        receiving().grow(reach - receive_next_);
        received_bytes_ += reach - receive_next_;
        receive_next_ = reach;
        ack_now_ = true; // RFC 5681 4.2: a hole was filled, all or in part
    }
    raise_if_owned(engine, Event::readable, now);
    data_arrived(engine, options_.quick_ack, now);
}

void Connection::defer(Engine& engine, Instant now) {
    wait_for(engine, Waiting::end, now + seconds(options_.defer_seconds));
}

void Connection::show_deferred(Engine& engine, Instant now) {
    wait_for_nothing(engine, now);
    engine.show(*this);
}

void Connection::raise_if_owned(Engine& engine, EventSet what, Instant now) {
    if (is_owned()) return engine.raise(*this, what);
    if (listener != nullptr && waiting_ == Waiting::end) show_deferred(engine, now);
}

void Connection::process_fin(Engine& engine, Instant now) {
    receive_next_ = receive_next_ + 1;
    peer_fin_known_ = false;
    ack_now_ = true;
    raise_if_owned(engine, Event::readable | Event::peer_closed, now);
    switch (state_) {
    case State::established: state_ = State::close_wait; return;
    case State::fin_wait_1: state_ = State::closing; return;
    default: return enter_time_wait(engine, now); // FIN-WAIT-2
    }
}

} // namespace net::tcp
