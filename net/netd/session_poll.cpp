// Readiness of many sockets: asked for each time, as BSD's poll, or told of as it changes.
#include <algorithm>

#include "net/netd/session.hpp"

namespace netd {

namespace {

constexpr uint32_t never = 0xffff'ffff;

/// In the application's memory, which may change at any time.
struct Entry {
    uint32_t socket, wanted, happened;
};

struct Change {
    uint32_t socket, ready;
};

Entry copy_of(Bytes bytes) {
    Entry entry;
    std::ranges::copy(bytes, std::as_writable_bytes(std::span{&entry, 1}).begin());
    return entry;
}

} // namespace

uint32_t Session::readiness(Socket& socket) {
    if (!socket.live) return api::WRITABLE | (socket.is_stream() ? api::HANG_UP : 0);
    const auto found = host_.stack().ready(socket.id);
    if (!found) return api::ERROR | api::HANG_UP;
    const net::EventSet ready = *found;
    const bool opening = socket.is_connection() && !ready.has(net::Event::connected);
    const bool closed = ready.has(net::Event::closed);
    bool readable = ready.has(net::Event::readable) || ready.has(net::Event::acceptable);
    if (readable && socket.urgent && !socket.urgent_inline && !ready.has(net::Event::peer_closed)) {
        // The urgent byte alone is nothing that an ordinary read would bring.
        const auto info = host_.stack().tcp_info(socket.id);
        readable = !info || info->urgent_bytes != 1 || info->receive_queue_bytes > 1;
    }
    uint32_t result = 0;
    if (readable || (socket.read_shut && !opening)) result |= api::READABLE;
    if (ready.has(net::Event::writable) || closed || (socket.write_shut && !opening))
        result |= api::WRITABLE;
    if (ready.has(net::Event::error)) result |= api::ERROR;
    const bool both_ended =
        (ready.has(net::Event::peer_closed) || socket.read_shut) && socket.write_shut;
    if (closed || both_ended) result |= api::HANG_UP;
    if (has_urgent(socket)) result |= api::URGENT;
    return result;
}

/// Writes what happened into each entry; returns how many are ready.
uint32_t Session::look_at(MutableBytes entries) {
    uint32_t count = 0;
    for (size_t at = 0; at < entries.size(); at += sizeof(Entry)) {
        auto entry = copy_of(entries.subspan(at, sizeof(Entry)));
        const auto socket = find(entry.socket);
        const uint32_t state = socket ? readiness(**socket) : api::ERROR | api::HANG_UP;
        entry.happened = state & (entry.wanted | api::ERROR | api::HANG_UP);
        std::ranges::copy(std::as_bytes(std::span{&entry, 1}), entries.begin() + long(at));
        if (entry.happened != 0) ++count;
    }
    return count;
}

void Session::note_change(Socket& socket) {
    if (socket.watched && !socket.untold_hook.linked()) untold_.push_back(socket);
    socket.changed.notify();
    any_changed_.notify();
}

/// As many as there is room for, those that wait longest first.
uint32_t Session::tell_changes(MutableBytes entries) {
    uint32_t count = 0;
    while (entries.size() >= sizeof(Change) && !untold_.empty()) {
        Socket& socket = *untold_.pop_front();
        const Change change{handle_of(socket), readiness(socket)};
        std::ranges::copy(std::as_bytes(std::span{&change, 1}), entries.begin());
        entries = entries.subspan(sizeof(Change));
        ++count;
    }
    return count;
}

async::Task<api::ChangesResult> Session::changes(api::ChangesArguments a) {
    if (a.room == 0 || a.room > sockets_max) co_await fail(Err::range_bounds);
    const MutableBytes entries =
        co_await room(a.offset, a.room * static_cast<uint32_t>(sizeof(Change)));
    for (;;) {
        if (const uint32_t count = tell_changes(entries)) co_return api::ChangesResult{count};
        co_await any_changed_.wait();
    }
}

async::Task<api::PollResult> Session::poll(api::PollArguments a) {
    if (a.count > api::POLLED) co_await fail(Err::range_bounds);
    const MutableBytes entries =
        co_await room(a.offset, a.count * static_cast<uint32_t>(sizeof(Entry)));
    const Instant deadline = host_.now() + milliseconds(a.timeout_ms);
    for (;;) {
        const uint32_t ready = look_at(entries);
        if (ready != 0 || a.timeout_ms == 0) co_return api::PollResult{ready};
        if (a.timeout_ms == never) {
            co_await any_changed_.wait();
        } else {
            const auto woken = co_await async::result_of(any_changed_.wait_until(deadline));
            if (!woken && woken.error() == Err::timed_out) co_return api::PollResult{0};
            if (!woken) co_await fail(woken.error());
        }
    }
}

} // namespace netd
