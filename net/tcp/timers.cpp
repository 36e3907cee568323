// What a connection does when its time is up, but for what was lost (recovery.cpp): RFC 9293 3.8.3,
// 3.8.4 and 3.8.6.1.
#include "net/tcp/connection.hpp"
#include "net/tcp/engine.hpp"

namespace net::tcp {

void Connection::expired(Engine& engine, Timer& timer, Instant now) {
    if (&timer == &delayed_ack_timer_) {
        ack_now_ = true;
        return dispatch(engine, now);
    }
    const Waiting what = waiting_;
    waiting_ = Waiting::nothing;
    plain_head_ = not_plain;
    switch (what) {
    case Waiting::acknowledgement: return retransmission_timeout(engine, now);
    case Waiting::window: return probe_window(engine, now);
    case Waiting::end:
        if (listener != nullptr) return show_deferred(engine, now);
        return end(engine, Err::none);
    case Waiting::keep_alive: return probe_life(engine, now);
    case Waiting::nothing: INVARIANT(false, "an armed timer waits for something");
    }
}

/// RFC 9293 3.8.3 (R2), or what the user said (RFC 5482). True: that was the end.
bool Connection::given_up(Engine& engine, Instant now) {
    const Duration patience = options_.user_timeout_ms != 0 ? milliseconds(options_.user_timeout_ms)
                                                            : engine.config().give_up;
    if (now - failing_since_ < patience) return false;
    end(engine, soft_error_ != Err::none ? soft_error_ : Err::timed_out);
    return true;
}

/// RFC 9293 3.8.4: an old number, to which the peer answers with its own state.
void Connection::probe_life(Engine& engine, Instant now) {
    const Instant due = last_heard_ + seconds(options_.keep_idle_seconds);
    if (retries_ == 0 && now < due) return wait_for(engine, Waiting::keep_alive, due);
    if (retries_ == 0) failing_since_ = now;
    const bool hopeless =
        options_.user_timeout_ms == 0 ? retries_ >= options_.keep_count : given_up(engine, now);
    if (state_ == State::closed) return;
    if (hopeless) return end(engine, Err::timed_out);
    ++retries_;
    OutSegment probe{send_unacknowledged_ - 1, 0, 0, wire::Tcp::ack};
    (void)transmit(engine, probe, now); // without room now, there is the next one
    wait_for(engine, Waiting::keep_alive, now + seconds(options_.keep_interval_seconds));
}

/// One byte beyond the closed window (RFC 9293 3.8.6.1), for ever as long as it is answered; or,
/// when the window is only small, what fits into it.
void Connection::probe_window(Engine& engine, Instant now) {
    if (retries_ == 0) failing_since_ = now;
    if (given_up(engine, now)) return;
    if (send_window_ != 0) {
        override_ = true;
        return dispatch(engine, now);
    }
    if (!work_is_left()) return;
    ++retries_;
    rtt_.back_off();
    const bool has_data = !sending().empty();
    const uint8_t flags = has_data ? wire::Tcp::ack : uint8_t(wire::Tcp::ack | wire::Tcp::fin);
    OutSegment probe{send_unacknowledged_, 0, has_data ? 1u : 0u, flags};
    // Whether the link took it or not: there will be another one.
    if (transmit(engine, probe, now)) ack_now_ = false;
    send_next_ = send_unacknowledged_;
    send_max_ = later(send_max_, send_unacknowledged_ + 1);
    timing_ = false;
    wait_for(engine, Waiting::window, now + rtt_.timeout());
}

} // namespace net::tcp
