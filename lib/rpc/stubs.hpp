// What generated clients and servers are made of: messages that carry their own bytes, so that
// `co_await client.describe()` needs no frame, and the task that answers one request.
#pragma once

#include <algorithm>
#include <array>
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

/// co_await of it gives a T (nothing, if T is void) or leaves with the server's error.
template <class Arguments, class T>
class CallOf final : public Call {
  public:
    using leaf = void;

    CallOf(Channel& channel, uint8_t number, const Arguments& arguments)
        : Call{channel, Carries<T>} {
        Writer writer{out_};
        writer.put(number);
        arguments.encode(writer);
        size_ = writer.written();
    }

    CallOf(CallOf&& other) noexcept
        : Call{std::move(other)}, out_{other.out_}, size_{other.size_} {}

    void begin(async::Waiting& waiting) {
        bytes_ = Bytes{out_}.first(size_);
        Call::begin(waiting);
    }

    T take() {
        if constexpr (!std::is_void_v<T>) return std::move(*result_);
    }

  private:
    Result<> deliver(Bytes answer) override {
        if constexpr (!std::is_void_v<T>) {
            auto read = T::decode(answer);
            if (!read) return fail(read.error());
            result_.emplace(std::move(*read));
        }
        return {};
    }

    std::array<std::byte, 1 + Arguments::wire_bytes> out_;
    size_t size_{};
    std::optional<std::conditional_t<std::is_void_v<T>, Nothing, T>> result_;
};

/// co_await of it goes on when the message is in the ring.
template <size_t bytes>
class PostOf final : public Post {
  public:
    using leaf = void;

    template <class Encode>
    PostOf(Channel& channel, Kind kind, uint16_t low, Encode&& encode)
        : Post{channel, kind, low, {}} {
        Writer writer{out_};
        encode(writer);
        size_ = writer.written();
    }

    PostOf(PostOf&& other) noexcept
        : Post{std::move(other)}, out_{other.out_}, size_{other.size_} {}

    bool ready() {
        bytes_ = Bytes{out_}.first(size_);
        return Post::ready();
    }

    void take() const {}

    /// Without waiting. Errors: channel_full; what ended the channel.
    Result<> try_now() {
        bytes_ = Bytes{out_}.first(size_);
        return channel_->try_post(*this);
    }

  private:
    std::array<std::byte, bytes> out_;
    size_t size_{};
};

template <class Arguments>
PostOf<Arguments::wire_bytes>
one_way(Channel& channel, uint16_t number, const Arguments& arguments) {
    return {channel, Kind::one_way, number, [&](Writer& out) { arguments.encode(out); }};
}

/// The answer to request `id`: the result, or the chain of its error.
template <class T>
PostOf<1 + std::max(sizeof(uint64_t), wire_bytes_of<T>)>
answer(Channel& channel, uint16_t id, const Result<T>& result) {
    return {channel, Kind::reply, id, [&](Writer& out) {
                out.put(std::to_integer<uint8_t>(result ? status_done : status_failed));
                if (!result)
                    out.put(result.error().raw());
                else if constexpr (!std::is_void_v<T>)
                    result->encode(out);
            }};
}

// Messages with a capability: it goes first, its token travels in the message, and who gets the
// message waits for it before anybody sees the message.

/// The capability stays the sender's; one in the answer is the caller's.
template <class Arguments, class T>
async::Task<T> call_with_capability(Channel& channel, uint8_t number, Arguments arguments) {
    if constexpr (Carries<Arguments>)
        co_await channel.send_capability(arguments.*Arguments::capability());
    if constexpr (std::is_void_v<T>) {
        co_await CallOf<Arguments, T>{channel, number, arguments};
        co_return {};
    } else {
        T result = co_await CallOf<Arguments, T>{channel, number, arguments};
        if constexpr (Carries<T>) {
            abi::CapSlot& slot = result.*T::capability();
            slot = co_await channel.take_capability(slot);
        }
        co_return result;
    }
}

template <class Arguments>
async::Task<> send_with_capability(Channel& channel, uint16_t number, Arguments arguments) {
    co_await channel.send_capability(arguments.*Arguments::capability());
    co_await one_way(channel, number, arguments);
    co_return {};
}

/// The answer, of which a capability is given away.
template <class T>
async::Task<> answer_with_capability(Channel& channel, uint16_t id, Result<T> result) {
    if (result) {
        const abi::CapSlot given = (*result).*T::capability();
        if (const auto sent = channel.send_capability((*result).*T::capability()); !sent)
            result = fail(sent.error());
        channel.discard(given);
    }
    co_await answer(channel, id, result);
    co_return {};
}

template <class T>
async::Task<> answer_all(Channel& channel, uint16_t id, Result<T> result) {
    if constexpr (Carries<T>)
        co_await answer_with_capability<T>(channel, id, std::move(result));
    else
        co_await answer(channel, id, result);
    co_return {};
}

/// As carry_out, where the arguments or the result have a capability.
template <class Arguments, class T, class Work>
async::Task<> carry_out_with_capability(Channel& channel, uint16_t id, Bytes bytes, Work work) {
    if constexpr (std::same_as<Arguments, Nothing>) {
        co_await answer_all<T>(channel, id, co_await async::result_of(work()));
    } else {
        auto arguments = Arguments::decode(bytes);
        if (arguments) {
            if constexpr (Carries<Arguments>) {
                abi::CapSlot& slot = (*arguments).*Arguments::capability();
                const auto taken = co_await async::result_of(channel.take_capability(slot));
                if (taken)
                    slot = *taken;
                else
                    arguments = fail(taken.error());
            }
        }
        if (!arguments) {
            co_await answer(channel, id, Result<>{fail(arguments.error())});
            co_return {};
        }
        co_await answer_all<T>(channel, id, co_await async::result_of(work(*arguments)));
    }
    co_return {};
}

inline async::Task<> refuse(Channel& channel, uint16_t id, Err why) {
    co_await answer(channel, id, Result<>{fail(why)});
    co_return {};
}

/// Decodes (before the first wait: `bytes` is the channel's), works, answers.
template <class Arguments, class T, class Work>
async::Task<> carry_out(Channel& channel, uint16_t id, Bytes bytes, Work work) {
    if constexpr (std::same_as<Arguments, Nothing>) {
        co_await answer(channel, id, co_await async::result_of(work()));
    } else {
        const auto arguments = Arguments::decode(bytes);
        if (!arguments) {
            co_await answer(channel, id, Result<>{fail(arguments.error())});
            co_return {};
        }
        co_await answer(channel, id, co_await async::result_of(work(*arguments)));
    }
    co_return {};
}

/// For the client of an interface without events.
class OnlyCalls final : public Handler {
  public:
    async::Task<> request(Channel& channel, uint16_t id, uint8_t, Bytes) override {
        return refuse(channel, id, Err::bad_operation);
    }

    Result<> message(Channel&, uint16_t, Bytes) override { return fail(Err::bad_operation); }
};

} // namespace rpc
