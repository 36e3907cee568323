// BSD's socket calls for a program of threads (os::run_threads), under the names and with the types
// that Linux's own headers declare: each waits until it is carried out, other threads go on
// meanwhile. They answer -1 and leave Linux's number in `errno`.
#include <algorithm>
#include <arpa/inet.h>
#include <cstdarg>
#include <fcntl.h>
#include <optional>
#include <sys/ioctl.h>
#include <unistd.h>

#include "interfaces/socket.hpp"
#include "lib/base/cmdline.hpp"
#include "lib/base/format.hpp"
#include "lib/bsd/errors.hpp"
#include "lib/bsd/sockets.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/threads/program.hpp"

namespace bsd {

namespace {

/// Of the channel to the stack: so many calls may wait at the same time.
constexpr uint32_t chunk_bytes = 65536, chunks = 8;

class Connected {
  public:
    /// Waits for a stack. After the end of one all descriptors are gone.   errors   quota
    async::Task<> open() {
        sockets_.reset();
        co_await binding_.open(
            {.name = "net",
             .contract = interfaces::socket::contract,
             .bulk_bytes = chunks * chunk_bytes}
        );
        client_.emplace(binding_.channel());
        network_.emplace(os::domain().loop(), *client_, binding_.bulk(), chunk_bytes);
        sockets_.emplace(*network_);
        co_return {};
    }

    bool is_open() const { return sockets_.has_value() && binding_.is_open(); }

    Sockets& sockets() { return *sockets_; }

  private:
    os::Binding binding_{os::domain()};
    std::optional<interfaces::socket::Client> client_;
    std::optional<os::Network> network_;
    std::optional<Sockets> sockets_;
};

constinit os::Immortal<Connected> connected;
constinit os::Mutex opening;
constinit os::ThreadLocal<int> error_number;

int ended_by(Fault fault) {
    error_number.set(word_of(fault.top()).number);
    return -1;
}

/// Calls under way: a new stack is only looked for when the last one has heard of the old one's
/// end.
constinit size_t under_way;

/// Once there is a stack.   errors   peer_gone
Result<Sockets*> sockets() {
    const os::Lock lock{opening};
    if (!connected.made()) connected.make();
    if (connected->is_open()) return &connected->sockets();
    if (under_way != 0) return fail(Err::peer_gone);
    TRY_VOID(os::await(connected->open()));
    return &connected->sockets();
}

/// What the task answers.
template <class T>
Result<T> awaited(async::Task<T> task) {
    ++under_way;
    const auto result = os::await(std::move(task));
    --under_way;
    return result;
}

/// A call that has nothing to wait for.
template <class Do>
int done_now(const Do& act) {
    const auto all = sockets();
    if (!all) return ended_by(all.error());
    const auto result = act(**all);
    return result ? 0 : ended_by(result.error());
}

/// A call that answers 0.
template <class Start>
int done(const Start& start) {
    const auto all = sockets();
    if (!all) return ended_by(all.error());
    const auto result = awaited(start(**all));
    return result ? 0 : ended_by(result.error());
}

/// A call that answers a number.
template <class Start>
int64_t number_of(const Start& start) {
    const auto all = sockets();
    if (!all) return ended_by(all.error());
    const auto result = awaited(start(**all));
    return result ? int64_t{*result} : ended_by(result.error());
}

/// errors   bad_argument, family_unsupported
Result<os::SocketAddress> address_in(const sockaddr* address, socklen_t bytes) {
    sockaddr_in in{};
    if (address == nullptr || bytes < sizeof in) return fail(Err::bad_argument);
    __builtin_memcpy(&in, address, sizeof in);
    if (in.sin_family == AF_UNSPEC) return os::SocketAddress{};
    if (in.sin_family != AF_INET) return fail(Err::family_unsupported);
    os::SocketAddress found{.port = ntohs(in.sin_port)};
    __builtin_memcpy(found.ip.data(), &in.sin_addr, found.ip.size());
    return found;
}

/// Cut to the room there is; `bytes` is how long it was to be, as Linux does it.
void put_address(const os::SocketAddress& from, sockaddr* to, socklen_t* bytes) {
    if (to == nullptr || bytes == nullptr) return;
    sockaddr_in in{
        .sin_family = AF_INET, .sin_port = htons(from.port), .sin_addr = {}, .sin_zero = {}
    };
    __builtin_memcpy(&in.sin_addr, from.ip.data(), from.ip.size());
    __builtin_memcpy(to, &in, std::min<size_t>(*bytes, sizeof in));
    *bytes = sizeof in;
}

Bytes bytes_at(const void* data, size_t bytes) {
    return {static_cast<const std::byte*>(data), bytes};
}

int put_name(int fd, bool of_peer, sockaddr* address, socklen_t* bytes) {
    const auto all = sockets();
    if (!all) return ended_by(all.error());
    const auto names = awaited((*all)->names(fd));
    if (!names) return ended_by(names.error());
    if (of_peer && !names->connected) return ended_by(Err::not_connected);
    put_address(of_peer ? names->remote : names->local, address, bytes);
    return 0;
}

} // namespace
} // namespace bsd

using namespace bsd;

extern "C" {

int* __errno_location() noexcept {
    return &error_number.here();
}

int socket(int family, int type, int protocol) noexcept {
    return static_cast<int>(number_of([&](Sockets& s) { return s.socket(family, type, protocol); })
    );
}

int bind(int fd, const sockaddr* address, socklen_t bytes) noexcept {
    const auto at = address_in(address, bytes);
    if (!at) return ended_by(at.error());
    return done([&](Sockets& s) { return s.bind(fd, *at); });
}

int listen(int fd, int backlog) noexcept {
    return done([&](Sockets& s) { return s.listen(fd, backlog); });
}

int accept4(int fd, sockaddr* address, socklen_t* bytes, int flags) {
    const auto all = sockets();
    if (!all) return ended_by(all.error());
    const auto got = awaited((*all)->accept(fd, flags));
    if (!got) return ended_by(got.error());
    put_address(got->from, address, bytes);
    return got->fd;
}

int accept(int fd, sockaddr* address, socklen_t* bytes) {
    return accept4(fd, address, bytes, 0);
}

int connect(int fd, const sockaddr* address, socklen_t bytes) {
    const auto to = address_in(address, bytes);
    if (!to) return ended_by(to.error());
    return done([&](Sockets& s) { return s.connect(fd, *to); });
}

ssize_t
sendto(int fd, const void* data, size_t bytes, int flags, const sockaddr* to, socklen_t to_bytes) {
    std::optional<os::SocketAddress> address;
    if (to != nullptr) {
        const auto given = address_in(to, to_bytes);
        if (!given) return ended_by(given.error());
        address = *given;
    }
    return number_of([&](Sockets& s) { return s.send(fd, bytes_at(data, bytes), flags, address); });
}

ssize_t send(int fd, const void* data, size_t bytes, int flags) {
    return sendto(fd, data, bytes, flags, nullptr, 0);
}

ssize_t write(int fd, const void* data, size_t bytes) {
    return send(fd, data, bytes, 0);
}

ssize_t
recvfrom(int fd, void* room, size_t bytes, int flags, sockaddr* from, socklen_t* from_bytes) {
    const auto all = sockets();
    if (!all) return ended_by(all.error());
    const MutableBytes into{static_cast<std::byte*>(room), bytes};
    const auto got = awaited((*all)->receive(fd, into, flags));
    if (!got) return ended_by(got.error());
    put_address(got->from, from, from_bytes);
    return got->bytes;
}

ssize_t recv(int fd, void* room, size_t bytes, int flags) {
    return recvfrom(fd, room, bytes, flags, nullptr, nullptr);
}

ssize_t read(int fd, void* room, size_t bytes) {
    return recv(fd, room, bytes, 0);
}

int poll(pollfd* files, nfds_t count, int timeout_ms) {
    return static_cast<int>(number_of([&](Sockets& s) { return s.poll({files, count}, timeout_ms); }
    ));
}

int shutdown(int fd, int how) noexcept {
    return done([&](Sockets& s) { return s.shutdown(fd, how); });
}

int close(int fd) {
    return done([&](Sockets& s) { return s.close(fd); });
}

int getsockname(int fd, sockaddr* address, socklen_t* bytes) noexcept {
    return put_name(fd, false, address, bytes);
}

int getpeername(int fd, sockaddr* address, socklen_t* bytes) noexcept {
    return put_name(fd, true, address, bytes);
}

int setsockopt(int fd, int level, int name, const void* value, socklen_t bytes) noexcept {
    const bool lingers = level == SOL_SOCKET && name == SO_LINGER;
    linger how{};
    int number{};
    if (value == nullptr || bytes < (lingers ? sizeof how : sizeof number))
        return ended_by(Err::bad_argument);
    if (lingers) {
        __builtin_memcpy(&how, value, sizeof how);
        return done([&](Sockets& s) { return s.set_linger(fd, how); });
    }
    __builtin_memcpy(&number, value, sizeof number);
    return done([&](Sockets& s) { return s.set_option(fd, level, name, number); });
}

int getsockopt(int fd, int level, int name, void* value, socklen_t* bytes) noexcept {
    if (value == nullptr || bytes == nullptr || *bytes < sizeof(int))
        return ended_by(Err::bad_argument);
    const auto all = sockets();
    if (!all) return ended_by(all.error());
    const auto found = awaited((*all)->option(fd, level, name));
    if (!found) return ended_by(found.error());
    __builtin_memcpy(value, &*found, sizeof(int));
    *bytes = sizeof(int);
    return 0;
}

/// F_GETFL, F_SETFL with O_NONBLOCK.
int fcntl(int fd, int command, ...) {
    va_list more;
    va_start(more, command);
    const int flags = command == F_SETFL ? va_arg(more, int) : 0;
    va_end(more);
    if (command == F_SETFL)
        return done_now([&](Sockets& s) {
            return s.set_non_blocking(fd, (flags & O_NONBLOCK) != 0);
        });
    if (command != F_GETFL) return ended_by(Err::bad_argument);
    const auto all = sockets();
    if (!all) return ended_by(all.error());
    const auto set = (*all)->non_blocking(fd);
    if (!set) return ended_by(set.error());
    return O_RDWR | (*set ? O_NONBLOCK : 0);
}

/// FIONREAD, FIONBIO.
int ioctl(int fd, unsigned long request, ...) noexcept {
    va_list more;
    va_start(more, request);
    int* const value = va_arg(more, int*);
    va_end(more);
    if (value == nullptr) return ended_by(Err::bad_argument);
    if (request == FIONBIO)
        return done_now([&](Sockets& s) { return s.set_non_blocking(fd, *value != 0); });
    if (request != FIONREAD) return ended_by(Err::bad_argument);
    const int64_t waiting = number_of([&](Sockets& s) { return s.waiting_bytes(fd); });
    if (waiting < 0) return -1;
    *value = static_cast<int>(waiting);
    return 0;
}

int inet_pton(int family, const char* text, void* to) noexcept {
    if (family != AF_INET) return ended_by(Err::family_unsupported);
    const auto found = parse_ipv4(text);
    if (!found) return 0;
    const uint32_t wire = htonl(*found);
    __builtin_memcpy(to, &wire, sizeof wire);
    return 1;
}

const char* inet_ntop(int family, const void* from, char* text, socklen_t bytes) noexcept {
    std::array<uint8_t, 4> ip{};
    if (family != AF_INET || bytes < sizeof "255.255.255.255") {
        ended_by(Fault{family != AF_INET ? Err::family_unsupported : Err::no_space});
        return nullptr;
    }
    __builtin_memcpy(ip.data(), from, ip.size());
    const auto written =
        format_to(std::span{text, bytes - 1}, "{}.{}.{}.{}", ip[0], ip[1], ip[2], ip[3]);
    text[written.size()] = '\0';
    return text;
}

} // extern "C"
