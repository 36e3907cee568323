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
/// lib/interfaces/socket.if; errors.hpp says how Linux calls them. A call that waits holds a chunk
/// of the network's meanwhile.
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

    /// `flags`: MSG_PEEK, MSG_OOB, MSG_DONTWAIT.
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
    async::Task<> set_non_blocking(int fd, bool on);
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

    Result<Held*> find(int fd);
    Result<int> keep(Held held);
    async::Task<bool> is_ready(uint32_t socket, uint32_t what);
    async::Task<uint32_t>
    send_part(const Held& held, const os::Network::Chunk& chunk, uint32_t bytes, bool urgent);

    api::Client& net() { return network_.client(); }

    os::Network& network_;
    std::array<std::optional<Held>, descriptors_max> held_{};
};

} // namespace bsd
