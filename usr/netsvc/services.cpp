#include "usr/netsvc/services.hpp"

#include <algorithm>
#include <tuple>

#include "lib/base/crc32.hpp"
#include "lib/base/format.hpp"
#include "lib/base/log.hpp"
#include "lib/base/pattern.hpp"

namespace netsvc {

namespace {

constexpr uint32_t backlog = 64;

/// After an error that may pass, such as a want of memory.
constexpr Duration rest = milliseconds(20);

/// Accepts for ever and serves each connection as a task of its own. A connection that cannot get
/// a task is closed, which the client sees at once.
template <class Serve>
async::Task<> serve_streams(os::Network& network, uint16_t port, Serve serve) {
    os::Listener listener = co_await os::Listener::open(network, {{}, port}, backlog);
    for (;;) {
        auto stream = co_await async::result_of(listener.accept());
        if (!stream) {
            if (stream.error() == Err::peer_gone) co_await fail(stream.error());
            co_await network.loop().sleep_for(rest);
        } else if (!network.loop().spawn("connection", [&] { return serve(std::move(*stream)); })) {
            log::warn("port {} connection refused: no memory for its task", port);
        }
    }
}

uint32_t put_text(const os::Network::Chunk& chunk, std::string_view text) {
    std::ranges::copy(std::as_bytes(std::span{text}), chunk.bytes().begin());
    return static_cast<uint32_t>(text.size());
}

async::Task<> discard(os::Network& network, os::Stream stream) {
    const auto chunk = co_await network.chunk();
    while (co_await stream.receive(chunk) != 0) {
    }
    co_return {};
}

async::Task<> send_line(os::Network& network, os::Stream stream) {
    const auto chunk = co_await network.chunk();
    co_await stream.send(chunk, put_text(chunk, "Skerry network test service\r\n"));
    co_return {};
}

/// Ends the sender by closing under it: its pending send then fails.
async::Task<> watch_for_end(os::Network& network, uint32_t handle, bool& ended) {
    const auto chunk = co_await network.chunk();
    for (;;) {
        const auto got =
            co_await async::result_of(network.client().receive(handle, chunk.offset(), chunk.size())
            );
        if (!got || got->received == 0) break;
    }
    ended = true;
    co_await async::result_of(network.client().abort(handle));
    co_return {};
}

async::Task<> send_pattern(os::Network& network, os::Stream stream) {
    const auto chunk = co_await network.chunk();
    // Shared with the watcher, which may outlive this task by the time of one message.
    bool ended = false;

    class Watch : public async::Job {};

    Watch watch;
    co_await watch.start(watch_for_end(network, stream.handle(), ended));
    for (uint64_t at = 0; !ended;) {
        // Multiples of four, so that each piece starts at a whole word of the pattern.
        fill_pattern(chunk.bytes(), at);
        const auto sent = co_await async::result_of(stream.send(chunk, chunk.size()));
        if (!sent) break;
        at += chunk.size();
    }
    co_return {};
}

async::Task<> count_and_check(os::Network& network, os::Stream stream) {
    const auto chunk = co_await network.chunk();
    uint64_t total = 0;
    uint32_t crc = 0;
    while (const uint32_t got = co_await stream.receive(chunk)) {
        crc = crc32(chunk.bytes().first(got), crc);
        total += got;
    }
    std::array<char, 40> line;
    const auto text = format_to(line, "{} {:08x}\n", total, crc);
    co_await stream.send(chunk, put_text(chunk, text));
    co_return {};
}

} // namespace

async::Task<> Services::tcp_echo() {
    return serve_streams(network, 7, [this](os::Stream stream) { return echo(std::move(stream)); });
}

async::Task<> Services::echo(os::Stream stream) {
    const auto chunk = co_await network.chunk();
    co_await stream.set_no_delay(true);
    const bool marked = marks.concerns("tcp-echo");
    for (;;) {
        if (marked) marks.before_receive();
        const uint32_t got = co_await stream.receive(chunk);
        if (got == 0) break;
        if (marked) marks.after_receive();
        co_await stream.send(chunk, got);
        if (marked) marks.after_send();
    }
    co_return {};
}

async::Task<> Services::tcp_discard() {
    return serve_streams(network, 9, [this](os::Stream stream) {
        return discard(network, std::move(stream));
    });
}

async::Task<> Services::tcp_line() {
    return serve_streams(network, 13, [this](os::Stream stream) {
        return send_line(network, std::move(stream));
    });
}

async::Task<> Services::tcp_pattern() {
    return serve_streams(network, 19, [this](os::Stream stream) {
        return send_pattern(network, std::move(stream));
    });
}

async::Task<> Services::tcp_checksum() {
    return serve_streams(network, 5001, [this](os::Stream stream) {
        return count_and_check(network, std::move(stream));
    });
}

async::Task<> Services::udp_echo() {
    os::Datagrams socket = co_await os::Datagrams::open(network, {{}, 7});
    const auto chunk = co_await network.chunk();
    const bool marked = marks.concerns("udp-echo");
    for (;;) {
        if (marked) marks.before_receive();
        const auto got = co_await async::result_of(socket.receive(chunk));
        if (!got) {
            if (got.error() == Err::peer_gone) co_await fail(got.error());
            co_await network.loop().sleep_for(rest);
            continue;
        }
        if (marked) marks.after_receive();
        co_await async::result_of(socket.send(chunk, got->bytes, got->from));
        if (marked) marks.after_send();
    }
}

async::Task<> Services::udp_discard() {
    os::Datagrams socket = co_await os::Datagrams::open(network, {{}, 9});
    const auto chunk = co_await network.chunk();
    for (;;) {
        const auto got = co_await async::result_of(socket.receive(chunk));
        if (got) continue;
        if (got.error() == Err::peer_gone) co_await fail(got.error());
        co_await network.loop().sleep_for(rest);
    }
}

} // namespace netsvc
