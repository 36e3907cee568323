// What generated clients and servers are made of: messages that carry their own bytes, so that
// `co_await client.describe()` needs no frame, and the task that answers one request.
#pragma once

#include <algorithm>
#include <array>
#include <coroutine>
#include <optional>
#include <type_traits>

#include "lib/rpc/channel.hpp"
#include "lib/rpc/codec.hpp"

namespace rpc {

/// No arguments, or no results.
struct Nothing {
    static constexpr size_t wire_bytes = 0;

    void encode(Writer&) const {}
};

template <class T>
constexpr size_t wire_bytes_of = 0;
template <class T>
    requires requires { T::wire_bytes; }
constexpr size_t wire_bytes_of<T> = T::wire_bytes;

/// Has a field by which a capability travels; capability() says which.
template <class T>
concept Carries = requires { T::capability(); };

/// Lines of a message of at most `bytes`, of which only what is used is ever touched.
template <size_t bytes>
class Lines {
  public:
    Lines() {} // NOLINT: what it holds is written by fill

    Lines(const Lines&) = delete;

    template <class Encode>
    [[gnu::always_inline]] void fill(Encode&& encode) {
        const MutableBytes all = std::as_writable_bytes(std::span{body_});
        Writer writer{all};
        encode(writer);
        size_ = static_cast<uint32_t>(writer.written());
        // The rest of the last line goes to the peer as well.
        std::ranges::fill(all.subspan(size_, count() * line_payload - size_), std::byte{0});
    }

    const ump::Body* data() const { return body_.data(); }

    uint32_t count() const { return lines_for(size_); }

  private:
    std::array<ump::Body, lines_for(bytes)> body_;
    uint32_t size_{};
};

/// co_await of it gives a T (nothing, if T is void) or leaves with the server's error.
template <class Arguments, class T>
class CallOf final : public Call {
  public:
    using leaf = void;

    [[gnu::always_inline]] CallOf(Channel& channel, uint8_t number, const Arguments& arguments)
        : Call{channel, Carries<T>} {
        out_.fill([&](Writer& writer) {
            writer.put(number);
            arguments.encode(writer);
        });
    }

    /// Its capability has gone ahead by this token, and is taken back if the call is never sent.
    CallOf&& after(abi::CapSlot token) && {
        sent_ahead_ = token.raw;
        return std::move(*this);
    }

    /// Where the capability of the answer is known from the moment it is read.
    CallOf&& bringing(Channel::Wanted& wanted) &&
        requires Carries<T>
    {
        brought_ = &wanted;
        return std::move(*this);
    }

    /// No answer by then is Err::timed_out: the server is told to give up, and what it answers
    /// all the same is dropped. The deadline counts from the call.
    CallOf&& until(Instant deadline) && {
        deadline_ = deadline;
        return std::move(*this);
    }

    CallOf&& within(Duration d) && { return std::move(*this).until(loop().now() + d); }

    bool ready() const { return false; }

    void begin(async::Waiting& waiting) {
        lines_ = out_.data();
        line_count_ = out_.count();
        if (deadline_) waiting.arm(*deadline_, Fault{Err::timed_out});
        go(waiting);
    }

    T take() {
        if constexpr (!std::is_void_v<T>) return std::move(*result_);
    }

  private:
    bool deliver(Bytes answer) override {
        if constexpr (!std::is_void_v<T>) {
            auto read = T::decode(answer);
            if (!read) return false;
            result_.emplace(std::move(*read));
        }
        if constexpr (Carries<T>) brought_->token = ((*result_).*T::capability()).raw;
        return true;
    }

    using Brought = std::conditional_t<Carries<T>, Channel::Wanted*, Nothing>;

    Lines<1 + Arguments::wire_bytes> out_;
    std::optional<Instant> deadline_;
    std::optional<std::conditional_t<std::is_void_v<T>, Nothing, T>> result_;
    [[no_unique_address]] Brought brought_{};
};

/// co_await of it goes on when the message is in the ring.
template <class Arguments>
class PostOf final : public Post {
  public:
    using leaf = void;

    PostOf(Channel& channel, uint16_t number, const Arguments& arguments)
        : Post{channel, Kind::one_way, number} {
        out_.fill([&](Writer& writer) { arguments.encode(writer); });
    }

    /// As that of CallOf.
    PostOf&& after(abi::CapSlot token) && {
        sent_ahead_ = token.raw;
        return std::move(*this);
    }

    bool ready() {
        lines_ = out_.data();
        line_count_ = out_.count();
        return go_now();
    }

    void begin(async::Waiting& waiting) { go(waiting); }

    void take() const {}

    /// Without waiting. Errors: channel_full; what ended the channel.
    Result<> try_now() {
        if (ready()) return {};
        return fail(channel_->has_ended() ? channel_->why_over() : Fault{Err::channel_full});
    }

  private:
    Lines<Arguments::wire_bytes> out_;
};

template <class Arguments>
PostOf<Arguments> one_way(Channel& channel, uint16_t number, const Arguments& arguments) {
    return {channel, number, arguments};
}

template <class T>
using AnswerLines = Lines<1 + std::max(sizeof(uint64_t), wire_bytes_of<T>)>;

template <class T>
[[gnu::always_inline]] inline void fill_done(AnswerLines<T>& lines, const Result<T>& result) {
    lines.fill([&](Writer& writer) {
        writer.put(std::to_integer<uint8_t>(status_done));
        if constexpr (!std::is_void_v<T>) result->encode(writer);
    });
}

/// The result, or the chain of its error.
template <class T>
void fill(AnswerLines<T>& lines, const Result<T>& result) {
    if (result) return fill_done(lines, result);
    lines.fill([&](Writer& writer) {
        writer.put(std::to_integer<uint8_t>(status_failed));
        writer.put(result.error());
    });
}

/// A call of the peer's that could not be answered at once: its task waits for something, or the
/// answer for room in the ring.
template <class T>
class ServingOf final : public Serving, private async::ResultLink<T> {
  public:
    using Handle = typename async::Task<T>::Handle;

    ServingOf(Channel& channel, uint16_t id) : Serving{channel, id} { channel.note(*this); }

    ~ServingOf() override {
        if (task_) task_.destroy();
    }

    void go_on_with(Handle task) {
        task_ = task;
        task_.promise().link = this;
    }

    void answer(const Result<T>& result) {
        fill(out_, result);
        lines_ = out_.data();
        line_count_ = out_.count();
        channel_->answer(*this);
    }

  private:
    bool cancel() override {
        if (!task_) return false;
        std::exchange(task_, {}).destroy();
        answer(::fail(Err::cancelled));
        return true;
    }

    void fail(Fault fault) override {
        task_ = {};
        this->result.emplace(std::unexpected{fault});
    }

    std::coroutine_handle<> finished() override {
        if (auto task = std::exchange(task_, {})) task.destroy();
        answer(*this->result);
        return std::noop_coroutine();
    }

    Handle task_{};
    AnswerLines<T> out_;
};

/// Where a task ends that has not waited yet.
template <class T>
class FirstRun final : public async::ResultLink<T> {
  public:
    void fail(Fault fault) override {
        is_gone = true;
        this->result.emplace(std::unexpected{fault});
    }

    std::coroutine_handle<> finished() override { return std::noop_coroutine(); }

    bool is_gone{}; // with its frame
};

/// Runs the task of call `id` up to its first wait. Most end before that, and are answered without
/// a Serving, for which there is `room`.
template <class T>
[[gnu::always_inline]] inline void
serve(Channel& channel, uint16_t id, void* room, async::Task<T> made) {
    FirstRun<T> first;
    auto const task = made.take();
    if (task) [[likely]] {
        task.promise().link = &first;
        task.resume();
        if (!first.result) return (new (room) ServingOf<T>{channel, id})->go_on_with(task);
        if (!first.is_gone) task.destroy();
    } else {
        first.result.emplace(fail(Err::no_memory));
    }
    const Result<T>& result = *first.result;
    AnswerLines<T> answer;
    if (result) [[likely]] {
        fill_done(answer, result);
        const uint16_t flow = async::current_flow;
        if (channel.answers_at_once(id, flow, answer.data(), answer.count())) [[likely]]
            return async::FramePool::release(room);
    }
    (new (room) ServingOf<T>{channel, id})->answer(result);
}

// Messages with a capability: it goes first, its token travels in the message, and who gets the
// message waits for it before anybody sees the message.

/// The capability stays the sender's; one in the answer is the caller's.
template <class Arguments, class T>
async::Task<T> call_with_capability(Channel& channel, uint8_t number, Arguments arguments) {
    abi::CapSlot ahead = abi::null_slot;
    if constexpr (Carries<Arguments>) {
        abi::CapSlot& slot = arguments.*Arguments::capability();
        co_await channel.send_capability(slot);
        ahead = slot;
    }
    if constexpr (std::is_void_v<T>) {
        co_await CallOf<Arguments, T>{channel, number, arguments}.after(ahead);
        co_return {};
    } else if constexpr (Carries<T>) {
        Channel::Wanted wanted{channel};
        T result =
            co_await CallOf<Arguments, T>{channel, number, arguments}.after(ahead).bringing(wanted);
        result.*T::capability() = co_await Channel::take_capability(wanted);
        co_return result;
    } else {
        co_return co_await CallOf<Arguments, T>{channel, number, arguments}.after(ahead);
    }
}

template <class Arguments>
async::Task<> send_with_capability(Channel& channel, uint16_t number, Arguments arguments) {
    abi::CapSlot& slot = arguments.*Arguments::capability();
    co_await channel.send_capability(slot);
    co_await one_way(channel, number, arguments).after(slot);
    co_return {};
}

/// Waits for the arguments' capability, works, and gives away that of the result.
template <class Arguments, class T, class Work>
async::Task<T> with_capability(Channel& channel, Arguments arguments, Work work) {
    if constexpr (Carries<Arguments>) {
        abi::CapSlot& slot = arguments.*Arguments::capability();
        Channel::Wanted wanted{channel, slot};
        slot = co_await Channel::take_capability(wanted);
    }
    auto task = work(arguments);
    if constexpr (Carries<Arguments>)
        if (!task.has_frame()) channel.discard(arguments.*Arguments::capability());
    if constexpr (std::is_void_v<T>) {
        co_await std::move(task);
        co_return {};
    } else {
        T result = co_await std::move(task);
        if constexpr (Carries<T>) {
            const abi::CapSlot given = result.*T::capability();
            const auto sent = channel.send_capability(result.*T::capability());
            channel.discard(given);
            co_await sent;
        }
        co_return result;
    }
}

/// Decodes (now: `bytes` is the channel's), works, answers.
template <class Arguments, class T, class Work>
[[gnu::always_inline]] inline void
carry_out(Channel& channel, uint16_t id, Bytes bytes, Work work) {
    void* const room = channel.room_to_serve(id, sizeof(ServingOf<T>));
    if (room == nullptr) return;
    if constexpr (std::same_as<Arguments, Nothing>) {
        serve<T>(channel, id, room, work(Nothing{}));
    } else {
        const auto arguments = Arguments::decode(bytes);
        if (!arguments) {
            async::FramePool::release(room);
            return channel.refuse(id, arguments.error().top());
        }
        serve<T>(channel, id, room, work(*arguments));
    }
}

/// The same, where the arguments or the result have a capability.
template <class Arguments, class T, class Work>
void carry_out_with_capability(Channel& channel, uint16_t id, Bytes bytes, Work work) {
    bool begun = false;
    carry_out<Arguments, T>(channel, id, bytes, [&](const Arguments& arguments) {
        auto task = with_capability<Arguments, T>(channel, arguments, work);
        begun = task.has_frame();
        return task;
    });
    // A request that is refused leaves nothing behind.
    if constexpr (Carries<Arguments>)
        if (!begun)
            if (const auto refused = Arguments::decode(bytes))
                channel.drop_capability(((*refused).*Arguments::capability()).raw);
}

/// For the client of an interface without events.
class OnlyCalls final : public Handler {
  public:
    void request(Channel& channel, uint16_t id, uint8_t, Bytes) override {
        channel.refuse(id, Err::bad_operation);
    }

    Result<> message(Channel&, uint16_t, Bytes) override { return fail(Err::bad_operation); }
};

} // namespace rpc
