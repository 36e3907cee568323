#include "usr/netsvc/services.hpp"

#include <algorithm>
#include <tuple>

#include "lib/base/crc32.hpp"
#include "lib/base/format.hpp"
#include "lib/base/log.hpp"
#include "lib/base/pattern.hpp"

namespace netsvc {

namespace {

constexpr uint32_t backlog = 1024; // as many may come at once

enum class Progress : uint8_t {
    goes_on,
    waits, // until the socket has changed
    ended,
};

/// After an error that may pass, such as a want of memory.
constexpr Duration rest = milliseconds(20);

uint32_t put_text(const os::Network::Chunk& chunk, std::string_view text) {
    std::ranges::copy(std::as_bytes(std::span{text}), chunk.bytes().begin());
    return static_cast<uint32_t>(text.size());
}

/// What comes of a call on a socket that is watched: nothing is left to do until it changes, or the
/// connection has failed.
Result<Progress> waits_after(Fault fault) {
    if (fault == Err::would_block) return Progress::waits;
    return fail(fault);
}

/// What has been written for the peer, and is not all sent yet.
struct Answer {
    std::array<char, 40> text;
    size_t bytes{}, done{};

    /// Sends what can be sent.
    async::Task<Progress> turn(os::Stream& stream, const os::Network::Chunk& chunk) {
        const std::string_view unsent{text.data() + done, bytes - done};
        const auto sent = co_await async::result_of(
            stream.network().client().send(stream.handle(), chunk.offset(), put_text(chunk, unsent))
        );
        if (!sent) co_return co_await waits_after(sent.error());
        done += std::min<size_t>(sent->sent, unsent.size());
        co_return done == bytes ? Progress::ended : Progress::goes_on;
    }
};

/// A service whose turns are the same whether its calls wait or not.
template <class Service>
struct Alike {
    async::Task<> alone(os::Stream& stream, const os::Network::Chunk& chunk) {
        while (co_await static_cast<Service&>(*this).turn(stream, chunk) != Progress::ended) {
        }
        co_return {};
    }
};

struct Discard : Alike<Discard> {
    explicit Discard(Services&) {}

    async::Task<Progress> turn(os::Stream& stream, const os::Network::Chunk& chunk) {
        const auto got = co_await async::result_of(stream.receive(chunk));
        if (!got) co_return co_await waits_after(got.error());
        co_return *got == 0 ? Progress::ended : Progress::goes_on;
    }
};

struct Line : Alike<Line> {
    explicit Line(Services&) {
        answer.bytes = format_to(answer.text, "Skerry network test service\r\n").size();
    }

    async::Task<Progress> turn(os::Stream& stream, const os::Network::Chunk& chunk) {
        return answer.turn(stream, chunk);
    }

    Answer answer;
};

struct Checksum : Alike<Checksum> {
    explicit Checksum(Services&) {}

    async::Task<Progress> turn(os::Stream& stream, const os::Network::Chunk& chunk) {
        if (answer.bytes != 0) co_return co_await answer.turn(stream, chunk);
        const auto got = co_await async::result_of(stream.receive(chunk));
        if (!got) co_return co_await waits_after(got.error());
        crc = crc32(chunk.bytes().first(*got), crc);
        total += *got;
        // That was all: from the next turn on it answers.
        if (*got == 0) answer.bytes = format_to(answer.text, "{} {:08x}\n", total, crc).size();
        co_return Progress::goes_on;
    }

    uint64_t total{};
    uint32_t crc{};
    Answer answer;
};

struct Echo {
    explicit Echo(Services& services) : marks{services.marks} {}

    async::Task<> alone(os::Stream& stream, const os::Network::Chunk& chunk) {
        co_await stream.set_no_delay(true);
        const bool marked = marks.concerns("tcp-echo");
        for (;;) {
            if (marked) marks.before_receive();
            const uint32_t got = co_await stream.receive(chunk);
            if (got == 0) co_return {};
            if (marked) marks.after_receive();
            co_await stream.send(chunk, got);
            if (marked) marks.after_send();
        }
    }

    /// Takes from the stream what could be sent, and no more: the chunk is not kept for the rest.
    async::Task<Progress> turn(os::Stream& stream, const os::Network::Chunk& chunk) {
        interfaces::socket::Client& calls = stream.network().client();
        const uint32_t at = chunk.offset(), handle = stream.handle();
        const auto seen = co_await async::result_of(calls.peek(handle, at, chunk.size()));
        if (!seen) co_return co_await waits_after(seen.error());
        if (seen->received == 0) co_return Progress::ended;
        const uint32_t bytes = std::min(seen->received, chunk.size());
        const auto sent = co_await async::result_of(calls.send(handle, at, bytes));
        if (!sent) co_return co_await waits_after(sent.error());
        co_await calls.receive(handle, at, sent->sent);
        co_return Progress::goes_on;
    }

    OperationMarks& marks;
};

struct Pattern {
    static constexpr bool waits_for_nobody = true; // its calls must not: the peer's end ends it

    explicit Pattern(Services&) {}

    async::Task<Progress> turn(os::Stream& stream, const os::Network::Chunk& chunk) {
        interfaces::socket::Client& calls = stream.network().client();
        const auto got = co_await async::result_of(stream.receive(chunk));
        if (got && *got == 0) co_return Progress::ended;
        if (!got && got.error() != Err::would_block) co_await fail(got.error());
        // Multiples of four, as long as all is taken: each piece starts at a whole word.
        fill_pattern(chunk.bytes(), at);
        const auto sent =
            co_await async::result_of(calls.send(stream.handle(), chunk.offset(), chunk.size()));
        if (!sent) co_return co_await waits_after(sent.error());
        at += sent->sent;
        co_return Progress::goes_on;
    }

    uint64_t at{};
};

/// As one of many: it has a chunk only while there is something to do.
template <class Service>
async::Task<> serve_among_many(Services& services, os::Stream& stream, Service& service) {
    os::Watched watched{services.watchers, stream};
    co_await watched.begin();
    for (;;) {
        Progress progress;
        {
            const auto chunk = co_await services.network.chunk();
            progress = co_await service.turn(stream, chunk);
        }
        if (progress == Progress::ended) co_return {};
        if (progress == Progress::waits) co_await watched.changed();
    }
}

template <class Service>
async::Task<> serve(Services& services, os::Stream stream) {
    Service service{services};
    if constexpr (!requires { Service::waits_for_nobody; }) {
        if (const Services::Place place{services}) {
            const auto chunk = co_await services.network.chunk();
            co_await service.alone(stream, chunk);
            co_return {};
        }
    }
    co_await serve_among_many(services, stream, service);
    co_return {};
}

/// Accepts for ever and serves each connection as a task of its own.
template <class Service>
async::Task<> serve_streams(Services& services, uint16_t port) {
    os::Network& network = services.network;
    os::Listener listener = co_await os::Listener::open(network, {{}, port}, backlog);
    for (;;) {
        auto stream = co_await async::result_of(listener.accept());
        if (!stream) {
            if (stream.error() == Err::peer_gone) co_await fail(stream.error());
            co_await network.loop().sleep_for(rest);
        } else if (!network.loop().spawn("connection", [&] {
                       return serve<Service>(services, std::move(*stream));
                   })) {
            log::warn("port {} connection refused: no memory for its task", port);
        }
    }
}

} // namespace

async::Task<> Services::tcp_echo() {
    return serve_streams<Echo>(*this, 7);
}

async::Task<> Services::tcp_discard() {
    return serve_streams<Discard>(*this, 9);
}

async::Task<> Services::tcp_line() {
    return serve_streams<Line>(*this, 13);
}

async::Task<> Services::tcp_pattern() {
    return serve_streams<Pattern>(*this, 19);
}

async::Task<> Services::tcp_checksum() {
    return serve_streams<Checksum>(*this, 5001);
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

OperationMarks marks_of(std::string_view setting) {
    if (setting.empty()) return {};
    const auto marks = OperationMarks::parse(setting);
    if (marks) return *marks;
    log::warn("count={} is not SERVICE:WARM:N", setting);
    return {};
}

Result<> Services::start() {
    async::Loop& loop = network.loop();
    TRY_VOID(loop.spawn("changes of sockets", [&] { return watchers.follow(); }));
    TRY_VOID(loop.spawn("TCP echo", [&] { return tcp_echo(); }));
    TRY_VOID(loop.spawn("TCP discard", [&] { return tcp_discard(); }));
    TRY_VOID(loop.spawn("TCP line", [&] { return tcp_line(); }));
    TRY_VOID(loop.spawn("TCP pattern", [&] { return tcp_pattern(); }));
    TRY_VOID(loop.spawn("TCP checksum", [&] { return tcp_checksum(); }));
    TRY_VOID(loop.spawn("UDP echo", [&] { return udp_echo(); }));
    return loop.spawn("UDP discard", [&] { return udp_discard(); });
}

} // namespace netsvc
