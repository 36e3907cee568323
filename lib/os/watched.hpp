// Sockets that are waited for without a call under way for each: the stack tells of those that
// something has happened to, so that a server of thousands costs it one call.
#pragma once

#include <algorithm>
#include <array>

#include "lib/os/socket.hpp"

namespace os {

class Watched;

/// All watched sockets of one binding to the stack: 128 KiB, so not for a stack.
class Watchers {
  public:
    explicit Watchers(Network& network) : network_{network} {}

    Watchers(const Watchers&) = delete;

    /// Passes on what the stack tells, as long as the stack is there; then all are woken, to find
    /// that nothing can be done any more.
    async::Task<> follow();

  private:
    friend class Watched;

    struct Change {
        uint32_t socket, ready;
    };

    async::Task<> pass_on(const Network::Chunk& chunk);

    /// Of a socket. Its number is in the low bits of its handle (socket.if: changes).
    Watched*& at(uint32_t handle) { return places_[(handle & 0xffff) % places_.size()]; }

    Network& network_;
    std::array<Watched*, socket_api::SOCKETS> places_{};
};

/// One socket, as long as this lives.
class Watched {
  public:
    Watched(Watchers& watchers, const Socket& socket)
        : watchers_{watchers}, handle_{socket.handle()}, changed_{socket.network().loop()} {
        watchers_.at(handle_) = this;
    }

    Watched(const Watched&) = delete;

    ~Watched() {
        // A stack that gives a handle twice has taken the place for the second one.
        if (watchers_.at(handle_) == this) watchers_.at(handle_) = nullptr;
    }

    /// Before the first wait, which ends at once. From now on no call on the socket waits.
    async::Task<> begin() {
        co_await set(socket_api::Option::non_blocking, 1);
        co_await set(socket_api::Option::watched, 1);
        co_return {};
    }

    /// Nothing is told any more, and calls wait again.
    async::Task<> end() {
        co_await set(socket_api::Option::watched, 0);
        co_await set(socket_api::Option::non_blocking, 0);
        co_return {};
    }

    /// Waits until something has happened since the last wait; then all that can be done is to be
    /// done, until a call answers would_block or takes less than it could.
    async::Event::Wait changed() { return changed_.wait(); }

    /// Errors: timed_out.
    async::Event::Wait changed_until(Instant deadline) { return changed_.wait_until(deadline); }

    /// What it was ready for when it was last told of (socket.if: READABLE ...).
    uint32_t ready() const { return ready_; }

  private:
    friend class Watchers;

    async::Task<> set(socket_api::Option option, uint32_t value) {
        co_await watchers_.network_.client().set_option(handle_, option, value);
        co_return {};
    }

    void tell(uint32_t ready) {
        ready_ = ready;
        changed_.set();
    }

    Watchers& watchers_;
    uint32_t handle_;
    uint32_t ready_{};
    async::Event changed_;
};

inline async::Task<> Watchers::pass_on(const Network::Chunk& chunk) {
    constexpr uint32_t entry_bytes = sizeof(Change);
    const uint32_t room = std::min(chunk.size() / entry_bytes, uint32_t{socket_api::SOCKETS});
    for (;;) {
        const auto told = co_await network_.client().changes(chunk.offset(), room);
        for (uint32_t i = 0; i < std::min(told.count, room); ++i) {
            Change change;
            std::ranges::copy(
                chunk.bytes().subspan(i * entry_bytes, entry_bytes),
                std::as_writable_bytes(std::span{&change, 1}).begin()
            );
            Watched* const watched = at(change.socket);
            if (watched == nullptr || watched->handle_ != change.socket) continue; // closed since
            watched->tell(change.ready);
        }
    }
}

inline async::Task<> Watchers::follow() {
    const auto chunk = co_await network_.chunk();
    const auto ended = co_await async::result_of(pass_on(chunk));
    for (Watched* watched : places_)
        if (watched != nullptr) watched->tell(socket_api::READABLE | socket_api::HANG_UP);
    co_await ended;
    co_return {};
}

} // namespace os
