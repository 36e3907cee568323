#include "lib/bsd/sockets.hpp"

#include <algorithm>

#include "lib/bsd/errors.hpp"

namespace bsd {

namespace {

using api::Option;

struct OptionNumber {
    int level, name;
    Option option;
};

constexpr std::array option_numbers = {
    OptionNumber{SOL_SOCKET, SO_REUSEADDR, Option::reuse_address},
    OptionNumber{SOL_SOCKET, SO_ERROR, Option::error},
    OptionNumber{SOL_SOCKET, SO_BROADCAST, Option::broadcast},
    OptionNumber{SOL_SOCKET, SO_SNDBUF, Option::send_buffer},
    OptionNumber{SOL_SOCKET, SO_RCVBUF, Option::receive_buffer},
    OptionNumber{SOL_SOCKET, SO_KEEPALIVE, Option::keep_alive},
    OptionNumber{SOL_SOCKET, SO_OOBINLINE, Option::urgent_inline},
    OptionNumber{IPPROTO_IP, IP_TOS, Option::service},
    OptionNumber{IPPROTO_IP, IP_TTL, Option::time_to_live},
    OptionNumber{IPPROTO_TCP, TCP_NODELAY, Option::no_delay},
    OptionNumber{IPPROTO_TCP, TCP_MAXSEG, Option::largest_segment},
    OptionNumber{IPPROTO_TCP, TCP_CORK, Option::cork},
    OptionNumber{IPPROTO_TCP, TCP_KEEPIDLE, Option::keep_idle},
    OptionNumber{IPPROTO_TCP, TCP_KEEPINTVL, Option::keep_interval},
    OptionNumber{IPPROTO_TCP, TCP_KEEPCNT, Option::keep_count},
    OptionNumber{IPPROTO_TCP, TCP_DEFER_ACCEPT, Option::defer_accept},
    OptionNumber{IPPROTO_TCP, TCP_QUICKACK, Option::quick_ack},
    OptionNumber{IPPROTO_TCP, TCP_USER_TIMEOUT, Option::user_timeout},
};

Result<Option> option_of(int level, int name, bool is_stream) {
    const auto found = std::ranges::find_if(option_numbers, [&](const OptionNumber& n) {
        return n.level == level && n.name == name;
    });
    if (found == option_numbers.end() || (level == IPPROTO_TCP && !is_stream))
        return fail(Err::unsupported);
    return found->option;
}

struct ReadyBit {
    short file;
    uint32_t socket;
};

constexpr std::array ready_bits = {
    ReadyBit{POLLIN, api::READABLE},
    ReadyBit{POLLPRI, api::URGENT},
    ReadyBit{POLLOUT, api::WRITABLE},
    ReadyBit{POLLERR, api::ERROR},
    ReadyBit{POLLHUP, api::HANG_UP},
};

uint32_t asked_of(short events) {
    uint32_t asked = 0;
    for (const ReadyBit bit : ready_bits)
        if ((events & bit.file) != 0) asked |= bit.socket;
    return asked;
}

short ready_of(uint32_t happened) {
    int ready = 0;
    for (const ReadyBit bit : ready_bits)
        if ((happened & bit.socket) != 0) ready |= bit.file;
    return static_cast<short>(ready);
}

/// An entry of `poll` in socket.if.
struct Entry {
    uint32_t socket, asked, happened;
};

Entry read_entry(Bytes from) {
    Entry entry;
    std::ranges::copy(
        from.first(sizeof entry), std::as_writable_bytes(std::span{&entry, 1}).begin()
    );
    return entry;
}

void write_entry(const Entry& entry, MutableBytes to) {
    std::ranges::copy(std::as_bytes(std::span{&entry, 1}), to.begin());
}

} // namespace

// --- Descriptors

Result<Sockets::Held*> Sockets::find(int fd) {
    const auto index = static_cast<uint32_t>(fd - first_descriptor);
    if (index >= held_.size() || !held_[index]) return fail(Err::not_found);
    return &*held_[index];
}

Result<int> Sockets::keep(Held held) {
    const auto free = std::ranges::find_if(held_, [](const auto& h) { return !h; });
    if (free == held_.end()) return fail(Err::no_slots);
    *free = held;
    return static_cast<int>(free - held_.begin()) + first_descriptor;
}

async::Task<int> Sockets::socket(int family, int type, int protocol) {
    if (family != AF_INET) co_await fail(Err::family_unsupported);
    const bool waits = (type & SOCK_NONBLOCK) == 0;
    const int kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    const bool is_stream = kind == SOCK_STREAM;
    const int usual = is_stream ? IPPROTO_TCP : IPPROTO_UDP;
    if (!is_stream && kind != SOCK_DGRAM) co_await fail(Err::bad_argument);
    if (protocol != 0 && protocol != usual) co_await fail(Err::bad_argument);
    const auto made = co_await net().open(is_stream ? api::Kind::stream : api::Kind::datagram);
    const auto fd = keep({made.socket, is_stream, false});
    if (!fd) co_await async::result_of(net().close(made.socket));
    if (fd && !waits) co_await set_non_blocking(*fd, true);
    co_return co_await fd;
}

async::Task<> Sockets::close(int fd) {
    const uint32_t socket = (co_await find(fd))->socket;
    held_[size_t(fd - first_descriptor)].reset();
    co_await net().close(socket);
    co_return {};
}

async::Task<> Sockets::set_non_blocking(int fd, bool on) {
    const uint32_t socket = (co_await find(fd))->socket;
    co_await net().set_option(socket, Option::non_blocking, on ? 1 : 0);
    (co_await find(fd))->non_blocking = on; // it may have been closed meanwhile
    co_return {};
}

Result<bool> Sockets::non_blocking(int fd) const {
    return TRY(const_cast<Sockets*>(this)->find(fd))->non_blocking;
}

// --- Connections

async::Task<> Sockets::bind(int fd, os::SocketAddress at) {
    const Held held = *co_await find(fd);
    co_await net().bind(held.socket, at.ip, at.port);
    co_return {};
}

async::Task<> Sockets::listen(int fd, int backlog) {
    const Held held = *co_await find(fd);
    co_await net().listen(held.socket, static_cast<uint32_t>(std::clamp(backlog, 0, SOMAXCONN)));
    co_return {};
}

async::Task<> Sockets::connect(int fd, os::SocketAddress to) {
    const Held held = *co_await find(fd);
    co_await net().connect(held.socket, to.ip, to.port);
    co_return {};
}

async::Task<Sockets::Accepted> Sockets::accept(int fd, int flags) {
    if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0) co_await fail(Err::bad_argument);
    const Held listener = *co_await find(fd);
    const auto got = co_await net().accept(listener.socket);
    // The stack's own rule is that a connection does not wait if its listener does not.
    const auto made = keep({got.connection, true, listener.non_blocking});
    if (!made) co_await async::result_of(net().abort(got.connection));
    const int connection = co_await made;
    const bool wanted = (flags & SOCK_NONBLOCK) != 0;
    if (wanted != listener.non_blocking) co_await set_non_blocking(connection, wanted);
    co_return Accepted{connection, {got.address, got.port}};
}

async::Task<> Sockets::shutdown(int fd, int how) {
    const Held held = *co_await find(fd);
    if (how < SHUT_RD || how > SHUT_RDWR) co_await fail(Err::bad_argument);
    constexpr std::array ways{api::How::read, api::How::write, api::How::both};
    co_await net().shutdown(held.socket, ways[size_t(how)]);
    co_return {};
}

async::Task<Sockets::Names> Sockets::names(int fd) {
    const Held held = *co_await find(fd);
    const auto got = co_await net().names(held.socket);
    co_return Names{{got.local, got.local_port}, {got.remote, got.remote_port}, got.connected};
}

// --- Data

/// Without waiting.
async::Task<bool> Sockets::is_ready(uint32_t socket, uint32_t what) {
    const auto chunk = co_await network_.chunk();
    write_entry({socket, what, 0}, chunk.bytes());
    co_return (co_await net().poll(chunk.offset(), 1, 0)).ready != 0;
}

async::Task<uint32_t>
Sockets::send_part(const Held& held, const os::Network::Chunk& chunk, uint32_t bytes, bool urgent) {
    const uint32_t socket = held.socket, at = chunk.offset();
    uint32_t sent = 0;
    if (urgent)
        sent = (co_await net().send_urgent(socket, at, bytes)).sent;
    else
        sent = (co_await net().send(socket, at, bytes)).sent;
    co_return std::min(sent, bytes);
}

async::Task<uint32_t>
Sockets::send(int fd, Bytes data, int flags, std::optional<os::SocketAddress> to) {
    const Held held = *co_await find(fd);
    const bool at_once = (flags & MSG_DONTWAIT) != 0 && !held.non_blocking;
    if (at_once && !co_await is_ready(held.socket, api::WRITABLE)) co_await fail(Err::would_block);
    const auto chunk = co_await network_.chunk();
    if (!held.is_stream && data.size() > chunk.size()) co_await fail(Err::message_too_long);
    uint32_t done = 0;
    do {
        const Bytes part =
            data.subspan(done).first(std::min<size_t>(data.size() - done, chunk.size()));
        std::ranges::copy(part, chunk.bytes().begin());
        const auto bytes = static_cast<uint32_t>(part.size());
        if (to && !held.is_stream) {
            co_await net().send_to(held.socket, chunk.offset(), bytes, to->ip, to->port);
            co_return bytes;
        }
        const auto sent =
            co_await async::result_of(send_part(held, chunk, bytes, (flags & MSG_OOB) != 0));
        if (!sent && done == 0) co_await fail(sent.error()); // else it is told the next time
        if (!sent) break;
        done += *sent;
        if (at_once || (*sent < bytes && held.non_blocking)) break;
    } while (done < data.size());
    co_return done;
}

async::Task<Sockets::Received> Sockets::receive(int fd, MutableBytes room, int flags) {
    const Held held = *co_await find(fd);
    if ((flags & MSG_DONTWAIT) != 0 && !held.non_blocking &&
        !co_await is_ready(held.socket, api::READABLE))
        co_await fail(Err::would_block);
    if ((flags & MSG_OOB) != 0) {
        const auto urgent = co_await net().receive_urgent(held.socket);
        if (!room.empty()) room.front() = std::byte{urgent.value};
        co_return Received{room.empty() ? 0u : 1u, {}};
    }
    const auto chunk = co_await network_.chunk();
    const auto most = static_cast<uint32_t>(std::min<size_t>(room.size(), chunk.size()));
    Received got{};
    if ((flags & MSG_PEEK) != 0) {
        got.bytes = (co_await net().peek(held.socket, chunk.offset(), most)).received;
    } else if (held.is_stream) {
        got.bytes = (co_await net().receive(held.socket, chunk.offset(), most)).received;
    } else {
        const auto letter = co_await net().receive_from(held.socket, chunk.offset(), most);
        got = {letter.received, {letter.address, letter.port}};
    }
    got.bytes = std::min(got.bytes, most);
    std::ranges::copy(chunk.bytes().first(got.bytes), room.begin());
    co_return got;
}

async::Task<uint32_t> Sockets::waiting_bytes(int fd) {
    const Held held = *co_await find(fd);
    co_return (co_await net().queues(held.socket)).receive;
}

async::Task<uint32_t> Sockets::poll(std::span<pollfd> files, int timeout_ms) {
    const auto chunk = co_await network_.chunk();
    if (files.size() > std::min<size_t>(descriptors_max, chunk.size() / sizeof(Entry)))
        co_await fail(Err::bad_argument);
    uint32_t asked = 0, none = 0;
    const auto place = [&](uint32_t i) { return chunk.bytes().subspan(i * sizeof(Entry)); };
    for (pollfd& file : files) {
        file.revents = 0;
        if (file.fd < 0) continue;
        const auto held = find(file.fd);
        file.revents = held ? 0 : POLLNVAL;
        none += !held;
        if (held) write_entry({(*held)->socket, asked_of(file.events), 0}, place(asked++));
    }
    const uint32_t patience = timeout_ms < 0 ? ~0u : static_cast<uint32_t>(timeout_ms);
    co_await net().poll(chunk.offset(), asked, none != 0 ? 0 : patience);
    uint32_t ready = none;
    uint32_t next = 0;
    for (pollfd& file : files) {
        if (file.fd < 0 || file.revents != 0 || next == asked) continue;
        file.revents = ready_of(read_entry(place(next++)).happened);
        ready += file.revents != 0;
    }
    co_return ready;
}

// --- Options

async::Task<> Sockets::set_option(int fd, int level, int name, int value) {
    const Held held = *co_await find(fd);
    const Option option = co_await option_of(level, name, held.is_stream);
    co_await net().set_option(held.socket, option, static_cast<uint32_t>(value));
    co_return {};
}

async::Task<int> Sockets::option(int fd, int level, int name) {
    const Held held = *co_await find(fd);
    if (level == SOL_SOCKET && name == SO_TYPE) co_return held.is_stream ? SOCK_STREAM : SOCK_DGRAM;
    const Option option = co_await option_of(level, name, held.is_stream);
    const uint32_t value = (co_await net().option(held.socket, option)).value;
    if (option == Option::error && value != 0) co_return word_of(static_cast<Err>(value)).number;
    co_return static_cast<int>(value);
}

async::Task<> Sockets::set_linger(int fd, linger how) {
    const Held held = *co_await find(fd);
    const int seconds = how.l_onoff != 0 ? how.l_linger : -1;
    co_await net().set_option(held.socket, Option::linger, static_cast<uint32_t>(seconds));
    co_return {};
}

} // namespace bsd
