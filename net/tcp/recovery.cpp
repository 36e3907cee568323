// Losing, and what is done about it: RFC 6675 when the peer tells what it holds, else NewReno
// (RFC 6582); the retransmission timer (RFC 6298) in either case.
#include "net/tcp/connection.hpp"
#include "net/tcp/engine.hpp"

namespace net::tcp {

namespace {

constexpr uint8_t duplicate_threshold = 3; // DupThresh of RFC 6675

struct Block {
    Be<uint32_t> begin, end;
};

} // namespace

/// RFC 6675 4, Update(). True: it says of something that it had not said before.
bool Connection::note_blocks(Bytes blocks) {
    if (sending().capacity() == 0) return false; // all that is on its way is our FIN
    bool news = false;
    while (const auto block = peel<Block>(blocks)) {
        const SeqNumber begin{block->begin}, end{block->end};
        if (!before(begin, end) || !after(end, send_unacknowledged_) || after(end, send_max_)) {
            continue; // nonsense, or a report of duplicates (RFC 2883)
        }
        const SeqNumber from = later(begin, send_unacknowledged_);
        if (!before(held_by_peer().skip(from), end)) continue;
        news |= held_by_peer().add(from, end);
    }
    return news;
}

/// RFC 5681 3.2 with RFC 6582 3.2: without blocks.
void Connection::process_duplicate_ack(Engine& engine, Instant now) {
    ++duplicate_acks_total_;
    if (in_recovery_) {
        congestion_.window_bytes += congestion_.mss_bytes; // one has left the network
        return;
    }
    if (duplicate_acks_ < duplicate_threshold) ++duplicate_acks_;
    if (duplicate_acks_ != duplicate_threshold || !after(send_unacknowledged_, recover_)) return;
    enter_recovery(engine, now);
    congestion_.window_bytes += duplicate_threshold * congestion_.mss_bytes;
}

/// RFC 6675 5, steps 1 and 2.
void Connection::process_sack_news(Engine& engine, bool is_duplicate, Instant now) {
    if (is_duplicate) ++duplicate_acks_total_;
    if (in_recovery_ || before(send_unacknowledged_, recover_)) return;
    if (is_duplicate && duplicate_acks_ < duplicate_threshold) ++duplicate_acks_;
    const bool is_lost = after(lost_edge(), send_unacknowledged_);
    if (duplicate_acks_ >= duplicate_threshold || is_lost) enter_recovery(engine, now);
}

void Connection::enter_recovery(Engine& engine, Instant now) {
    recover_ = send_max_;
    repeated_ = send_unacknowledged_;
    in_recovery_ = resend_first_ = true;
    rescued_ = timing_ = false;
    engine.congestion_control().lost(congestion_, in_flight(), now);
}

/// New data were acknowledged in recovery.
void Connection::recovery_acknowledged(uint32_t acked) {
    if (!before(send_unacknowledged_, recover_)) {
        in_recovery_ = resend_first_ = false;
        duplicate_acks_ = 0;
        if (offers_blocks_) return;
        // RFC 6582 3.2 step 3 (1): no burst of what recovery has let pile up.
        const uint32_t mss = congestion_.mss_bytes;
        const uint32_t gentle = std::max(in_flight(), mss) + mss;
        congestion_.window_bytes = std::min(congestion_.threshold_bytes, gentle);
        return;
    }
    if (offers_blocks_) return; // the blocks show what else is missing
    // RFC 6582 3.2 step 3 (2): a partial one shows the next hole, and deflates the window.
    resend_first_ = true;
    congestion_.window_bytes -= std::min(acked, congestion_.window_bytes);
    congestion_.window_bytes += congestion_.mss_bytes;
}

/// RFC 6675 4, IsLost(): what the peer lacks before this is lost, by the number of ranges or of
/// bytes that it has beyond.
SeqNumber Connection::lost_edge() const {
    const Ranges& theirs = held_by_peer();
    uint32_t bytes = 0;
    for (size_t i = theirs.size(); i-- > 0;) {
        bytes += theirs[i].end - theirs[i].begin;
        if (theirs.size() - i >= duplicate_threshold ||
            bytes > (duplicate_threshold - 1u) * congestion_.mss_bytes) {
            return theirs[i].begin;
        }
    }
    return send_unacknowledged_;
}

/// What is thought to be on the way; in recovery RFC 6675 4, SetPipe().
uint32_t Connection::outstanding() const {
    const Ranges& theirs = held_by_peer();
    const bool by_blocks = in_recovery_ && offers_blocks_;
    if (theirs.empty() && !by_blocks) return send_next_ - send_unacknowledged_;
    if (!by_blocks) {
        return send_next_ - send_unacknowledged_ - theirs.covered_before(send_next_);
    }
    const SeqNumber edge = lost_edge();
    const uint32_t covered = theirs.covered_before(send_max_) - theirs.covered_before(edge);
    uint32_t pipe = send_max_ - edge - covered;
    if (after(repeated_, send_unacknowledged_)) {
        pipe += repeated_ - send_unacknowledged_ - theirs.covered_before(repeated_);
    }
    return pipe;
}

/// RFC 6675 4, NextSeg(), as long as the pipe has room for a segment.
std::optional<OutSegment> Connection::next_in_recovery() const {
    if (outstanding() + congestion_.mss_bytes > congestion_.window_bytes) return std::nullopt;
    const Ranges& theirs = held_by_peer();
    const SeqNumber from = theirs.skip(later(repeated_, send_unacknowledged_));
    const SeqNumber until = theirs.next_begin(from, from);
    const bool is_hole = before(from, until);
    if (is_hole && before(from, lost_edge()))
        return cut(from, until, OutSegment::Why::hole, full_segment());
    if (const auto fresh = next_in_turn()) return fresh;
    if (is_hole) return cut(from, until, OutSegment::Why::hole, full_segment());
    const SeqNumber last = later(send_max_ - std::min(full_segment(), in_flight()), from);
    if (rescued_ || !before(last, send_max_)) return std::nullopt;
    return cut(last, send_max_, OutSegment::Why::rescue, full_segment());
}

/// RFC 6298 (5.4) to (5.6), RFC 5681 3.1; from the first unacknowledged on all goes again but for
/// what the peer is known to hold.
void Connection::retransmission_timeout(Engine& engine, Instant now) {
    constexpr uint16_t most_syn_ack_retries = 5, black_hole_retries = 3;
    if (retries_ == 0) failing_since_ = now;
    const bool passive_opening = state_ == State::syn_received && !active_;
    if (passive_opening && retries_ >= most_syn_ack_retries) return end(engine, Err::timed_out);
    if (given_up(engine, now)) return;
    ++timeouts_;
    ++engine.counters().tcp_timeouts;
    engine.congestion_control().timed_out(congestion_, in_flight(), retries_ != 0);
    ++retries_;
    rtt_.back_off();
    // It may have dropped what it held (RFC 2018 8), or a router big packets in silence (RFC 2923).
    if (retries_ > 1) held_by_peer().clear();
    if (retries_ >= black_hole_retries) may_fragment_ = true;
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

} // namespace net::tcp
