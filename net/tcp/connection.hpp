// One TCP connection as a state machine (RFC 9293 3.3.2): process() takes a segment, dispatch()
// sends what may be sent, expired() is for its two timers. It knows nothing of tables or users.
#pragma once

#include <optional>

#include "lib/base/list.hpp"
#include "lib/base/wheel.hpp"
#include "net/icmp.hpp"
#include "net/socket_table.hpp"
#include "net/tcp/congestion.hpp"
#include "net/tcp/flow.hpp"
#include "net/tcp/option_writer.hpp"
#include "net/tcp/rtt.hpp"
#include "net/tcp/segment.hpp"
#include "net/tcp/stream_buffer.hpp"

namespace net::tcp {

class Engine;
class Connection;
struct Listener;

struct ConnectionTimer : Timer {
    Connection* owner{};
};

/// A segment on its way out.
struct OutSegment {
    enum class Why : uint8_t {
        next,   // in its turn
        first,  // the first unacknowledged one, out of turn
        hole,   // what the peer's blocks show to be missing
        rescue, // the last one, once, in case its loss cannot be seen (RFC 6675 5 rule 4)
    };

    SeqNumber sequence;
    uint32_t offset{}, length{}; // of the payload, in the send buffer
    uint8_t flags{};
    Why why{Why::next};

    uint32_t sequence_length() const {
        return length + ((flags & (wire::Tcp::syn | wire::Tcp::fin)) != 0 ? 1 : 0);
    }
};

class Connection : public SocketBase {
  public:
    Connection() { retransmit_timer_.owner = delayed_ack_timer_.owner = this; }

    /// In which of the engine's and the listeners' queues: in one at a time, oldest first.
    enum class Queue : uint8_t {
        none,
        half_open, // a listener's, the handshake is not finished
        accept,    // the listener's: can be accepted
        memory,    // to be told when there is memory for what it wants to send
        ending,    // TIME-WAIT, and nobody has a handle to it
    };

    // For the tables that it is in.
    Connection* next_free{};
    Connection* next_in_bucket{};
    Connection* next_held{};
    ListHook<Connection> queue_hook;
    Listener* listener{}; // until accepted
    // Never null while in use: without memory, they are the engine's empty one.
    StreamBuffer *receive_memory{}, *send_memory{};
    uint16_t generation{};
    bool held{};        // waits for room on the link
    bool listed : 1 {}; // is in the table
    Queue queue : 3 {Queue::none};

    Way way;
    Flow flow;

    // --- Beginning. The connection is fresh: reset() was called, and it has buffers.

    struct Birth {
        SeqNumber sequence;
        uint32_t timestamp_offset{}; // RFC 7323 5.4: our clock as this peer sees it
        uint16_t path_mss_bytes{};
        bool may_fragment{};
        uint32_t most_buffer_bytes{};
        Duration minimum_rto{};
    };

    /// What a connection of that birth says that the time is.
    static uint32_t clock(const Birth& birth, Instant now) {
        return uint32_t(now.ns >> timestamp_shift) + birth.timestamp_offset;
    }

    void reset(Endpoint own, Endpoint peer, const Birth& birth, const StreamOptions& options);
    void open(Engine& engine, Instant now);
    void open_by(Engine& engine, const Segment& syn, Instant now);
    /// As if `syn` had come and been answered: process() the acknowledgement of that next.
    void open_by_cookie(const Segment& syn, Instant now);

    // --- What comes in. Afterwards state() may be closed: then the owner of the table clears up.
    void process(Engine& engine, const Segment& segment, Instant now);
    /// A segment as it comes, to this connection by its addresses and ports. False: it is not what
    /// was expected, and has to be looked at closer.
    bool take(Engine& engine, const Ipv4Packet& packet, Instant now);
    /// It has an owner now, or nothing is the matter any more.
    void note_whether_plain();
    /// Its listener wants to hear of it when it has sent something, or after a while.
    void defer(Engine& engine, Instant now);
    void dispatch(Engine& engine, Instant now);
    void expired(Engine& engine, Timer& timer, Instant now);
    void trouble(Engine& engine, const Trouble& trouble, SeqNumber quoted, Instant now);

    // --- What the application asks for.
    Result<size_t> write(Engine& engine, Bytes data, bool urgent, Instant now);
    Result<Bytes> readable();
    void consume(Engine& engine, size_t bytes, Instant now);
    Result<size_t> read(Engine& engine, MutableBytes room, Instant now);
    Result<> shutdown(Engine& engine, Instant now);
    /// The application is gone. False: data were lost on it, so the peer must get a reset.
    bool abandon(Engine& engine, Instant now);
    void abort(Engine& engine, Instant now);
    /// errors   as of readable(); would_block also when `offset` is beyond what has come
    Result<size_t> copy(size_t offset, MutableBytes room);
    void configure(Engine& engine, const StreamOptions& options, Instant now);

    State state() const { return state_; }

    const StreamOptions& options() const { return options_; }

    EventSet ready() const;
    SocketInfo info() const;
    StreamInfo details() const;

    bool has_unread() const { return !receiving().empty(); }

    bool is_owned() const { return id.kind() == SocketKind::stream; }

    /// The application has given it up: it ends in the background.
    bool is_abandoned() const { return !is_owned() && listener == nullptr; }

    /// May a SYN begin a new connection in the place of this one, which is in TIME-WAIT?
    bool may_be_replaced_by(const Segment& segment) const;

    SeqNumber send_next() const { return send_max_; }

    /// There is memory again for who could not write.
    void may_write_again(Engine& engine);

    void cancel_timers(Wheel& wheel);

    // --- For the engine, when it makes a header.
    SeqNumber receive_next() const { return receive_next_; }

    /// What the receive buffer may grow to.
    static uint32_t most_receive_bytes(const Config& config, const StreamOptions& options);

    /// What to say in a SYN, of what the link takes.
    static uint16_t own_mss_bytes(uint16_t link, const StreamOptions& options) {
        return options.most_segment_bytes == 0 ? link : std::min(link, options.most_segment_bytes);
    }

    /// The smallest shift by which a whole buffer can be offered (RFC 7323 2.3).
    static uint8_t scale_for(size_t buffer_bytes);
    /// Of a segment with the header bits `flags`; returns how many bytes they take.
    size_t
    write_options(OptionBytes& into, uint8_t flags, uint16_t own_mss_bytes, Instant now) const;

  private:
    enum class Waiting : uint8_t { nothing, acknowledgement, window, end, keep_alive };

    // opening.cpp
    void process_syn_sent(Engine& engine, const Segment& segment, Instant now);
    bool process_handshake_ack(Engine& engine, const Segment& segment, Instant now);
    void meet(const Segment& syn, Instant now);
    void negotiate(const Options& options, Instant now);
    void become_established(Engine& engine, const Segment& segment, Instant now);

    // timers.cpp
    void probe_window(Engine& engine, Instant now);
    void probe_life(Engine& engine, Instant now);
    bool given_up(Engine& engine, Instant now);

    // input.cpp
    bool is_plain() const;
    bool expects(Bytes bytes) const;
    void take_expected(Engine& engine, const Ipv4Packet& packet, Instant now);
    void data_arrived(Engine& engine, bool at_once, Instant now);
    void process_segment(Engine& engine, const Segment& segment, Instant now);
    bool timely(Engine& engine, const Segment& segment, Instant now);
    bool acceptable(const Segment& segment) const;
    void refuse(Engine& engine, const Segment& segment, Instant now);
    void answer_unacceptable(Engine& engine, const Segment& segment, Instant now);
    void process_reset(Engine& engine, const Segment& segment, Instant now);
    bool is_possible_ack(Engine& engine, const Segment& segment, Instant now);
    bool process_ack(Engine& engine, const Segment& segment, Instant now);
    void process_new_ack(Engine& engine, SeqNumber ack, uint32_t echo, Instant now);
    void update_window(Engine& engine, const Segment& segment, Instant now);
    void process_urgent(Engine& engine, const Segment& segment);
    void process_text(Engine& engine, const Segment& segment, Instant now);
    bool take_ahead(Engine& engine, SeqNumber begin, Bytes data);
    void take_in_order(Engine& engine, Bytes data, Instant now);
    void process_fin(Engine& engine, Instant now);
    void show_deferred(Engine& engine, Instant now);
    void raise_if_owned(Engine& engine, EventSet what, Instant now);
    void fin_acknowledged(Engine& engine, Instant now);
    void sample_rtt(SeqNumber ack, uint32_t echo, Instant now);
    void challenge(Engine& engine, Instant now);
    bool may_challenge(Instant now);
    void enter_time_wait(Engine& engine, Instant now);

    // recovery.cpp
    bool note_blocks(Bytes blocks);
    void process_duplicate_ack(Engine& engine, Instant now);
    void process_sack_news(Engine& engine, bool is_duplicate, Instant now);
    void enter_recovery(Engine& engine, Instant now);
    void recovery_acknowledged(uint32_t acked);
    void retransmission_timeout(Engine& engine, Instant now);
    SeqNumber lost_edge() const;
    uint32_t outstanding() const;
    std::optional<OutSegment> next_in_recovery() const;

    // output.cpp
    std::optional<OutSegment> next_segment() const;
    std::optional<OutSegment> next_data_segment() const;
    std::optional<OutSegment> next_in_turn() const;
    std::optional<OutSegment>
    cut(SeqNumber from, SeqNumber until, OutSegment::Why why, uint32_t most) const;
    uint32_t train(uint32_t unsent, uint32_t room, uint32_t window, uint32_t full) const;
    uint32_t burst(uint32_t window) const;

    OutSegment bare_ack() const { return {send_max_, 0, 0, wire::Tcp::ack}; }

    /// False: the link has no room. It may take less than `out` was; then it says so.
    bool transmit(Engine& engine, OutSegment& out, Instant now);
    bool send_plain(Engine& engine, Instant now);
    bool transmit_plain(Engine& engine, uint32_t& length, uint32_t full, bool push, Instant now);
    void add_data(OutPacket& packet, uint32_t offset, uint32_t length) const;
    bool send(Engine& engine, OutPacket& packet, Instant now);
    void write_header(OutPacket& packet, OutSegment out, uint16_t own_mss, Instant now);
    uint16_t advertise(bool is_syn);
    /// Zero: nothing urgent from `sequence` on.
    uint16_t urgent_from(SeqNumber sequence) const;
    bool is_worth_sending(uint32_t length, bool is_last) const;
    void note_answered(Engine& engine, Instant now);
    void note_new(uint32_t data_bytes, SeqNumber first_end, Instant now);
    void note_sent(Engine& engine, OutSegment out, Instant now);
    void wait_for(Engine& engine, Waiting what, Instant until);
    void wait_for_nothing(Engine& engine, Instant now);
    void offer_more(Engine& engine, Instant now);
    bool may_send_small() const;
    bool fin_is_due() const;
    bool work_is_left() const;
    size_t block_option_bytes() const;
    uint32_t full_segment() const;

    uint32_t full_without_blocks() const {
        return send_mss_ - (offers_timestamps_ ? uint32_t{sizeof(wire::TcpTimestamps)} : 0);
    }

    size_t write_blocks(MutableBytes into) const;

    uint32_t in_flight() const { return send_max_ - send_unacknowledged_; }

    /// What goes at once at most: whole segments, together no more than an IP packet.
    static uint32_t longest_train(uint32_t full) {
        constexpr uint32_t most = 0xffff - sizeof(wire::Ipv4) - 60;
        return most / full * full;
    }

    /// RFC 7323 5.4: a tick of about a millisecond.
    static constexpr unsigned timestamp_shift = 20;

    uint32_t timestamp(Instant now) const {
        return uint32_t(now.ns >> timestamp_shift) + timestamp_offset_;
    }

    // connection.cpp
    Result<> may_write();
    void end(Engine& engine, Err reason);
    void tune_receive_limit(Engine& engine, Instant now);
    uint32_t send_limit(const Engine& engine) const;
    void limit_receive(const Config& config);

    /// How much may be in the receive buffer; the memory for it comes with the data.
    uint32_t receive_limit() const { return uint32_t{1} << receive_order_; }

    uint32_t receive_room() const {
        const uint32_t used = uint32_t(receiving().size());
        return std::max(receive_limit(), used) - used;
    }

    /// This connection is not plain, or not known to be: no header with PUSH aside looks like it.
    static constexpr uint16_t not_plain = wire::Tcp::psh << 8;

    uint32_t plain_header_bytes() const { return (plain_head_ & 0xf0u) / 4; }

    bool can_receive() const;
    void shrink_path(Engine& engine, const Trouble& trouble, Instant now);

    ByteRing& sending() { return send_memory->ring; }

    const ByteRing& sending() const { return send_memory->ring; }

    ByteRing& receiving() { return receive_memory->ring; }

    const ByteRing& receiving() const { return receive_memory->ring; }

    Ranges& beyond() { return receive_memory->ranges; }

    const Ranges& beyond() const { return receive_memory->ranges; }

    Ranges& held_by_peer() { return send_memory->ranges; }

    const Ranges& held_by_peer() const { return send_memory->ranges; }

    // Send (RFC 9293 3.3.1); the send ring begins at send_unacknowledged_ once the SYN is acked.
    SeqNumber initial_send_, send_unacknowledged_, send_next_, send_max_;
    SeqNumber window_from_sequence_, window_from_ack_; // SND.WL1, SND.WL2
    uint32_t send_window_{}, greatest_window_{};
    SeqNumber small_until_;  // the last small segment sent ends here
    SeqNumber urgent_until_; // SND.UP
    SeqNumber recover_;      // RFC 6582; RFC 6675: RecoveryPoint
    SeqNumber repeated_;     // RFC 6675: HighRxt
    SeqNumber timed_until_;  // the segment whose round trip is being measured ends here
    // Receive
    SeqNumber initial_receive_, receive_next_, advertised_edge_, peer_fin_;
    SeqNumber receive_urgent_, last_ack_sent_;
    SeqNumber tuned_from_; // the receive limit was last thought about when this was next to be read
    uint32_t out_of_order_{}; // segments so far

    Congestion congestion_;
    RttEstimator rtt_;
    ConnectionTimer retransmit_timer_, delayed_ack_timer_;
    Instant timed_since_, last_sent_, last_heard_, failing_since_;
    Instant recent_since_, tuned_at_;
    uint32_t recent_timestamp_{}, timestamp_offset_{}; // TS.Recent, and of our own clock
    uint32_t challenges_since_{};                      // by our own clock
    StreamOptions options_;

    uint16_t send_mss_{}, path_mss_{}, retries_{};
    /// How the thirteenth and fourteenth byte of the header of what comes next will look, as a
    /// number in memory order, PUSH aside.
    uint16_t plain_head_{not_plain};
    State state_{State::closed};
    Waiting waiting_{Waiting::nothing};
    uint8_t send_scale_{}, receive_scale_{}, receive_order_{};
    uint8_t duplicate_acks_{}, unanswered_segments_{}, challenges_{};
    Err soft_error_{Err::none};
    bool active_ : 1 {}, offers_window_scale_ : 1 {}, may_fragment_ : 1 {};
    bool offers_timestamps_ : 1 {}, offers_blocks_ : 1 {}; // once open: both sides do
    bool ack_now_ : 1 {}, resend_first_ : 1 {}, in_recovery_ : 1 {}, rescued_ : 1 {};
    bool timing_ : 1 {}, override_ : 1 {}, urgent_out_ : 1 {}, urgent_in_ : 1 {};
    bool fin_wanted_ : 1 {}, peer_fin_known_ : 1 {}, writer_waits_ : 1 {};
    uint32_t retransmitted_{}, timeouts_{}, duplicate_acks_total_{};
    uint64_t sent_bytes_{}, received_bytes_{};
};

static_assert(sizeof(Connection) <= 512, "what a connection costs besides its buffers");

} // namespace net::tcp
