// BSD's socket calls as tasks, upon the sockets of lib/os: descriptors, addresses and options as
// Linux has them. Data is copied into and out of the application's memory. Without blocking calls,
// which are in bsd.hpp, so that it runs on the host as well.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <poll.h>
#include <span>
#include <sys/socket.h>

#include "lib/os/socket.hpp"

namespace bsd {

namespace api = os::socket_api;

/// The descriptors of a program. Errors of all calls: not_found (it is none), and those of
/// lib/interfaces/socket.if; errors.hpp says how Linux calls them; bad_operation: a flag that is
/// not known here. The sockets below never wait: who has to, waits in `poll` without holding a
/// chunk of the network's, so that however many wait, whoever need not can go on.
class Sockets {
  public:
    /// As a process of Linux counts: below are the standard streams.
    static constexpr int first_descriptor = 3;
    static constexpr size_t descriptors_max = 1024;

    explicit Sockets(os::Network& network) : network_{network} {}

    Sockets(const Sockets&) = delete;

    /// errors   family_unsupported, bad_argument (type or protocol), no_slots
    async::Task<int> socket(int family, int type, int protocol);
    async::Task<> close(int fd);
    async::Task<> bind(int fd, os::SocketAddress at);
    async::Task<> listen(int fd, int backlog);
    async::Task<> connect(int fd, os::SocketAddress to);

    struct Accepted {
        int fd;
        os::SocketAddress from;
    };

    /// `flags`: SOCK_NONBLOCK.
    async::Task<Accepted> accept(int fd, int flags);

    /// All of `data` unless the socket does not wait. `flags`: MSG_OOB, MSG_DONTWAIT, MSG_NOSIGNAL.
    ///   to   of datagrams, if it is not the one connected to
    async::Task<uint32_t>
    send(int fd, Bytes data, int flags, std::optional<os::SocketAddress> to = {});

    struct Received {
        uint32_t bytes;         // in `room`; of a stream 0: the peer has closed
        os::SocketAddress from; // of datagrams
    };

    /// `flags`: MSG_PEEK, MSG_OOB, MSG_DONTWAIT, MSG_WAITALL, MSG_NOSIGNAL.
    async::Task<Received> receive(int fd, MutableBytes room, int flags);

    async::Task<> shutdown(int fd, int how);

    struct Names {
        os::SocketAddress local, remote;
        bool connected;
    };

    async::Task<Names> names(int fd);

    /// errors   unsupported (no such option)
    async::Task<> set_option(int fd, int level, int name, int value);
    async::Task<int> option(int fd, int level, int name);
    async::Task<> set_linger(int fd, linger how);
    Result<> set_non_blocking(int fd, bool on);
    Result<bool> non_blocking(int fd) const;
    /// That can be received at once.
    async::Task<uint32_t> waiting_bytes(int fd);

    /// Answers how many have something in `revents`, as poll(2). A negative descriptor is skipped.
    ///   timeout_ms   negative: never
    async::Task<uint32_t> poll(std::span<pollfd> files, int timeout_ms);

  private:
    struct Held {
        uint32_t socket;
        bool is_stream, non_blocking;
    };

    /// Entries of `poll` calls under way, in a chunk of their own that is taken once.
    class Entries {
      public:
        static constexpr size_t entry_bytes = 12, most = 4096;

        /// A run of them; goes back when it goes.
        class Run {
          public:
            Run(Entries& of, size_t first, size_t count) : of_{of}, first_{first}, count_{count} {}

            Run(const Run&) = delete;

            ~Run() { of_.set(first_, count_, false); }

            uint32_t offset() const {
                return of_.chunk_->offset() + static_cast<uint32_t>(first_ * entry_bytes);
            }

            MutableBytes at(size_t i) const {
                return of_.chunk_->bytes().subspan((first_ + i) * entry_bytes, entry_bytes);
            }

          private:
            Entries& of_;
            size_t first_, count_;
        };

        /// Once, before the first run.
        async::Task<> prepare(os::Network& network);
        /// Where `count` follow each other.   errors   no_memory
        Result<size_t> find(size_t count) const;
        void set(size_t first, size_t count, bool used);

      private:
        std::optional<os::Network::Chunk> chunk_;
        std::array<bool, most> used_{};
    };

    Result<Held*> find(int fd);
    Result<size_t> free_place() const;
    Result<int> keep(Held held, Result<> good);
    async::Task<bool> is_ready(uint32_t socket, uint32_t what, uint32_t patience_ms);
    async::Task<> wait_for(const Held& held, uint32_t what, int flags, Fault fault);
    async::Task<uint32_t>
    send_part(const Held& held, Bytes part, int flags, const os::SocketAddress* to);
    async::Task<Received> receive_part(const Held& held, MutableBytes room, int flags);
    void forget(size_t place);

    api::Client& net() { return network_.client(); }

    os::Network& network_;
    Entries entries_;
    std::array<std::optional<Held>, descriptors_max> held_{};
};

} // namespace bsd
