// What leaves through a channel: one-way messages, calls that wait for their answer, and answers to
// the peer's calls. Each lives with whoever waits for it, so nothing is copied into a queue.
#pragma once

#include <cstdint>
#include <optional>

#include "lib/async/loop.hpp"
#include "lib/base/bytes.hpp"
#include "lib/base/list.hpp"
#include "lib/rpc/wire.hpp"

namespace rpc {

class Channel;

/// Something on its way out. Lives in the frame of the task that waits for it, so a queue of them
/// is as long as there are tasks that wait: nothing is copied or kept beyond that.
class Outgoing {
  public:
    Outgoing(const Outgoing&) = delete;
    ListHook<Outgoing> hook;
    async::Loop& loop() const;

  protected:
    friend class Channel;

    Outgoing(Channel& channel, Kind kind, uint16_t low)
        : channel_{&channel}, tag_{make_tag(kind, low)} {}

    ~Outgoing() {
        // Only then: otherwise the channel knows nothing of it, and may be gone.
        if (hook.linked() || waits_for_answer_) withdraw();
    }

    /// A message is in the ring, or the answer to a call was taken; or the error that ended it.
    virtual void settled(std::optional<Fault> error) = 0;

    bool is_call() const { return kind_of(tag_) == Kind::request; }

    bool begun() const { return lines_sent_ > 0; }

    void withdraw();

    Channel* channel_;
    const ump::Body* lines_;
    uint32_t line_count_, lines_sent_{};
    uint32_t sent_ahead_{}; // token of the capability that belongs to it, 0: none
    uint16_t tag_;
    uint16_t flow_{async::current_flow};
    bool waits_for_answer_{};
    bool brings_capability_{}; // its answer begins with a token
};

/// One that a task awaits.
class Awaited : public Outgoing {
  protected:
    friend class Channel;
    using Outgoing::Outgoing;

    void settled(std::optional<Fault> error) final {
        if (error)
            waiting_->wake(*error);
        else
            waiting_->wake();
    }

    async::Waiting* waiting_;
};

/// A one-way message: goes on when it is in the ring.
class Post : public Awaited {
  protected:
    using Awaited::Awaited;
    bool go_now();
    void go(async::Waiting& waiting);
};

/// A call: goes on with the answer, or leaves with its error.
class Call : public Awaited {
  protected:
    Call(Channel& channel, bool brings_capability) : Awaited{channel, Kind::request, 0} {
        brings_capability_ = brings_capability;
    }

    friend class Channel;

    void go(async::Waiting& waiting);

    /// The answer. False: it cannot be read.
    virtual bool deliver(Bytes answer) = 0;
};

/// One call of the peer's that is being carried out, and then its answer on the way out. Made in
/// the channel's pool, by stubs.hpp. The channel knows of it once its task, or its answer, waits.
class Serving : public Outgoing {
  public:
    ListHook<Serving> jobs_hook;

  protected:
    friend class Channel;
    virtual ~Serving() = default;

    Serving(Channel& channel, uint16_t id) : Outgoing{channel, Kind::reply, id} {}

    /// Ends its task where it waits, and answers that. False: it does not run any more.
    virtual bool cancel() = 0;

    void settled(std::optional<Fault>) final;

    uint16_t id() const { return tag_ & low_mask; }
};

} // namespace rpc
