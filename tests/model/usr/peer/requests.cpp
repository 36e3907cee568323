#include "tests/model/usr/peer/requests.hpp"

#include "lib/base/cmdline.hpp"
#include "lib/base/mark.hpp"

namespace peer {
namespace {

using net::Event;

constexpr net::Port echo_port{7}, discard_port{9}, pattern_port{19}, web_port{80};
constexpr Duration patience = seconds(20);
/// After an operation, until all of it is over: longer than an acknowledgement may be put off,
/// shorter than the first question about a closed window.
constexpr Duration settling = milliseconds(80);
constexpr size_t segment_bytes = 1448;
constexpr unsigned window = 44;  // segments of a stream: less than a buffer
constexpr unsigned windows = 16; // in one sample
constexpr std::string_view question = "GET /bytes/128 HTTP/1.1\r\nHost: skerry\r\n\r\n";
constexpr size_t answer_bytes = 128;

using Window = std::array<std::byte, window * segment_bytes>;
constinit Window outgoing{}, incoming{};

Bytes bytes_of(std::string_view text) {
    return std::as_bytes(std::span{text.data(), text.size()});
}

/// A connection of ours to a service there.
class Stream {
  public:
    explicit Stream(World& world) : world_{world} {}

    Stream(const Stream&) = delete;

    ~Stream() { close(); }

    Result<> connect(net::Endpoint to, const net::StreamOptions& options = {}) {
        socket_ = TRY(world_.stack().tcp_connect(to, {}, 0, world_.now(), options));
        open_ = true;
        TRY_VOID(world_.until([&] { return state().bits() != 0; }, patience));
        if (state().has(Event::error) || state().has(Event::closed)) {
            close();
            return fail(Err::connection_refused);
        }
        return {};
    }

    void close() {
        if (std::exchange(open_, false)) (void)world_.stack().tcp_close(socket_, world_.now());
    }

    /// All of it, and all of that acknowledged.
    Result<> send(Bytes data) {
        TRY_VOID(world_.until(
            [&] {
                const auto taken = world_.stack().tcp_send(socket_, data, world_.now());
                if (taken) data = data.subspan(*taken);
                return data.empty();
            },
            patience
        ));
        return world_.until([&] { return unacknowledged() == 0; }, patience);
    }

    /// Until the room is full.
    Result<> receive(MutableBytes room) {
        return world_.until(
            [&] {
                const auto got = world_.stack().tcp_receive(socket_, room, world_.now());
                if (got) room = room.subspan(*got);
                return room.empty();
            },
            patience
        );
    }

    /// What there is now, at least a byte.
    Result<size_t> receive_some(MutableBytes room) {
        size_t bytes = 0;
        TRY_VOID(world_.until(
            [&] {
                const auto got = world_.stack().tcp_receive(socket_, room, world_.now());
                if (got) bytes = *got;
                return bytes != 0;
            },
            patience
        ));
        return bytes;
    }

  private:
    net::EventSet state() const {
        const auto ready = world_.stack().ready(socket_);
        return ready ? *ready : net::EventSet{Event::error};
    }

    uint64_t unacknowledged() const {
        const auto info = world_.stack().tcp_info(socket_);
        return info ? info->send_queue_bytes : 0;
    }

    World& world_;
    net::SocketId socket_;
    bool open_{};
};

class Session {
  public:
    Session(World& world, net::Ipv4Address whom, const Order& order, Results& into)
        : world_{world}, whom_{whom}, order_{order}, into_{into} {}

    /// The last of the services is there, and what they do in the beginning is over.
    Result<> await_services() {
        udp_ = TRY(world_.stack().udp_bind({}, 0));
        TRY_VOID(keep_trying([&] { return echo_datagram(milliseconds(500)); }));
        for (const net::Port port : {echo_port, discard_port, pattern_port, web_port})
            TRY_VOID(keep_trying([&] {
                Stream stream{world_};
                return stream.connect({whom_, port});
            }));
        world_.rest(seconds(2));
        return {};
    }

    Result<> measure() {
        TRY_VOID(take("empty", 1, [] { return Result<>{}; }));
        TRY_VOID(take("datagram", 1, [&] { return echo_datagram(patience); }));
        TRY_VOID(measure_character());
        TRY_VOID(measure_streams());
        TRY_VOID(measure_web());
        return take("connection", 1, [&]() -> Result<> {
            Stream stream{world_};
            TRY_VOID(stream.connect({whom_, echo_port}));
            return echo(stream, 1);
        });
    }

  private:
    /// Until it works.
    template <class Op>
    Result<> keep_trying(Op&& op) {
        const Instant deadline = world_.now() + patience;
        for (;;) {
            const Result<> done = op();
            if (done || world_.now() > deadline) return done;
            world_.rest(milliseconds(200));
        }
    }

    template <class Op>
    Result<> take(std::string_view what, unsigned each, Op&& op) {
        for (unsigned i = 0; i < order_.warm + order_.samples; ++i) {
            if (i >= order_.warm) mark<16>();
            TRY_VOID(op());
            world_.rest(settling);
            if (i >= order_.warm) mark<17>();
        }
        into_.figures[into_.count++] = {what, order_.samples, each};
        return {};
    }

    Result<> echo_datagram(Duration wait) {
        constexpr size_t payload = 64;
        const Bytes out = Bytes{outgoing}.first(payload);
        TRY_VOID(world_.stack().udp_send_to(udp_, {whom_, echo_port}, out, world_.now()));
        into_.sent += payload;
        size_t bytes = 0;
        const auto came = world_.until(
            [&] {
                const auto got = world_.stack().udp_receive_from(udp_, incoming);
                if (got) bytes = got->bytes;
                return got.has_value();
            },
            wait
        );
        // What was asked before there was a service is not owed.
        into_.received += came ? bytes : payload;
        return came;
    }

    Result<> echo(Stream& stream, size_t bytes) {
        TRY_VOID(stream.send(Bytes{outgoing}.first(bytes)));
        into_.sent += bytes;
        TRY_VOID(stream.receive(MutableBytes{incoming}.first(bytes)));
        into_.received += bytes;
        return {};
    }

    Result<> measure_character() {
        Stream stream{world_};
        TRY_VOID(stream.connect({whom_, echo_port}, {.no_delay = true}));
        return take("character", 1, [&] { return echo(stream, 1); });
    }

    template <class Op>
    Result<> often(Op&& op) {
        for (unsigned i = 0; i < windows; ++i)
            TRY_VOID(op());
        return {};
    }

    /// In: a window's bytes after another. Out: the service sends for ever, and what it may send is
    /// what was taken since the last time.
    Result<> measure_streams() {
        Stream in{world_}, out{world_};
        TRY_VOID(in.connect({whom_, discard_port}));
        TRY_VOID(take("stream-in", windows * window, [&] {
            return often([&] { return in.send(outgoing); });
        }));
        TRY_VOID(out.connect({whom_, pattern_port}, {.receive_order = 16}));
        world_.rest(settling);
        return take("stream-out", windows * window, [&] {
            return often([&] { return out.receive(incoming); });
        });
    }

    Result<> measure_web() {
        Stream stream{world_};
        TRY_VOID(stream.connect({whom_, web_port}));
        return take("web-request", 1, [&] { return request(stream); });
    }

    Result<> request(Stream& stream) {
        TRY_VOID(stream.send(bytes_of(question)));
        constexpr std::string_view end_of_head = "\r\n\r\n";
        for (size_t have = 0;;) {
            have += TRY(stream.receive_some(MutableBytes{incoming}.subspan(have)));
            const void* const start = incoming.data();
            const std::string_view text{static_cast<const char*>(start), have};
            const size_t head = text.find(end_of_head);
            if (head == text.npos) continue;
            if (have == head + end_of_head.size() + answer_bytes) return {};
        }
    }

    World& world_;
    net::Ipv4Address whom_;
    const Order& order_;
    Results& into_;
    net::SocketId udp_;
};

} // namespace

Result<Order> Order::parse(std::string_view setting) {
    if (take_until(setting, ':') != "peer") return fail(Err::malformed);
    const auto warm = parse_number(take_until(setting, ':'), 100);
    const auto samples = parse_number(setting, 1000);
    if (!warm || !samples || *samples == 0) return fail(Err::malformed);
    return Order{static_cast<unsigned>(*warm), static_cast<unsigned>(*samples)};
}

Result<> measure(World& world, net::Ipv4Address whom, const Order& order, Results& into) {
    Session session{world, whom, order, into};
    TRY_VOID(session.await_services());
    return session.measure();
}

} // namespace peer
