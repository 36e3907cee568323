// A channel bound to the event loop: calls with answers, one-way messages either way, over the
// lines of lib/ump. Sending suspends for credit, so back-pressure is a task that waits; the end of
// the peer ends every call. What is said is the affair of generated code (tools/gen.py).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <new>
#include <optional>

#include "lib/async/loop.hpp"
#include "lib/rpc/outgoing.hpp"
#include "lib/rpc/setup.hpp"
#include "lib/ump/endpoint.hpp"

namespace rpc {

class Channel final : public async::Source {
  public:
    static constexpr size_t calls_max = 256; // of ours, at a time; further ones queue
    static constexpr unsigned lines_a_turn = 32;

    /// Greets at once: what is sent from now on is believed if the peer's greeting agrees.
    Channel(async::Loop& loop, const Setup& setup, Handler& handler);
    Channel(const Channel&) = delete;
    ~Channel();

    /// Ends the channel soon (from the loop): handlers are cancelled, all calls fail. What is in
    /// the ring is there for the peer to read, before the end.
    void close(Err reason = Err::channel_closed) {
        warm();
        attention_ = true;
        if (ending_ == Err::none) ending_ = reason;
    }

    /// An orderly end: no new calls or messages of ours from now on, and the peer's calls are
    /// refused. What is queued goes out, calls under way get their answers; then the peer hears the
    /// end, and answers it. Awaiting it goes on when all that is over; then the channel is.
    /// Errors: why the channel ended otherwise.
    class Finish {
      public:
        using leaf = void;

        explicit Finish(Channel& channel) : channel_{&channel} {}

        async::Loop& loop() const { return channel_->loop_; }

        bool ready() const { return false; }

        void begin(async::Waiting& waiting) const { channel_->begin_finish(waiting); }

        void take() const {}

      private:
        Channel* channel_;
    };

    Finish finish() { return Finish{*this}; }

    /// The peer's domain has ended: it will not say so itself. What it had sent is taken first.
    void peer_gone() {
        warm();
        attention_ = gone_ = true;
    }

    bool over() const { return over_; }

    /// Nothing of ours can be sent any more; why_over() says why.
    bool has_ended() const { return ending_ != Err::none || finishing_; }

    Fault why_over() const;

    /// Something of ours waits for the peer: for its answer, or for it to read.
    bool awaits_peer() const {
        const bool answers = std::ranges::any_of(used_ids_, [](uint64_t ids) { return ids != 0; });
        return !over_ && (answers || has_to_send());
    }

    Err closed_because() const { return ending_; }

    async::Loop& loop() const { return loop_; }

    uint64_t lines_sent() const { return endpoint_.sent(); }

    uint64_t lines_received() const { return endpoint_.received(); }

    // -- for generated code: one call of the peer's --

    /// Memory for a Serving of call `id`, should it have to wait; or null: the call is refused.
    [[gnu::always_inline]] void* room_to_serve(uint16_t id, size_t bytes) {
        void* const room = finishing_ ? nullptr : pool_.allocate(bytes);
        if (room == nullptr) [[unlikely]]
            refuse(id, finishing_ ? Err::channel_closed : Err::no_memory);
        return room;
    }

    async::FramePool& frames() { return pool_; }

    void refuse(uint16_t id, Err why) {
        attention_ = true;
        refusals_[refusal_count_++] = {id, why};
    }

    /// It waits for something; it is ended when the channel is.
    void note(Serving& serving) {
        jobs_.push_back(serving);
        if (++serving_ == calls_at_a_time_) attention_ = true; // until then, all is read
    }

    /// False: there is no room now, or somebody else waits for some.
    [[nodiscard]] bool
    answers_at_once(uint16_t id, uint16_t flow, const ump::Body* lines, uint32_t count);
    /// It goes away when the answer is in the ring.
    void answer(Serving& serving);

    // -- capabilities beside messages: in a message, a slot's number is a token --

    /// One that comes with a message, in the frame of who wants it: if that goes first, so does the
    /// capability.
    struct Wanted {
        explicit Wanted(Channel& owner, abi::CapSlot sent = abi::null_slot)
            : channel{owner.over_ ? nullptr : &owner}, token{sent.raw} {
            if (channel != nullptr) owner.wanted_.push_back(*this);
        }

        Wanted(const Wanted&) = delete;

        ~Wanted() {
            if (channel == nullptr) return;
            channel->wanted_.remove(*this);
            if (token != 0) channel->drop_capability(token);
        }

        Channel* channel; // null: it is over
        uint32_t token;   // 0: there is none, or somebody else has it now
        ListHook<Wanted> hook;
    };

    /// Sends a copy; `slot` becomes the token to put into the message. Null travels as null.
    Result<> send_capability(abi::CapSlot& slot);
    /// Waits until it is there.
    static async::Task<abi::CapSlot> take_capability(Wanted& wanted);
    /// Errors: would_block. What does not come because of an error becomes null.
    Result<> take_now(abi::CapSlot& slot);
    /// It is taken and deleted, now or when it comes: the message it belongs to is not carried out.
    void drop_capability(uint32_t token);
    /// One that `Capabilities::receive` did not find is there now.
    void capability_arrived();

    void discard(abi::CapSlot slot) {
        if (slot != abi::null_slot && capabilities_ != nullptr) capabilities_->discard(slot);
    }

    /// Something was put into the bulk area that the peer waits for: wakes it if it sleeps.
    void published_elsewhere() {
        endpoint_.published_elsewhere();
        flush();
    }

    // --- async::Source
    bool pump() override;
    bool ready() override;
    bool cools() override;

    void flush() override {
        if (endpoint_.owes_credit()) [[unlikely]]
            return flush_credit();
        endpoint_.notify(*bell_);
    }

    void arm(uint64_t epoch) override { endpoint_.arm(epoch); }

    void disarm() override { endpoint_.disarm(); }

    Watch watch() override {
        if (!from_other_core_ || !may_read()) return {};
        return {&endpoint_.next_control(), endpoint_.next_sequence()};
    }

  private:
    friend class Outgoing;
    friend class Post;
    friend class Call;
    friend class Serving;

    struct Refusal {
        uint16_t id;
        Err why;
    };

    bool may_read() const {
        return ending_ == Err::none && !held_.waits && serving_ < calls_at_a_time_ &&
               refusal_count_ < refusals_.size();
    }

    /// Nothing waits to be sent before a message that is to go now.
    bool is_clear() const {
        return !attention_ ||
               (ending_ == Err::none && !finishing_ && queue_.empty() && !withdraws_);
    }

    /// What goes out between messages, by this end's own affairs.
    bool has_notes() const { return refusal_count_ > 0 || recall_count_ > 0; }

    bool has_to_send() const { return !queue_.empty() || has_notes() || withdraws_ || finishing_; }

    /// Whatever happens to this end other than by a message of the peer's.
    void warm() {
        if (is_cold()) loop_.heat(*this);
    }

    [[gnu::noinline]] void flush_credit();
    async::Waiting* take(uint64_t control, const ump::Body& body);
    bool attend();
    bool ready_to_attend();
    void greet(uint64_t control, const ump::Body& body);
    async::Waiting* take_part(uint64_t control, const ump::Body& body);
    void dispatch(uint16_t tag, Bytes bytes);
    bool wind_up();
    void begin_finish(async::Waiting& waiting);
    void end_sending();
    void tell(uint16_t tag, Bytes bytes);
    void tell_message(uint16_t number, Bytes bytes);
    bool tell_held();
    async::Waiting* settle_answer(uint16_t id, Bytes bytes);
    static void settle_failure(Call& call, Bytes chain);
    void drop_answer(uint16_t id, Bytes bytes);
    void end(Serving& serving);
    void take_cancellations();
    void tell_cancelled(uint16_t id, bool is_cancelled);

    bool has_cancellations() const {
        return serving_ > 0 && endpoint_.load_aside(aside_count) != cancellations_;
    }

    bool send_queued();
    void send_refusals();
    void send_recalls();
    void send_withdrawn();
    bool send_lines(Outgoing& out);
    void send_now(Outgoing& out);
    void send_call(Call& call);
    [[gnu::noinline]] void send_or_queue(Call& call);
    bool can_go(const Outgoing& out) const;
    void give_id(Outgoing& call);
    void enqueue(Outgoing& out);
    void withdraw(Outgoing& out);
    std::optional<uint16_t> free_id() const;
    void settle();

    async::Loop& loop_;
    ump::Endpoint endpoint_;
    Bell* bell_;
    Handler& handler_;
    Contract contract_;
    bool from_other_core_;
    uint32_t calls_at_a_time_;
    std::optional<async::FramePool> own_pool_;
    async::FramePool& pool_;

    bool attention_{true}; // there is more to be done than to read the next line
    bool greeted_{};
    bool over_{};
    bool gone_{}; // the peer's domain has ended
    uint32_t pumps_after_gone_{};
    bool finishing_{}; // an orderly end was begun
    Err ending_{Err::none};
    async::WaitQueue finishers_;

    List<Outgoing, &Outgoing::hook> queue_;
    std::array<Call*, calls_max> waiting_{};           // ours by id
    std::array<uint64_t, calls_max / 64> used_ids_{};  // waiting_, and abandoned calls
    std::array<uint64_t, calls_max / 64> cancelled_{}; // of these the peer is told
    uint64_t cancels_{};                               // how many ever
    uint64_t cancellations_{};                         // of the peer's, seen
    bool any_cancelled_{}; // by the peer; some of these may not have been read yet

    bool withdraws_{}; // the task of the message under way is gone: no more of it comes

    List<Serving, &Serving::jobs_hook> jobs_;
    uint32_t serving_{};
    std::array<Refusal, 8> refusals_{};
    size_t refusal_count_{};

    struct Held { // a one-way message, in assembly_, that waits for its capability
        bool waits{};
        uint16_t number{}, flow{};
        size_t size{};
    };

    Capabilities* capabilities_;
    uint32_t last_token_{};
    bool arrived_any_{};
    async::Signal arrived_;
    List<Wanted, &Wanted::hook> wanted_;
    // A monitor lets 32 capabilities be under way in each direction.
    std::array<uint32_t, 32> unwanted_{}; // tokens nobody waits for any more, 0: free
    std::array<uint32_t, 32> recalls_{};  // tokens of messages that will not come
    size_t recall_count_{};
    std::array<uint64_t, calls_max / 64> bring_{
    }; // abandoned ones whose answers begin with a token
    Held held_;

    std::array<std::byte, max_lines * line_payload> assembly_;
    size_t assembled_{};
    uint16_t assembling_{};
    uint64_t traffic_{}; // lines in both directions when last asked whether this cools
};

inline async::Loop& Outgoing::loop() const {
    return channel_->loop_;
}

inline void Outgoing::withdraw() {
    channel_->withdraw(*this);
}

/// There is room for all of it.
inline void Channel::send_now(Outgoing& out) {
    if (out.line_count_ != 1) [[unlikely]] {
        (void)send_lines(out);
        return;
    }
    endpoint_.send(out.tag_, out.flow_, *out.lines_);
    out.lines_sent_ = 1;
}

inline void Channel::give_id(Outgoing& call) {
    const uint16_t id = *free_id();
    used_ids_[id / 64] |= uint64_t{1} << (id % 64);
    call.tag_ = make_tag(Kind::request, id);
}

/// A call of one line: there is an id below 64, and room.
[[gnu::always_inline]] inline void Channel::send_call(Call& call) {
    const uint64_t used = used_ids_[0];
    const auto id = static_cast<uint16_t>(__builtin_ctzll(~used));
    used_ids_[0] = used | uint64_t{1} << id;
    call.tag_ = make_tag(Kind::request, id);
    endpoint_.send(call.tag_, call.flow_, *call.lines_);
    waiting_[id % 64] = &call;
    call.waits_for_answer_ = true;
}

inline std::optional<uint16_t> Channel::free_id() const {
    for (size_t i = 0; i < used_ids_.size(); ++i)
        if (~used_ids_[i] != 0)
            return static_cast<uint16_t>(
                64 * i + static_cast<size_t>(std::countr_one(used_ids_[i]))
            );
    return std::nullopt;
}

/// Straight into the ring, if nobody waits before and the whole message fits.
inline bool Post::go_now() {
    Channel& channel = *channel_;
    channel.warm();
    const bool now = channel.is_clear() && channel.endpoint_.has_credit_for(line_count_);
    if (now) channel.send_now(*this);
    return now;
}

inline void Post::go(async::Waiting& waiting) {
    waiting_ = &waiting;
    channel_->enqueue(*this);
}

inline void Call::go(async::Waiting& waiting) {
    waiting_ = &waiting;
    Channel& channel = *channel_;
    const bool now = !channel.attention_ && !channel.is_cold() && ~channel.used_ids_[0] != 0 &&
                     line_count_ == 1 && channel.endpoint_.has_room_for(1);
    if (!now) [[unlikely]]
        return channel.send_or_queue(*this);
    channel.send_call(*this);
}

inline void Serving::settled(std::optional<Fault>) {
    channel_->end(*this);
}

[[gnu::always_inline]] inline bool
Channel::answers_at_once(uint16_t id, uint16_t flow, const ump::Body* lines, uint32_t count) {
    const bool clear = !attention_ || (queue_.empty() && !withdraws_ && ending_ == Err::none);
    if (!clear || !endpoint_.has_room_for(count)) [[unlikely]]
        return false;
    const uint16_t tag = make_tag(Kind::reply, id);
    for (; count > 1; --count)
        endpoint_.send(tag | more_follows, flow, *lines++);
    endpoint_.send(tag, flow, *lines);
    return true;
}

inline void Channel::answer(Serving& serving) {
    warm();
    const uint16_t flow = serving.flow_;
    if (answers_at_once(serving.id(), flow, serving.lines_, serving.line_count_))
        return end(serving);
    enqueue(serving);
}

inline void Channel::end(Serving& serving) {
    jobs_.remove(serving);
    --serving_;
    serving.~Serving();
    async::FramePool::release(&serving);
}

} // namespace rpc
