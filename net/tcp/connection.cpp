#include "net/tcp/connection.hpp"

#include <bit>

#include "net/tcp/engine.hpp"

namespace net::tcp {

namespace {

constexpr uint16_t header_bytes = sizeof(wire::Ipv4) + sizeof(wire::Tcp);

/// What a buffer may grow to before anything is known of the path.
constexpr uint32_t first_limit_bytes = 65536;

/// What a buffer may grow to, if one may grow to `most`.
uint32_t limit_of(uint32_t most, uint8_t order) {
    return order == 0 ? most : std::min(most, uint32_t{1} << order);
}

} // namespace

void Connection::reset(
    Endpoint own, Endpoint peer, const Birth& birth, const StreamOptions& options
) {
    INVARIANT(!retransmit_timer_.armed() && !delayed_ack_timer_.armed(), "its past is over");
    flow = {own, peer};
    way = {};
    plain_head_ = not_plain;
    error = soft_error_ = Err::none;
    initial_send_ = send_unacknowledged_ = send_next_ = send_max_ = birth.sequence;
    recover_ = small_until_ = repeated_ = urgent_until_ = birth.sequence;
    window_from_sequence_ = window_from_ack_ = timed_until_ = SeqNumber{};
    send_window_ = greatest_window_ = 0;
    timed_since_ = last_sent_ = last_heard_ = failing_since_ = Instant{};
    recent_since_ = Instant{};
    challenges_since_ = 0;
    initial_receive_ = receive_next_ = advertised_edge_ = peer_fin_ = SeqNumber{};
    receive_urgent_ = last_ack_sent_ = SeqNumber{};
    recent_timestamp_ = 0;
    timestamp_offset_ = birth.timestamp_offset;
    options_ = options;
    congestion_ = {};
    rtt_ = RttEstimator{birth.minimum_rto};
    path_mss_ = own_mss_bytes(birth.path_mss_bytes, options);
    send_mss_ = std::min(Options::default_mss_bytes, path_mss_);
    may_fragment_ = birth.may_fragment;
    retries_ = 0;
    waiting_ = Waiting::nothing;
    send_scale_ = receive_scale_ = 0;
    duplicate_acks_ = unanswered_segments_ = challenges_ = 0;
    active_ = ack_now_ = resend_first_ = in_recovery_ = rescued_ = false;
    timing_ = override_ = urgent_in_ = urgent_out_ = false;
    fin_wanted_ = peer_fin_known_ = writer_waits_ = false;
    offers_window_scale_ = offers_timestamps_ = offers_blocks_ = true;
    retransmitted_ = timeouts_ = duplicate_acks_total_ = out_of_order_ = 0;
    sent_bytes_ = received_bytes_ = 0;
    const uint32_t most = limit_of(birth.most_buffer_bytes, options.receive_order);
    receive_scale_ = scale_for(most);
    const uint32_t limit = options.receive_order != 0 ? most : std::min(first_limit_bytes, most);
    receive_order_ = uint8_t(std::countr_zero(limit));
    tuned_at_ = Instant{};
    tuned_from_ = SeqNumber{};
}

uint8_t Connection::scale_for(size_t buffer_bytes) {
    uint8_t scale = 0;
    while (buffer_bytes >> scale > 0xffff)
        ++scale;
    return scale;
}

uint32_t Connection::most_receive_bytes(const Config& config, const StreamOptions& options) {
    return limit_of(config.stream_buffer_bytes, options.receive_order);
}

/// RFC 6191 2: where both have timestamps, these decide; where only the new one has, it cannot be
/// an old duplicate of ours; else RFC 9293 3.10.7.4, by the number alone.
bool Connection::may_be_replaced_by(const Segment& segment) const {
    if (state_ != State::time_wait || !segment.flags.syn() || segment.flags.ack()) return false;
    const bool is_later = after(segment.sequence, receive_next_);
    if (!segment.options.has_timestamps) return is_later;
    if (!offers_timestamps_) return true;
    const auto age = int32_t(segment.options.timestamp_value - recent_timestamp_);
    return age > 0 || (age == 0 && is_later);
}

void Connection::cancel_timers(Wheel& wheel) {
    wheel.cancel(retransmit_timer_);
    wheel.cancel(delayed_ack_timer_);
    waiting_ = Waiting::nothing;
}

/// From here on the connection only waits for its handle to be given up.
void Connection::end(Engine& engine, Err reason) {
    state_ = State::closed;
    plain_head_ = not_plain;
    cancel_timers(engine.wheel());
    if (!is_owned()) return;
    if (reason != Err::none) error = reason;
    engine.raise(
        *this, reason == Err::none ? EventSet{Event::closed} : Event::closed | Event::error
    );
}

bool Connection::can_receive() const {
    return state_ == State::established || state_ == State::fin_wait_1 ||
           state_ == State::fin_wait_2;
}

/// RFC 1122 4.2.3.9 and RFC 5927 4.1: only what was caused by a segment in flight counts, and only
/// an attempt to connect is ended by it.
void Connection::trouble(Engine& engine, const Trouble& trouble, SeqNumber quoted, Instant now) {
    if (!within(send_unacknowledged_, quoted, send_max_ - 1)) {
        return engine.count(Drop::tcp_bad_icmp);
    }
    if (trouble.error == Err::message_too_long) return shrink_path(engine, trouble, now);
    if (state_ == State::syn_sent && trouble.hard) return end(engine, trouble.error);
    soft_error_ = trouble.error;
}

/// The path takes less than was thought (RFC 1191 6.4): what is in flight goes again in smaller
/// segments, and this is no sign of congestion.
void Connection::shrink_path(Engine& engine, const Trouble& trouble, Instant now) {
    const PathLimit limit = engine.note_path(flow.remote_address(), trouble, now);
    const uint16_t mss = uint16_t(limit.mtu_bytes - header_bytes);
    may_fragment_ = limit.may_fragment;
    if (mss >= path_mss_) return;
    path_mss_ = mss;
    send_mss_ = std::min(send_mss_, mss);
    congestion_.mss_bytes = full_segment();
    plain_head_ = not_plain;
    if (state_ == State::syn_sent || state_ == State::syn_received) return;
    timing_ = resend_first_ = false;
    send_next_ = send_unacknowledged_;
    dispatch(engine, now);
}

Result<> Connection::may_write() {
    if (state_ == State::closed) return fail(Err::not_connected);
    if (fin_wanted_) return fail(Err::bad_state);
    if (state_ == State::syn_sent || state_ == State::syn_received) {
        writer_waits_ = true;
        return fail(Err::would_block);
    }
    return {};
}

Result<size_t> Connection::write(Engine& engine, Bytes data, bool urgent, Instant now) {
    if (const Err pending = take_error(); pending != Err::none) return fail(pending);
    if (plain_head_ == not_plain) TRY_VOID(may_write());
    if (data.size() > sending().room()) {
        const size_t wanted = sending().size() + data.size();
        engine.provide(send_memory, wanted, send_limit(engine), Engine::Purpose::sending);
    }
    sending().begin_anew();
    const size_t taken = sending().write(data);
    if (sending().room() == 0) writer_waits_ = true;
    if (taken == 0 && !data.empty()) {
        // Nothing is on its way that could bring news of room.
        if (sending().empty()) engine.wait_for_memory(*this);
        return fail(Err::would_block);
    }
    if (urgent) {
        urgent_until_ = send_unacknowledged_ + uint32_t(sending().size());
        urgent_out_ = true;
        plain_head_ = not_plain;
    }
    // RFC 5681 4.1: after a silence the window says nothing about the path any more.
    if (in_flight() == 0 && now - last_sent_ > rtt_.timeout()) {
        engine.congestion_control().idle(congestion_);
    }
    dispatch(engine, now);
    return taken;
}

void Connection::may_write_again(Engine& engine) {
    writer_waits_ = false;
    engine.raise(*this, Event::writable);
}

uint16_t Connection::urgent_from(SeqNumber sequence) const {
    if (!urgent_out_ || !after(urgent_until_, sequence)) return 0;
    return uint16_t(std::min(urgent_until_ - sequence, 0xffffu));
}

Result<Bytes> Connection::readable() {
    if (!receiving().empty()) return receiving().view(0, receiving().size())[0];
    if (error == Err::broken_pipe) return fail(Err::end_of_file); // for who writes
    if (const Err pending = take_error(); pending != Err::none) return fail(pending);
    if (state_ == State::syn_sent || state_ == State::syn_received || can_receive()) {
        return fail(Err::would_block);
    }
    return fail(Err::end_of_file);
}

void Connection::consume(Engine& engine, size_t bytes, Instant now) {
    receiving().consume(bytes);
    tune_receive_limit(engine, now);
    if (receiving().empty()) {
        engine.spare(receive_memory);
        // Memory may have been short: what comes next tries anew.
        const uint32_t most = most_receive_bytes(engine.config(), options_);
        const uint32_t limit =
            options_.receive_order != 0 ? most : std::min(first_limit_bytes, most);
        if (receive_limit() < limit) receive_order_ = uint8_t(std::countr_zero(limit));
    }
    offer_more(engine, now);
}

/// Dynamic right-sizing (Fisk and Feng 2001): when the application has read more than half of what
/// may be on the way within a round trip, the buffer is what limits the path.
void Connection::tune_receive_limit(Engine& engine, Instant now) {
    const Duration round_trip = std::max(rtt_.smoothed(), milliseconds(1));
    if (now - tuned_at_ < round_trip || options_.receive_order != 0) return;
    const SeqNumber read_so_far = receive_next_ - uint32_t(receiving().size());
    const bool measured = tuned_at_ != Instant{} && now - tuned_at_ < round_trip * 2;
    if (measured && read_so_far - tuned_from_ > receive_limit() / 2 &&
        receive_limit() < engine.config().stream_buffer_bytes) {
        ++receive_order_;
    }
    tuned_at_ = now;
    tuned_from_ = read_so_far;
}

/// Twice what may be in flight, so that what is sent next is there when it is acknowledged.
uint32_t Connection::send_limit(const Engine& engine) const {
    const uint32_t most = limit_of(engine.config().stream_buffer_bytes, options_.send_order);
    if (options_.send_order != 0) return most;
    const uint32_t wanted = std::min(2 * congestion_.window_bytes, most);
    return std::clamp(std::bit_ceil(wanted), std::min(first_limit_bytes, most), most);
}

Result<size_t> Connection::read(Engine& engine, MutableBytes room, Instant now) {
    TRY(readable());
    const size_t count = std::min(room.size(), receiving().size());
    receiving().peek(0, room.first(count));
    consume(engine, count, now);
    return count;
}

Result<size_t> Connection::copy(size_t offset, MutableBytes room) {
    TRY(readable());
    if (offset >= receiving().size()) return fail(Err::would_block);
    const size_t count = std::min(room.size(), receiving().size() - offset);
    receiving().peek(offset, room.first(count));
    return count;
}

Result<> Connection::shutdown(Engine& engine, Instant now) {
    if (fin_wanted_) return {};
    plain_head_ = not_plain;
    switch (state_) {
    case State::closed:
    case State::syn_sent: return fail(Err::not_connected);
    case State::established: state_ = State::fin_wait_1; break;
    case State::close_wait: state_ = State::last_ack; break;
    default: break; // SYN-RECEIVED: become_established() goes on to FIN-WAIT-1
    }
    fin_wanted_ = true;
    dispatch(engine, now);
    return {};
}

bool Connection::abandon(Engine& engine, Instant now) {
    plain_head_ = not_plain;
    if (state_ == State::closed) return true;
    if (state_ == State::syn_sent) {
        end(engine, Err::none);
        return true;
    }
    // RFC 9293 3.6.1 (RFC 2525 2.17): unread data must not look delivered.
    if (has_unread()) return false;
    if (state_ == State::fin_wait_2) {
        wait_for(engine, Waiting::end, now + engine.config().time_wait);
    }
    return shutdown(engine, now).has_value();
}

void Connection::abort(Engine& engine, Instant now) {
    // RFC 9293 3.10.5: in these states the peer has, or may have, something to lose.
    if (state_ != State::closed && state_ != State::syn_sent && state_ != State::time_wait) {
        engine.send_reset(*this, now);
    }
    end(engine, Err::none);
}

void Connection::configure(Engine& engine, const StreamOptions& options, Instant now) {
    const bool other_patience = options.keep_idle_seconds != options_.keep_idle_seconds;
    const bool other_limit = options.receive_order != options_.receive_order;
    options_ = options;
    plain_head_ = not_plain;
    if (state_ == State::closed) return;
    if (other_limit) limit_receive(engine.config());
    const bool idle = waiting_ == Waiting::nothing || waiting_ == Waiting::keep_alive;
    if (other_patience && idle) wait_for_nothing(engine, now);
    if (unanswered_segments_ != 0 && options.quick_ack) ack_now_ = true;
    dispatch(engine, now);
    note_whether_plain();
}

/// What was offered must not be taken back (RFC 9293 3.8.6), so it may stay more for a while.
void Connection::limit_receive(const Config& config) {
    const uint32_t wanted = options_.receive_order != 0
                                ? most_receive_bytes(config, options_)
                                : std::min(first_limit_bytes, config.stream_buffer_bytes);
    const uint32_t promised =
        before(advertised_edge_, receive_next_) ? 0 : advertised_edge_ - receive_next_;
    const uint32_t least = std::bit_ceil(std::max(promised + uint32_t(receiving().size()), 1u));
    receive_order_ = uint8_t(std::countr_zero(std::max(wanted, least)));
}

EventSet Connection::ready() const {
    EventSet set;
    const bool opening = state_ == State::syn_sent || state_ == State::syn_received;
    const bool at_end = !opening && !can_receive();
    if (has_unread() || at_end) set.add(Event::readable);
    if (at_end) set.add(Event::peer_closed);
    if (!opening) set.add(Event::connected);
    const bool has_room = sending().room() != 0 ||
                          sending().capacity() < limit_of(first_limit_bytes, options_.send_order);
    if (!opening && !fin_wanted_ && has_room && !writer_waits_) set.add(Event::writable);
    if (state_ == State::closed) set.add(Event::closed);
    if (error != Err::none) set.add(Event::error);
    return set;
}

SocketInfo Connection::info() const {
    return {
        .id = id,
        .local = flow.local(),
        .remote = flow.remote(),
        .state = state_,
        .receive_queue_bytes = uint32_t(receiving().size()),
        .send_queue_bytes = uint32_t(sending().size()),
    };
}

StreamInfo Connection::details() const {
    const uint32_t unread = uint32_t(receiving().size());
    const SeqNumber read_so_far = initial_receive_ + 1 + uint32_t(received_bytes_) - unread;
    const bool urgent = urgent_in_ && after(receive_urgent_, read_so_far);
    return {
        .state = state_,
        .send_mss_bytes = full_segment(),
        .receive_window_bytes = advertised_edge_ - receive_next_,
        .send_window_bytes = send_window_,
        .congestion_window_bytes = congestion_.window_bytes,
        .slow_start_threshold_bytes = congestion_.threshold_bytes,
        .in_flight_bytes = in_flight(),
        .receive_queue_bytes = unread,
        .send_queue_bytes = uint32_t(sending().size()),
        .send_room_bytes = uint32_t(sending().room()),
        .smoothed_rtt = rtt_.smoothed(),
        .rtt_variation = rtt_.variation(),
        .retransmission_timeout = rtt_.timeout(),
        .retransmitted_segments = retransmitted_,
        .timeouts = timeouts_,
        .duplicate_acks = duplicate_acks_total_,
        .out_of_order_segments = out_of_order_,
        .urgent_bytes = urgent ? receive_urgent_ - read_so_far : 0,
        .timestamps = offers_timestamps_,
        .selective_acks = offers_blocks_,
        .sent_bytes = sent_bytes_,
        .received_bytes = received_bytes_,
    };
}

} // namespace net::tcp
