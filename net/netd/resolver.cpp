#include "net/netd/resolver.hpp"

#include <tuple>

namespace netd {

using net::dns::Answer;
using net::dns::Name;

namespace {

constexpr std::array<Duration, 3> patience{seconds(1), seconds(2), seconds(4)};
constexpr Duration stream_patience = seconds(5);
constexpr unsigned aliases_max = 8;

net::Endpoint server_at(net::Ipv4Address address) {
    return {address, net::Port{net::dns::server_port}};
}

} // namespace

Resolver::Closing::~Closing() {
    net::Stack& stack = host.stack();
    if (stream)
        std::ignore = stack.tcp_abort(socket, host.now());
    else
        std::ignore = stack.udp_close(socket);
    host.touched();
}

Resolver::~Resolver() {
    changed_.fail(Err::cancelled);
    if (entered_) host_.leave(number_);
}

Result<> Resolver::enter() {
    number_ = TRY(host_.enter(*this));
    entered_ = true;
    return {};
}

async::Task<Answer> Resolver::resolve(net::Ipv4Address server, std::string_view text) {
    Name name = co_await Name::parse(text);
    if (!entered_) co_await fail(Err::no_slots);
    if (server.is_any()) co_await fail(Err::not_connected);
    const auto alone = co_await one_question_.acquire();
    for (unsigned aliases = 0; aliases < aliases_max; ++aliases) {
        const Answer answer = co_await ask(server, name);
        switch (answer.kind) {
        case Answer::Kind::addresses: co_return answer;
        case Answer::Kind::alias: name = answer.name; continue;
        case Answer::Kind::no_name:
        case Answer::Kind::no_data: co_await fail(Err::not_found); break;
        default: co_await fail(Err::malformed);
        }
    }
    co_await fail(Err::malformed); // aliases without an end
    co_return Answer{};
}

/// Again, and longer, as long as nobody answers.
async::Task<Answer> Resolver::ask(net::Ipv4Address server, Name name) {
    Fault last{Err::timed_out};
    for (const Duration time : patience) {
        const auto answer = co_await async::result_of(ask_once(server, name, time));
        if (answer && answer->kind == Answer::Kind::truncated)
            co_return co_await ask_by_stream(server, name);
        if (answer) co_return *answer;
        last = answer.error();
    }
    co_await std::unexpected(last);
    co_return Answer{};
}

async::Task<Answer> Resolver::ask_once(net::Ipv4Address server, Name name, Duration time) {
    net::Stack& stack = host_.stack();
    const Instant until = host_.now() + time;
    const auto id = static_cast<uint16_t>(random_.next());
    const Closing socket{host_, co_await stack.udp_bind({}, Host::cookie(number_, 0)), false};
    co_await stack.udp_connect(socket.socket, server_at(server)); // strangers find no port
    const Bytes question = co_await net::dns::write_question(id, name, room_);
    co_await stack.udp_send_to(socket.socket, server_at(server), question, host_.now());
    host_.touched();
    for (;;) {
        const auto got = stack.udp_receive_from(socket.socket, room_);
        if (!got && got.error() != Err::would_block) co_await std::unexpected(got.error());
        if (!got) {
            co_await changed_.wait_until(until);
            continue;
        }
        if (!(got->from == server_at(server))) continue;
        const Answer answer = net::dns::read_answer(Bytes{room_}.first(got->bytes), id, name);
        if (answer.kind != Answer::Kind::foreign) co_return answer;
    }
}

async::Task<> Resolver::connected(net::SocketId socket, Instant until) {
    for (;;) {
        const Err error = co_await host_.stack().take_error(socket);
        if (error != Err::none) co_await fail(error);
        const net::SocketInfo info = co_await host_.stack().info(socket);
        if (info.state >= net::tcp::State::established) co_return {};
        co_await changed_.wait_until(until);
    }
}

async::Task<> Resolver::send(net::SocketId socket, Bytes data, Instant until) {
    while (!data.empty()) {
        const auto sent = host_.stack().tcp_send(socket, data, host_.now());
        host_.touched();
        if (sent)
            data = data.subspan(*sent);
        else if (sent.error() == Err::would_block)
            co_await changed_.wait_until(until);
        else
            co_await std::unexpected(sent.error());
    }
    co_return {};
}

async::Task<> Resolver::receive(net::SocketId socket, MutableBytes room, Instant until) {
    while (!room.empty()) {
        const auto got = host_.stack().tcp_receive(socket, room, host_.now());
        host_.touched();
        if (got)
            room = room.subspan(*got);
        else if (got.error() == Err::would_block)
            co_await changed_.wait_until(until);
        else
            co_await std::unexpected(got.error());
    }
    co_return {};
}

/// RFC 1035 4.2.2: each message has its length in front.
async::Task<Answer> Resolver::ask_by_stream(net::Ipv4Address server, Name name) {
    const Instant until = host_.now() + stream_patience;
    const auto id = static_cast<uint16_t>(random_.next());
    const Closing socket{
        host_,
        co_await host_.stack().tcp_connect(
            server_at(server), {}, Host::cookie(number_, 0), host_.now()
        ),
        true
    };
    host_.touched();
    co_await connected(socket.socket, until);
    const Bytes question =
        co_await net::dns::write_question(id, name, MutableBytes{room_}.subspan(2));
    room_[0] = std::byte(question.size() >> 8);
    room_[1] = std::byte(question.size());
    co_await send(socket.socket, Bytes{room_}.first(2 + question.size()), until);
    co_await receive(socket.socket, MutableBytes{room_}.first(2), until);
    const size_t size = std::to_integer<size_t>(room_[0]) << 8 | std::to_integer<size_t>(room_[1]);
    if (size > room_.size()) co_await fail(Err::message_too_long);
    co_await receive(socket.socket, MutableBytes{room_}.first(size), until);
    Answer answer = net::dns::read_answer(Bytes{room_}.first(size), id, name);
    if (answer.kind == Answer::Kind::foreign || answer.kind == Answer::Kind::truncated)
        answer.kind = Answer::Kind::malformed;
    co_return answer;
}

} // namespace netd
