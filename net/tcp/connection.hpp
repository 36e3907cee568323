// One TCP connection as a state machine (RFC 9293 3.3.2): process() takes a segment, dispatch()
// sends what may be sent, expired() is for its two timers. It knows nothing of tables or users.
#pragma once

#include <optional>

#include "lib/base/wheel.hpp"
#include "net/byte_ring.hpp"
#include "net/socket_table.hpp"
#include "net/tcp/assembler.hpp"
#include "net/tcp/congestion.hpp"
#include "net/tcp/rtt.hpp"
#include "net/tcp/segment.hpp"

namespace net::tcp {

class Engine;
class Connection;
struct Listener;

/// Memory for one direction of one connection.
struct StreamBuffer {
    StreamBuffer* next_free{};
    MutableBytes memory;
};

struct ConnectionTimer : Timer {
    Connection* owner{};
};

/// A segment on its way out.
struct OutSegment {
    SeqNumber sequence;
    uint8_t flags{};
    uint32_t offset{}, length{}; // of the payload, in the send buffer
    bool resent_alone{};         // the first unacknowledged one, out of turn

    uint32_t sequence_length() const {
        return length + ((flags & (wire::Tcp::syn | wire::Tcp::fin)) != 0 ? 1 : 0);
    }
};

class Connection : public SocketBase {
  public:
    Connection() { retransmit_timer_.owner = delayed_ack_timer_.owner = this; }

    // For the tables that it is in.
    Connection* next_free{};
    Connection* next_in_bucket{};
    Connection* next_held{};
    Connection* next_waiting{}; // in the listener's queue
    Listener* listener{};       // until accepted
    StreamBuffer *receive_memory{}, *send_memory{};
    uint16_t generation{};
    bool held{};   // waits for room on the link
    bool listed{}; // is in the table

    Endpoint local, remote;

    // --- Beginning. The connection is fresh: reset() was called, and it has buffers.
    void reset(Endpoint own, Endpoint peer, SeqNumber initial, Duration minimum_rto);
    void open(Engine& engine, Instant now);
    void open_by(Engine& engine, const Segment& syn, Instant now);

    // --- What comes in. Afterwards state() may be closed: then the owner of the table clears up.
    void process(Engine& engine, const Segment& segment, Instant now);
    void dispatch(Engine& engine, Instant now);
    void expired(Engine& engine, Timer& timer, Instant now);
    void trouble(Engine& engine, Err error, bool hard, SeqNumber quoted);

    // --- What the application asks for.
    Result<size_t> write(Engine& engine, Bytes data, Instant now);
    Result<Bytes> readable();
    void consume(Engine& engine, size_t bytes, Instant now);
    Result<size_t> read(Engine& engine, MutableBytes room, Instant now);
    Result<> shutdown(Engine& engine, Instant now);
    /// The application is gone. False: data were lost on it, so the peer must get a reset.
    bool abandon(Engine& engine, Instant now);
    void abort(Engine& engine, Instant now);
    void set_no_delay(Engine& engine, bool on, Instant now);

    State state() const { return state_; }

    EventSet ready() const;
    SocketInfo info() const;
    StreamInfo details() const;

    bool has_unread() const { return !receive_ring_.empty(); }

    bool is_owned() const { return id.kind() == SocketKind::stream; }

    /// May a SYN begin a new connection in the place of this one? (RFC 9293 3.10.7.4, TIME-WAIT)
    bool may_be_replaced_by(const Segment& segment) const {
        return state_ == State::time_wait && segment.flags.syn() && !segment.flags.ack() &&
               after(segment.sequence, receive_next_);
    }

    SeqNumber send_next() const { return send_max_; }

    Instant ends_at() const { return retransmit_timer_.deadline(); }

    void cancel_timers(Wheel& wheel);

    // --- For the engine, when it makes a header.
    SeqNumber receive_next() const { return receive_next_; }

    uint16_t advertise(bool is_syn);

    bool offers_window_scale() const { return offer_window_scale_; }

    uint8_t own_window_scale() const { return receive_scale_; }

    const ByteRing& send_ring() const { return send_ring_; }

  private:
    enum class Waiting : uint8_t { nothing, acknowledgement, window, end };

    // input.cpp
    void process_syn_sent(Engine& engine, const Segment& segment, Instant now);
    bool acceptable(const Segment& segment) const;
    void refuse(Engine& engine, const Segment& segment, Instant now);
    void process_reset(Engine& engine, const Segment& segment, Instant now);
    bool process_ack(Engine& engine, const Segment& segment, Instant now);
    bool process_handshake_ack(Engine& engine, const Segment& segment, Instant now);
    void process_new_ack(Engine& engine, SeqNumber ack, Instant now);
    void process_duplicate_ack(Engine& engine, Instant now);
    void update_window(Engine& engine, const Segment& segment);
    void process_text(Engine& engine, const Segment& segment, Instant now);
    void take_in_order(Engine& engine, Bytes data, Instant now);
    void process_fin(Engine& engine, Instant now);
    void fin_acknowledged(Engine& engine, Instant now);
    void negotiate(const Options& options, uint16_t own_mss_bytes);
    void become_established(Engine& engine, const Segment& segment, Instant now);
    void sample_rtt(SeqNumber ack, Instant now);
    void challenge(Engine& engine, Instant now);
    bool may_challenge(Instant now);
    void enter_time_wait(Engine& engine, Instant now);

    // output.cpp
    std::optional<OutSegment> next_segment() const;
    std::optional<OutSegment> next_data_segment() const;

    OutSegment bare_ack() const { return {send_max_, wire::Tcp::ack, 0, 0, false}; }

    void note_sent(Engine& engine, const OutSegment& out, Instant now);
    void probe_window(Engine& engine, Instant now);
    void wait_for(Engine& engine, Waiting what, Instant until);
    void retransmission_timeout(Engine& engine, Instant now);
    void offer_more(Engine& engine, Instant now);
    bool may_send_small() const;
    bool fin_is_due() const;
    bool work_is_left() const;

    uint32_t in_flight() const { return send_max_ - send_unacknowledged_; }

    // connection.cpp
    void end(Engine& engine, Err reason);
    bool can_receive() const;

    // Send (RFC 9293 3.3.1); the send ring begins at send_unacknowledged_ once the SYN is acked.
    SeqNumber initial_send_, send_unacknowledged_, send_next_, send_max_;
    SeqNumber window_from_sequence_, window_from_ack_; // SND.WL1, SND.WL2
    uint32_t send_window_{}, greatest_window_{};
    SeqNumber small_until_; // the last small segment sent ends here
    SeqNumber recover_;     // RFC 6582
    SeqNumber timed_until_; // the segment whose round trip is being measured ends here
    Instant timed_since_, last_sent_, failing_since_;
    // Receive
    SeqNumber initial_receive_, receive_next_, advertised_edge_, peer_fin_;

    ByteRing send_ring_, receive_ring_;
    Assembler beyond_;
    Congestion congestion_;
    RttEstimator rtt_;
    ConnectionTimer retransmit_timer_, delayed_ack_timer_;

    uint16_t send_mss_{}, retries_{};
    State state_{State::closed};
    Waiting waiting_{Waiting::nothing};
    uint8_t send_scale_{}, receive_scale_{};
    uint8_t duplicate_acks_{}, unanswered_segments_{}, challenges_{};
    Err soft_error_{Err::none};
    bool active_{}, offer_window_scale_{}, no_delay_{};
    bool ack_now_{}, resend_first_{}, in_recovery_{}, timing_{}, override_{};
    bool fin_wanted_{}, peer_fin_known_{}, writer_waits_{}, abandoned_{};
    Instant challenges_since_;
    uint32_t retransmitted_{}, timeouts_{}, duplicate_acks_total_{}, out_of_order_{};
    uint64_t sent_bytes_{}, received_bytes_{};
};

} // namespace net::tcp
