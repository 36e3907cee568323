// Sockets for applications: streams, listeners and datagrams as objects with tasks. Data passes
// through chunks of the memory shared with the network stack; a chunk is borrowed while it is used.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <tuple>
#include <utility>

#include "interfaces/socket.hpp"
#include "lib/async/loop.hpp"
#include "lib/async/sync.hpp"
#include "lib/base/bytes.hpp"

namespace os {

namespace socket_api = interfaces::socket;

struct SocketAddress {
    std::array<uint8_t, 4> ip{}; // 0.0.0.0: any
    uint16_t port{};
};

/// A binding to the network stack with the chunks of its bulk area: 64 KiB, so not for a stack.
class Network {
  public:
    static constexpr size_t chunks_max = 256;

    /// `area` is the channel's bulk area, cut into chunks of `chunk_bytes`.
    Network(async::Loop& loop, socket_api::Client& client, MutableBytes area, uint32_t chunk_bytes)
        : loop_{loop}, client_{client}, area_{area}, chunk_bytes_{chunk_bytes},
          count_{std::min(area.size() / chunk_bytes, chunks_max)}, free_{loop, count_} {
        for (size_t i = 0; i < count_; ++i)
            stack_[i] = static_cast<uint16_t>(i);
        top_ = count_;
    }

    Network(const Network&) = delete;

    async::Loop& loop() { return loop_; }

    uint32_t chunk_bytes() const { return chunk_bytes_; }

    socket_api::Client& client() { return client_; }

    /// Memory to send from or receive into; goes back when it goes.
    class Chunk {
      public:
        Chunk(Network& network, uint16_t number, async::Semaphore::Guard guard)
            : network_{&network}, number_{number}, guard_{std::move(guard)} {}

        Chunk(Chunk&& other) noexcept
            : network_{std::exchange(other.network_, nullptr)}, number_{other.number_},
              guard_{std::move(other.guard_)} {}

        Chunk& operator=(Chunk&&) = delete;

        ~Chunk() {
            if (network_ != nullptr) network_->stack_[network_->top_++] = number_;
        }

        uint32_t offset() const { return number_ * network_->chunk_bytes_; }

        uint32_t size() const { return network_->chunk_bytes_; }

        MutableBytes bytes() const { return network_->area_.subspan(offset(), size()); }

      private:
        Network* network_;
        uint16_t number_;
        async::Semaphore::Guard guard_;
    };

    /// Waits for a free one.
    async::Task<Chunk> chunk() {
        auto guard = co_await free_.acquire();
        const uint16_t number = stack_[--top_];
        co_return Chunk{*this, number, std::move(guard)};
    }

  private:
    friend class Socket;

    /// A stack that gives a handle twice may leave the second one open.
    void note_to_close(uint32_t handle) {
        if (to_close_count_ < to_close_.size()) to_close_[to_close_count_++] = handle;
    }

    async::Loop& loop_;
    socket_api::Client& client_;
    MutableBytes area_;
    uint32_t chunk_bytes_;
    size_t count_;
    async::Semaphore free_;
    std::array<uint16_t, chunks_max> stack_;
    size_t top_{};
    std::array<uint32_t, socket_api::SOCKETS> to_close_;
    size_t to_close_count_{};
};

/// A handle of the stack's; closed in the background when it goes.
class Socket {
  public:
    Socket(Network& network, uint32_t handle) : network_{&network}, handle_{handle} {}

    Socket(Socket&& other) noexcept
        : network_{std::exchange(other.network_, nullptr)}, handle_{other.handle_} {}

    Socket& operator=(Socket&&) = delete;

    ~Socket() {
        if (network_ == nullptr) return;
        network_->note_to_close(handle_);
        // Without memory for the task the next one that ends closes this one too.
        std::ignore = network_->loop().spawn("close", [&] { return close_all(*network_); });
    }

    Network& network() const { return *network_; }

    uint32_t handle() const { return handle_; }

    /// Ends the connection with a reset; the object is empty afterwards.
    async::Task<> abort() {
        Network* const network = std::exchange(network_, nullptr);
        co_await network->client().abort(handle_);
        co_return {};
    }

  private:
    static async::Task<> close_all(Network& network) {
        while (network.to_close_count_ != 0) {
            const uint32_t handle = network.to_close_[--network.to_close_count_];
            // A connection that is gone already needs no closing.
            const auto closed = co_await async::result_of(network.client().close(handle));
            if (!closed && closed.error() == Err::no_memory) {
                network.note_to_close(handle);
                break;
            }
        }
        co_return {};
    }

    Network* network_;
    uint32_t handle_;
};

class Stream : public Socket {
  public:
    using Socket::Socket;

    static async::Task<Stream> connect(Network& network, SocketAddress to) {
        const auto opened = co_await network.client().open(socket_api::Kind::stream);
        Stream stream{network, opened.socket};
        co_await network.client().connect(opened.socket, to.ip, to.port);
        co_return stream;
    }

    /// At least one byte, at most `most`, into the front of `chunk`; 0: the peer has closed.
    async::Task<uint32_t> receive(const Network::Chunk& chunk, uint32_t most) {
        const auto got = co_await network().client().receive(handle(), chunk.offset(), most);
        co_return std::min(got.received, most);
    }

    async::Task<uint32_t> receive(const Network::Chunk& chunk) {
        return receive(chunk, chunk.size());
    }

    /// All of the first `bytes` of `chunk`, taken into the stack's send buffer.
    async::Task<> send(const Network::Chunk& chunk, uint32_t bytes) {
        for (uint32_t done = 0; done < bytes;) {
            const auto sent =
                co_await network().client().send(handle(), chunk.offset() + done, bytes - done);
            if (sent.sent == 0 || sent.sent > bytes - done) co_await fail(Err::protocol);
            done += sent.sent;
        }
        co_return {};
    }

    /// Nothing more will be sent; receiving goes on.
    async::Task<> finish() {
        co_await network().client().shutdown(handle(), socket_api::How::write);
        co_return {};
    }

    async::Task<> set_no_delay(bool on) {
        co_await set(socket_api::Option::no_delay, on ? 1 : 0);
        co_return {};
    }

    /// After so many seconds of silence the peer is asked whether it lives; 0: never.
    async::Task<> set_keep_alive(uint32_t idle_seconds) {
        if (idle_seconds != 0) co_await set(socket_api::Option::keep_idle, idle_seconds);
        co_await set(socket_api::Option::keep_alive, idle_seconds != 0 ? 1 : 0);
        co_return {};
    }

    /// So many seconds may what was sent stay unacknowledged; 0: as the stack has it.
    async::Task<> set_user_timeout(uint32_t whole_seconds) {
        co_await set(socket_api::Option::user_timeout, whole_seconds * 1000);
        co_return {};
    }

  private:
    async::Task<> set(socket_api::Option option, uint32_t value) {
        co_await network().client().set_option(handle(), option, value);
        co_return {};
    }
};

class Listener : public Socket {
  public:
    using Socket::Socket;

    static async::Task<Listener> open(Network& network, SocketAddress at, uint32_t backlog) {
        const auto opened = co_await network.client().open(socket_api::Kind::stream);
        Listener listener{network, opened.socket};
        // Who served here before has connections that end by themselves (TIME-WAIT).
        co_await network.client().set_option(opened.socket, socket_api::Option::reuse_address, 1);
        co_await network.client().bind(opened.socket, at.ip, at.port);
        co_await network.client().listen(opened.socket, backlog);
        co_return listener;
    }

    async::Task<Stream> accept() {
        const auto got = co_await network().client().accept(handle());
        co_return Stream{network(), got.connection};
    }
};

class Datagrams : public Socket {
  public:
    using Socket::Socket;

    static async::Task<Datagrams> open(Network& network, SocketAddress at) {
        const auto opened = co_await network.client().open(socket_api::Kind::datagram);
        Datagrams datagrams{network, opened.socket};
        co_await network.client().bind(opened.socket, at.ip, at.port);
        co_return datagrams;
    }

    struct Received {
        uint32_t bytes;      // in the front of the chunk
        uint32_t full_bytes; // of the datagram
        SocketAddress from;
    };

    async::Task<Received> receive(const Network::Chunk& chunk) {
        const auto got =
            co_await network().client().receive_from(handle(), chunk.offset(), chunk.size());
        const uint32_t bytes = std::min(got.received, chunk.size());
        co_return Received{bytes, got.length, {got.address, got.port}};
    }

    async::Task<> send(const Network::Chunk& chunk, uint32_t bytes, SocketAddress to) {
        co_await network().client().send_to(handle(), chunk.offset(), bytes, to.ip, to.port);
        co_return {};
    }
};

} // namespace os
