// One side of a channel: two rings of lines, one for each direction, and no counter that both
// sides write. It moves lines and ignores their meaning; it never waits. Touched by one core only.
#pragma once

#include <algorithm>
#include <bit>
#include <span>
#include <utility>

#include "lib/base/invariant.hpp"
#include "lib/base/result.hpp"
#include "lib/ump/line.hpp"

namespace ump {

/// Wakes the other side; may be late and may be spurious, but must not be lost.
template <class B>
concept Bell = requires(B& bell) { bell.ring(); };

template <class Memory>
struct BasicSide {
    std::span<BasicLine<Memory>> out, in; // same number of lines, a power of two
    BasicControlLine<Memory>* own{};      // we write, the peer reads
    BasicControlLine<Memory>* peer{};     // the other way round
};

/// Everything read from `in` and `peer` is hostile: it may delay or close this channel, no more.
template <class Memory>
class BasicEndpoint {
  public:
    /// The memory is zeroed, or was never used before by either side.
    explicit BasicEndpoint(const BasicSide<Memory>& side)
        : out_{side.out.data()}, in_{side.in.data()}, own_{side.own}, peer_{side.peer},
          mask_{side.out.size() - 1}, limit_{mask_} {
        const size_t lines = side.out.size();
        INVARIANT(side.in.size() == lines, "layout makes both rings of one size");
        INVARIANT(
            std::has_single_bit(lines) && lines >= min_ring_lines && lines <= max_ring_lines,
            "layout checks the size of a ring"
        );
    }

    /// Errors: channel_full (wait for credit); channel_closed. Publishes at once, but the peer may
    /// sleep: call notify() after the last message of a batch.
    [[gnu::always_inline]] Result<> try_send(uint16_t tag, uint16_t flow, const Body& body) {
        if (sent_ >= limit_) [[unlikely]] {
            if (closed()) return fail(Err::channel_closed);
            if (!has_credit()) return fail(closed() ? Err::channel_closed : Err::channel_full);
        }
        send(tag, flow, body);
        return {};
    }

    /// The same when there is room for it: has_room_for() said so.
    [[gnu::always_inline]] void send(uint16_t tag, uint16_t flow, const Body& body) {
        INVARIANT(tag != close_tag, "end() alone sends that tag");
        publish(tag, flow, body);
    }

    /// The next message, if one is there. The line is read once: the copy cannot change any more.
    /// Whatever is not the common case (the end, a forgery, an acknowledgement that needs a second
    /// look) shows as news in the acknowledgement. Call notify() after a batch.
    [[gnu::always_inline]] bool try_recv(Message& into) {
        return try_recv(into.control, into.body);
    }

    /// The same in two parts, so that the control word can stay in a register.
    [[gnu::always_inline]] bool try_recv(uint64_t& control, Body& body) {
        const BasicLine<Memory>& line = in_[got_ & mask_];
        const uint64_t word = Memory::load(line.control);
        if (uint16_t(word) != uint16_t(got_ + 1)) return false;
        if (uint32_t(word) >> 16 != last_ack_ && !take_news(word)) [[unlikely]]
            return false;
        ++got_;
        control = word;
        Memory::read(line.payload, body);
        return true;
    }

    /// Is there something for try_recv? (A close counts: it has to be read.)
    bool has_message() const {
        const uint64_t control = Memory::load(in_[got_ & mask_].control);
        return reason_ == Err::none && uint16_t(control) == uint16_t(got_ + 1);
    }

    /// Could try_send send? Looks at the peer's control line only when the ring seems full. One
    /// line is kept back, so that close() never waits.
    bool has_credit() {
        if (sent_ >= limit_ && !closed()) take_credit();
        return sent_ < limit_;
    }

    /// Like has_credit, for `wanted` messages at once (0: always).
    bool has_credit_for(uint64_t wanted) {
        if (sent_ + wanted > limit_ && !closed()) take_credit();
        return sent_ + wanted <= limit_;
    }

    /// Room for `wanted` messages that is known of already: looks at no memory of the peer's.
    bool has_room_for(uint64_t wanted) const { return sent_ + wanted <= limit_; }

    /// The control word of the next message, and what its low 16 bits will be: for polling.
    const typename Memory::Word& next_control() const { return in_[got_ & mask_].control; }

    uint16_t next_sequence() const { return static_cast<uint16_t>(got_ + 1); }

    /// Words beside the messages, which they may overtake; call notify() as after a message.
    void store_aside(size_t i, uint64_t value) {
        Memory::store(own_->aside[i], value);
        published_ = true;
    }

    /// What the peer stored: hostile, like all of it.
    uint64_t load_aside(size_t i) const { return Memory::load(peer_->aside[i]); }

    /// Something was published to the peer in other memory that belongs to the channel (packet
    /// rings): notify() covers it too.
    void published_elsewhere() { published_ = true; }

    /// After a batch of messages sent or received: tells the peer aside what was read, if it owes
    /// that to nobody's message; and wakes it if it sleeps (or is about to) and something was
    /// published since the last call. One fence for a batch; at most one ring for an epoch.
    ///
    /// No wake-up is lost. The sleeper stores its epoch, fences, looks at the ring; the sender
    /// stores a line, fences, looks at the epoch. The two fences are ordered one way or the other:
    /// if the sleeper's is first, the sender sees the epoch and rings; if the sender's is first,
    /// the sleeper sees the line and does not sleep. Without either fence a load could overtake
    /// the store before it, and both could look too early. tests/ump/interleaving_test.cpp tries
    /// every order.
    template <Bell B>
    void notify(B& bell) {
        acknowledge();
        if (!published_) return;
        Memory::fence_after_publish();
        look_and_ring(bell);
    }

    /// The first half of notify().
    void acknowledge() {
        if (owes_credit()) [[unlikely]]
            tell_credit();
    }

    bool owes_credit() const { return got_ - told_ > mask_ / 2; }

    /// The other half, for whoever has published to several peers and fenced once for all of them.
    template <Bell B>
    void notify_fenced(B& bell) {
        if (published_) look_and_ring(bell);
    }

    /// About to sleep in `epoch` (never 0, never used before): store, then the caller fences with
    /// Memory::fence_after_arm (once for all its channels), looks at all of them again, and blocks.
    /// A cold channel is armed again, with a new epoch, each time it has been emptied, and is never
    /// disarmed: a sender then rings even a waking receiver.
    void arm(uint64_t epoch) { Memory::store(own_->epoch, epoch); }

    /// Awake: senders need not ring. Leaving it out costs spurious rings, nothing else.
    void disarm() { Memory::store(own_->epoch, 0); }

    /// Tells the peer that nothing follows, as its last message. The state is sticky: no message
    /// is sent or received afterwards.
    void close(Err reason = Err::channel_closed) {
        if (reason_ != Err::none) return;
        end(reason);
        shut(reason);
    }

    /// Half of a close: nothing is sent afterwards, but what the peer sends is read, up to its own
    /// last message, which answers this one.
    void end(Err reason = Err::channel_closed) {
        if (std::exchange(ended_, true)) return;
        publish(close_tag, 0, Body{uint64_t(reason)}, got_ + no_ack);
    }

    bool has_ended() const { return ended_; }

    bool closed() const { return reason_ != Err::none; }

    /// Err::none while open; channel_closed after an orderly end from either side; protocol when
    /// the peer broke the rules.
    Err closed_because() const { return reason_; }

    uint64_t sent() const { return sent_; }

    uint64_t received() const { return got_; }

  private:
    static constexpr uint32_t look_closely = 0x1'0000; // of last_ack_: no 16-bit number
    /// Added to the acknowledgement of a close: no plausible one is so far ahead (rings have at
    /// most 2^15 lines), so who reads it looks closely, and sees the tag.
    static constexpr uint64_t no_ack = 0x8000;

    template <Bell B>
    void look_and_ring(B& bell) {
        published_ = false;
        const uint64_t epoch = Memory::load(peer_->epoch);
        if (epoch == 0 || epoch == rung_) return;
        rung_ = epoch;
        bell.ring();
    }

    void publish(uint16_t tag, uint16_t flow, const Body& body) { publish(tag, flow, body, got_); }

    void publish(uint16_t tag, uint16_t flow, const Body& body, uint64_t ack) {
        BasicLine<Memory>& line = out_[sent_ & mask_];
        Memory::write(line.payload, body);
        ++sent_;
        told_ = got_; // our credit rides along
        Memory::store(line.control, Control::pack(sent_, ack, tag, flow));
        published_ = true;
    }

    /// Half a ring was read and nothing went back: the peer may stall, so it is told aside.
    [[gnu::noinline]] void tell_credit() {
        told_ = got_;
        Memory::store(own_->credit, Credit::pack(got_, sent_));
        published_ = true;
    }

    /// An acknowledgement that is not the last one seen. At most a ring is unacknowledged, so 16
    /// bits name one message only.
    bool take_news(uint64_t word) {
        const Control control = Control::unpack(word);
        const uint64_t newly = uint16_t(control.ack - uint16_t(acked()));
        if (last_ack_ == look_closely || newly > sent_ - acked()) [[unlikely]]
            return take_strange(control, newly);
        limit_ += newly;
        last_ack_ = control.ack;
        return true;
    }

    /// A line that was sent before a credit word that we have read already carries an older number,
    /// which must not be taken for one a lap ahead.
    [[gnu::cold, gnu::noinline]] bool take_strange(Control control, uint64_t newly) {
        if (closed()) return false;
        if (control.tag == close_tag) {
            // The peer's reason is its own affair: to us it is an orderly end, which we answer.
            end();
            shut(Err::channel_closed);
            return false;
        }
        if (got_ < stale_until_) return true;
        if (newly > sent_ - acked()) {
            close(Err::protocol);
            return false;
        }
        limit_ += newly;
        last_ack_ = control.ack;
        return true;
    }

    /// The credit word of the peer. It is older than what rode on messages, or newer; then it was
    /// written after message got_, so its `sent` lies at most a ring ahead of got_.
    void take_credit() {
        const Credit credit = Credit::unpack(Memory::load(peer_->credit));
        if (credit.received <= acked()) return;
        const uint64_t ahead = uint16_t(credit.sent - uint16_t(got_));
        if (credit.received > sent_ || ahead > mask_ + 1) return close(Err::protocol);
        limit_ = credit.received + mask_;
        stale_until_ = got_ + ahead;
        last_ack_ = look_closely;
    }

    void shut(Err reason) {
        reason_ = reason;
        limit_ = 0;
        last_ack_ = look_closely;
    }

    uint64_t acked() const { return limit_ - mask_; }

    BasicLine<Memory>* out_;
    const BasicLine<Memory>* in_;
    BasicControlLine<Memory>* own_;
    const BasicControlLine<Memory>* peer_;
    uint64_t mask_;       // lines of a ring - 1
    uint64_t sent_{};     // messages published
    uint64_t limit_;      // how many may be: those known to be read, and a ring but one; 0 closed
    uint64_t got_{};      // messages read
    uint64_t told_{};     // of these, the peer was told
    uint32_t last_ack_{}; // low 16 bits of acked(); or look_closely
    uint64_t stale_until_{}; // messages up to this number carry acknowledgements of no news
    uint64_t rung_{};        // the peer's epoch that we rang for
    bool published_{};       // something the peer has not been notified of
    bool ended_{};           // our last message is out
    Err reason_{Err::none};
};

using Side = BasicSide<RealMemory>;
using Endpoint = BasicEndpoint<RealMemory>;

} // namespace ump
