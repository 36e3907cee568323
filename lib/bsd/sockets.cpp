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
    ReadyBit{POLLRDNORM, api::READABLE},
    ReadyBit{POLLWRNORM, api::WRITABLE},
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

/// Of what was asked; errors and hang-ups are always told.
short ready_of(uint32_t happened, short events) {
    int ready = 0;
    for (const ReadyBit bit : ready_bits)
        if ((happened & bit.socket) != 0) ready |= bit.file;
    return static_cast<short>(ready & (events | POLLERR | POLLHUP));
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

// --- Waiting

async::Task<> Sockets::Entries::prepare(os::Network& network) {
    if (chunk_) co_return {};
    auto chunk = co_await network.chunk();
    if (!chunk_) chunk_.emplace(std::move(chunk)); // another may have waited for one as well
    co_return {};
}

Result<size_t> Sockets::Entries::find(size_t count) const {
    const size_t room = std::min<size_t>(most, chunk_->size() / entry_bytes);
    for (size_t first = 0, free = 0, i = 0; i < room; ++i) {
        free = used_[i] ? 0 : free + 1;
        if (free == 1) first = i;
        if (free >= count) return first;
    }
    return fail(Err::no_memory);
}

void Sockets::Entries::set(size_t first, size_t count, bool used) {
    for (size_t i = first; i < first + count; ++i)
        used_[i] = used;
}

async::Task<bool> Sockets::is_ready(uint32_t socket, uint32_t what, uint32_t patience_ms) {
    co_await entries_.prepare(network_);
    const size_t first = co_await entries_.find(1);
    entries_.set(first, 1, true);
    const Entries::Run run{entries_, first, 1};
    write_entry({socket, what, 0}, run.at(0));
    co_return (co_await net().poll(run.offset(), 1, patience_ms)).ready != 0;
}

/// After a call that would have to wait: until it may be tried again, or the error if it is not to.
async::Task<> Sockets::wait_for(const Held& held, uint32_t what, int flags, Fault fault) {
    const bool must_wait =
        fault == Err::would_block || fault == Err::in_progress || fault == Err::busy;
    if (!must_wait || held.non_blocking || (flags & MSG_DONTWAIT) != 0) co_await fail(fault);
    co_await is_ready(held.socket, what, ~0u);
    co_return {};
}

// --- Descriptors

Result<Sockets::Held*> Sockets::find(int fd) {
    const auto index = static_cast<uint32_t>(fd - first_descriptor);
    if (index >= held_.size() || !held_[index]) return fail(Err::not_found);
    return &*held_[index];
}

/// The lowest that is free.   errors   no_slots
Result<size_t> Sockets::free_place() const {
    const auto free = std::ranges::find_if(held_, [](const auto& h) { return !h; });
    if (free == held_.end()) return fail(Err::no_slots);
    return static_cast<size_t>(free - held_.begin());
}

/// The descriptor of a new socket; without a place for it, or if it is not `good`, it is closed.
Result<int> Sockets::keep(Held held, Result<> good) {
    const auto place = good ? free_place() : fail(good.error());
    if (!place) {
        const os::Socket closed{network_, held.socket};
        return fail(place.error());
    }
    held_[*place] = held;
    return static_cast<int>(*place) + first_descriptor;
}

/// It is closed in the background, again if there is no memory for that now.
void Sockets::forget(size_t place) {
    const os::Socket closed{network_, held_[place]->socket};
    held_[place].reset();
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
    const auto set =
        co_await async::result_of(net().set_option(made.socket, Option::non_blocking, 1));
    co_return co_await keep({made.socket, is_stream, !waits}, set);
}

async::Task<> Sockets::close(int fd) {
    co_await find(fd);
    forget(size_t(fd - first_descriptor));
    co_return {};
}

Result<> Sockets::set_non_blocking(int fd, bool on) {
    TRY(find(fd))->non_blocking = on;
    return {};
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

/// The stack answers in_progress, then busy until it is decided, then what came of it.
async::Task<> Sockets::connect(int fd, os::SocketAddress to) {
    for (;;) {
        const Held held = *co_await find(fd);
        const auto done = co_await async::result_of(net().connect(held.socket, to.ip, to.port));
        if (done) co_return {};
        co_await wait_for(held, api::WRITABLE, 0, done.error());
    }
}

async::Task<Sockets::Accepted> Sockets::accept(int fd, int flags) {
    if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0) co_await fail(Err::bad_argument);
    for (;;) {
        const Held listener = *co_await find(fd);
        co_await free_place(); // before a peer is let in
        const auto got = co_await async::result_of(net().accept(listener.socket));
        if (!got) {
            co_await wait_for(listener, api::READABLE, 0, got.error());
            continue;
        }
        // Like its listener it does not wait in the stack.
        const Held held{got->connection, true, (flags & SOCK_NONBLOCK) != 0};
        co_return Accepted{co_await keep(held, {}), {got->address, got->port}};
    }
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

/// What the stack takes at once of a part that fits a chunk.
async::Task<uint32_t>
Sockets::send_part(const Held& held, Bytes part, int flags, const os::SocketAddress* to) {
    const auto chunk = co_await network_.chunk();
    std::ranges::copy(part, chunk.bytes().begin());
    const uint32_t socket = held.socket, at = chunk.offset();
    const auto bytes = static_cast<uint32_t>(part.size());
    if (to != nullptr && !held.is_stream) {
        co_await net().send_to(socket, at, bytes, to->ip, to->port);
        co_return bytes;
    }
    uint32_t sent = 0;
    if ((flags & MSG_OOB) != 0)
        sent = (co_await net().send_urgent(socket, at, bytes)).sent;
    else
        sent = (co_await net().send(socket, at, bytes)).sent;
    co_return std::min(sent, bytes);
}

async::Task<uint32_t>
Sockets::send(int fd, Bytes data, int flags, std::optional<os::SocketAddress> to) {
    if ((flags & ~(MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL)) != 0) co_await fail(Err::bad_operation);
    uint32_t done = 0;
    for (;;) {
        const Held held = *co_await find(fd);
        const size_t most = network_.chunk_bytes();
        if (held.is_stream && data.empty()) co_return 0u;
        if (!held.is_stream && data.size() > most) co_await fail(Err::message_too_long);
        const Bytes part = data.subspan(done).first(std::min(data.size() - done, most));
        const auto sent =
            co_await async::result_of(send_part(held, part, flags, to ? &*to : nullptr));
        done += sent ? *sent : 0;
        if (sent && done == data.size()) co_return done;
        if (sent && *sent == part.size()) continue;
        const Fault fault = sent ? Fault{Err::would_block} : sent.error();
        const auto waited = co_await async::result_of(wait_for(held, api::WRITABLE, flags, fault));
        if (!waited && done == 0) co_await fail(waited.error());
        if (!waited) co_return done; // the error is told the next time
    }
}

/// What is there, up to a chunk.
async::Task<Sockets::Received>
Sockets::receive_part(const Held& held, MutableBytes room, int flags) {
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

async::Task<Sockets::Received> Sockets::receive(int fd, MutableBytes room, int flags) {
    constexpr int known = MSG_PEEK | MSG_OOB | MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL;
    if ((flags & ~known) != 0) co_await fail(Err::bad_operation);
    uint32_t done = 0;
    for (;;) {
        const Held held = *co_await find(fd);
        if (held.is_stream && room.empty()) co_return Received{};
        const bool all = (flags & MSG_WAITALL) != 0 && held.is_stream &&
                         (flags & (MSG_PEEK | MSG_OOB)) == 0 && !held.non_blocking;
        const auto got = co_await async::result_of(receive_part(held, room.subspan(done), flags));
        if (got) {
            done += got->bytes;
            if (!all || got->bytes == 0 || done == room.size()) co_return Received{done, got->from};
            continue;
        }
        // Urgent data are there or are not: nobody waits for them (tcp(7)).
        const int how = (flags & MSG_OOB) != 0 ? flags | MSG_DONTWAIT : flags;
        const auto waited =
            co_await async::result_of(wait_for(held, api::READABLE, how, got.error()));
        if (!waited && done == 0) co_await fail(waited.error());
        if (!waited) co_return Received{done, {}};
    }
}

async::Task<uint32_t> Sockets::waiting_bytes(int fd) {
    const Held held = *co_await find(fd);
    co_return (co_await net().queues(held.socket)).receive;
}

async::Task<uint32_t> Sockets::poll(std::span<pollfd> files, int timeout_ms) {
    if (files.size() > descriptors_max) co_await fail(Err::bad_argument);
    co_await entries_.prepare(network_);
    const size_t first = co_await entries_.find(files.size());
    entries_.set(first, files.size(), true);
    const Entries::Run run{entries_, first, files.size()};
    uint32_t asked = 0, none = 0;
    for (pollfd& file : files) {
        file.revents = 0;
        if (file.fd < 0) continue;
        const auto held = find(file.fd);
        file.revents = held ? 0 : POLLNVAL;
        none += !held;
        if (held) write_entry({(*held)->socket, asked_of(file.events), 0}, run.at(asked++));
    }
    const uint32_t patience = timeout_ms < 0 ? ~0u : static_cast<uint32_t>(timeout_ms);
    co_await net().poll(run.offset(), asked, none != 0 ? 0 : patience);
    uint32_t ready = none;
    uint32_t next = 0;
    for (pollfd& file : files) {
        if (file.fd < 0 || file.revents != 0 || next == asked) continue;
        file.revents = ready_of(read_entry(run.at(next++)).happened, file.events);
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
