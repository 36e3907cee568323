// A channel bound to the event loop: calls with answers, one-way messages either way, over the
// lines of lib/ump. Sending suspends for credit, so back-pressure is a task that waits; the end of
// the peer ends every call. What is said is the affair of generated code (tools/gen.py).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "lib/abi/capability.hpp"
#include "lib/async/loop.hpp"
#include "lib/base/bytes.hpp"
#include "lib/rpc/wire.hpp"
#include "lib/ump/endpoint.hpp"

namespace rpc {

class Channel;

/// The seam to the doorbell of the peer.
class Bell {
  public:
    virtual void ring() = 0;

  protected:
    ~Bell() = default;
};

/// The seam to what carries capabilities beside the messages of one channel.
class Capabilities {
  public:
    /// A copy of `what` goes to the peer, who asks for it by `token`. Errors: foreign, quota, busy,
    /// revoking, peer_gone.
    virtual Result<> send(uint32_t token, abi::CapSlot what) = 0;
    /// Errors: not_found (Channel::capability_arrived will be called), why it does not come.
    virtual Result<abi::CapSlot> receive(uint32_t token) = 0;
    virtual void discard(abi::CapSlot slot) = 0;

  protected:
    ~Capabilities() = default;
};

/// What generated code does with what arrives. `bytes` is good until the first suspension.
class Handler {
  public:
    /// Decodes, carries out, and awaits channel.answer(id, ...).
    virtual async::Task<> request(Channel& channel, uint16_t id, uint8_t number, Bytes bytes) = 0;
    /// Errors mean that the peer broke the protocol; but would_block: a capability that belongs to
    /// it is not there yet, and it is to be told once more.
    virtual Result<> message(Channel& channel, uint16_t number, Bytes bytes) = 0;

    /// Told once, last: all calls have ended. The channel may be destroyed here.
    virtual void closed(Channel&, Err /*reason*/) {}

  protected:
    ~Handler() = default;
};

struct Setup {
    ump::Side side;
    Bell* bell{};
    Contract contract;
    bool from_other_core{};       // worth polling
    uint32_t calls_at_a_time{16}; // of the peer's; more are not read until one has ended
    Capabilities* capabilities{}; // null: none can be sent or received
    MutableBytes frames{};        // where handlers of the peer's calls live; empty: in the loop's
};

/// Something on its way out. Lives in the frame of the task that waits for it.
class Outgoing {
  public:
    ListHook<Outgoing> hook;
    async::Loop& loop() const;

  protected:
    friend class Channel;

    Outgoing(Channel& channel, Kind kind, uint16_t low, Bytes bytes)
        : channel_{&channel}, tag_{make_tag(kind, low)}, bytes_{bytes} {}

    /// Before it begins; afterwards the channel holds its address.
    Outgoing(Outgoing&& other) noexcept
        : channel_{other.channel_}, tag_{other.tag_}, bytes_{other.bytes_},
          brings_capability_{other.brings_capability_} {}

    ~Outgoing();

    /// The answer to a call. Errors: it cannot be read.
    virtual Result<> deliver(Bytes) { return fail(Err::protocol); }

    bool is_call() const { return kind_of(tag_) == Kind::request; }

    bool begun() const { return lines_sent_ > 0; }

    Channel* channel_;
    uint16_t tag_;
    uint16_t flow_{async::current_flow};
    Bytes bytes_;
    uint32_t lines_sent_{};
    bool waits_for_answer_{};
    bool brings_capability_{}; // its answer begins with a token
    async::Waiting* waiting_{};
};

/// A one-way message or an answer: goes on when it is in the ring.
class Post : public Outgoing {
  public:
    bool ready();
    void begin(async::Waiting& waiting);

  protected:
    using Outgoing::Outgoing;
};

/// A call: goes on with the answer, or leaves with its error.
class Call : public Outgoing {
  public:
    Call(Channel& channel, bool brings_capability) : Outgoing{channel, Kind::request, 0, {}} {
        brings_capability_ = brings_capability;
    }

    bool ready() const { return false; }

  protected:
    void begin(async::Waiting& waiting);
};

class Channel final : public async::Source {
  public:
    static constexpr size_t calls_max = 256; // of ours, at a time; further ones queue
    static constexpr unsigned lines_a_turn = 32;

    /// Greets at once: what is sent from now on is believed if the peer's greeting agrees.
    Channel(async::Loop& loop, const Setup& setup, Handler& handler);
    Channel(const Channel&) = delete;
    ~Channel();

    /// Sends without waiting. Errors: channel_full; what ended the channel.
    Result<> try_post(Post& out);

    /// Ends the channel soon (from the loop): handlers are cancelled, all calls fail.
    void close(Err reason = Err::channel_closed) {
        if (ending_ == Err::none) ending_ = reason;
    }

    /// The peer's domain has ended: it will not say so itself.
    void peer_gone() { close(Err::peer_gone); }

    bool over() const { return over_; }

    Err closed_because() const { return ending_; }

    async::Loop& loop() const { return loop_; }

    uint64_t lines_sent() const { return endpoint_.sent(); }

    uint64_t lines_received() const { return endpoint_.received(); }

    uint32_t calls_served() const { return served_; }

    // -- capabilities beside messages: in a message, a slot's number is a token --

    /// Sends a copy; `slot` becomes the token to put into the message. Null travels as null.
    Result<> send_capability(abi::CapSlot& slot);
    /// Waits until it is there.
    async::Task<abi::CapSlot> take_capability(abi::CapSlot token);
    /// Errors: would_block. What does not come because of an error becomes null.
    Result<> take_now(abi::CapSlot& slot);
    /// One that `Capabilities::receive` did not find is there now.
    void capability_arrived();

    void discard(abi::CapSlot slot) {
        if (slot != abi::null_slot) capabilities_->discard(slot);
    }

    /// Something was put into the bulk area that the peer waits for: wakes it if it sleeps.
    void published_elsewhere() {
        endpoint_.published_elsewhere();
        flush();
    }

    // --- async::Source
    bool pump() override;
    bool ready() override;

    void flush() override { endpoint_.notify(*bell_); }

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

    /// One call of the peer's that is being carried out.
    class Served final : public async::Job {
      public:
        explicit Served(Channel& channel) : channel_{channel} {}

        ListHook<Served> hook;

      private:
        void ended(Result<>) override { channel_.end(*this); }

        Channel& channel_;
    };

    /// Who waits for a capability; if it goes before, so does the capability.
    struct Wanted {
        Wanted(Channel& owner, uint32_t number) : channel{&owner}, token{number} {
            owner.wanted_.push_back(*this);
        }

        Wanted(const Wanted&) = delete;

        ~Wanted() {
            if (channel == nullptr) return;
            channel->wanted_.remove(*this);
            if (token != 0) channel->drop_capability(token);
        }

        Channel* channel; // null: it is over
        uint32_t token;   // 0: it is there
        ListHook<Wanted> hook;
    };

    struct Refusal {
        uint16_t id;
        Err why;
    };

    bool may_read() const {
        return !over_ && !held_.waits && serving_ < calls_at_a_time_ &&
               refusal_count_ < refusals_.size();
    }

    bool receive_line();
    void greet(const ump::Message& message);
    void take_line(const ump::Message& message);
    void dispatch(uint16_t tag, Bytes bytes);
    void tell(uint16_t number, Bytes bytes);
    bool tell_held();
    void drop_capability(uint32_t token);
    void serve(uint16_t id, Bytes bytes);
    void settle_answer(uint16_t id, Bytes bytes);
    void end(Served& served);

    bool send_queued();
    bool send_refusals();
    bool send_lines(Outgoing& out);
    bool can_go(const Outgoing& out) const;
    void enqueue(Outgoing& out, async::Waiting& waiting);
    void withdraw(Outgoing& out);
    bool send_line(const Outgoing& out, bool blank);
    std::optional<uint16_t> free_id() const;
    void settle();
    Fault why_over() const;

    async::Loop& loop_;
    ump::Endpoint endpoint_;
    Bell* bell_;
    Handler& handler_;
    Contract contract_;
    bool from_other_core_;
    uint32_t calls_at_a_time_;
    std::optional<async::FramePool> own_pool_;
    async::FramePool& pool_;

    bool greeted_{};
    bool over_{};
    Err ending_{Err::none};

    List<Outgoing, &Outgoing::hook> queue_;
    std::array<Outgoing*, calls_max> waiting_{};      // our calls by id
    std::array<uint64_t, calls_max / 64> used_ids_{}; // waiting_, and abandoned calls

    struct Filler { // the rest of a message whose task was cancelled halfway
        uint16_t tag{};
        uint32_t lines{};
    };

    Filler filler_;

    List<Served, &Served::hook> jobs_;
    uint32_t serving_{}, served_{};
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
    std::array<uint32_t, 32> unwanted_{};          // tokens nobody waits for any more, 0: free
    std::array<uint64_t, calls_max / 64> bring_{}; // our calls whose answers begin with a token
    Held held_;

    std::array<std::byte, max_lines * line_payload> assembly_;
    size_t assembled_{};
    uint16_t assembling_{};
};

} // namespace rpc
