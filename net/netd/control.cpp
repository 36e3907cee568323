#include "net/netd/control.hpp"

#include <tuple>

namespace netd::control {

namespace {

struct Named {
    std::string_view name;
    uint64_t value;
};

/// Counters by index: what went well, what the card's queue refused, then drops by reason.
Result<Named> counter_at(uint32_t index, const net::Stack& stack, const NicPort* port) {
    const net::Counters& c = stack.counters();
    const NicPort::Counters queue = port == nullptr ? NicPort::Counters{} : port->counters();
    const Named named[] = {
        {"frames_in", c.frames_in},
        {"frames_out", c.frames_out},
        {"arp_in", c.arp_in},
        {"arp_out", c.arp_out},
        {"ip_in", c.ip_in},
        {"ip_out", c.ip_out},
        {"icmp_in", c.icmp_in},
        {"icmp_out", c.icmp_out},
        {"udp_in", c.udp_in},
        {"udp_out", c.udp_out},
        {"tcp_in", c.tcp_in},
        {"tcp_out", c.tcp_out},
        {"forwarded", c.forwarded},
        {"fragments_in", c.fragments_in},
        {"fragments_out", c.fragments_out},
        {"reassembled", c.reassembled},
        {"tcp_opened", c.tcp_opened},
        {"tcp_accepted", c.tcp_accepted},
        {"tcp_resets_in", c.tcp_resets_in},
        {"tcp_resets_out", c.tcp_resets_out},
        {"tcp_retransmitted", c.tcp_retransmitted},
        {"tcp_timeouts", c.tcp_timeouts},
        {"tcp_challenge_acks", c.tcp_challenge_acks},
        {"tcp_cookies_sent", c.tcp_cookies_sent},
        {"tcp_cookies_accepted", c.tcp_cookies_accepted},
        {"tcp_blocks_held", c.tcp_blocks_held},
        {"tcp_time_wait", c.tcp_time_wait},
        {"tcp_bytes_held", c.tcp_bytes_held},
        {"queue_foreign", queue.foreign},
        {"queue_starved", queue.starved},
        {"queue_not_sent", queue.not_sent},
    };
    if (index < std::size(named)) return named[index];
    const size_t reason = index - std::size(named);
    if (reason >= net::drop_reasons) return fail(Err::not_found);
    return Named{net::text_of(net::Drop(reason)).name, stack.drops()[net::Drop(reason)]};
}

} // namespace

Server::~Server() {
    if (pinger_) std::ignore = host_.stack().ping_close(*pinger_);
    echoed_.fail(Err::cancelled);
    if (entered_) host_.leave(number_);
}

Result<> Server::enter() {
    number_ = TRY(host_.enter(*this));
    entered_ = true;
    return {};
}

void Server::socket_event(uint16_t, net::EventSet) {
    echoed_.notify();
}

Result<> Server::open_pinger() {
    if (!entered_) return fail(Err::no_slots); // its events would go to another owner
    if (!pinger_) pinger_ = TRY(host_.stack().ping_open(Host::cookie(number_, 0)));
    return {};
}

async::Task<api::AddressResult> Server::address(api::AddressArguments a) {
    const net::Stack& stack = host_.stack();
    if (a.index >= stack.links()) co_await fail(Err::not_found);
    const net::LinkNumber link{{static_cast<uint8_t>(a.index)}};
    const InterfaceState& state = *states_[a.index];
    const net::Ipv4Prefix prefix = stack.address(link);
    co_return api::AddressResult{
        stack.mac(link).octets(),
        prefix.address.octets(),
        prefix.length,
        state.gateway.octets(),
        state.dns.octets(),
        state.link,
        static_cast<uint32_t>(state.source)
    };
}

async::Task<api::ResolveResult> Server::resolve(api::ResolveArguments a) {
    net::Ipv4Address server{a.server};
    for (const InterfaceState* const state : states_)
        if (server.is_any()) server = state->dns;
    const net::dns::Answer answer = co_await resolver_.resolve(server, a.name.view());
    api::ResolveResult result{.seconds = answer.seconds};
    std::array<char, 128> room;
    result.name = Text<128>::cut(answer.name.text(room));
    std::array<std::byte, 4 * net::dns::addresses_max> octets;
    for (size_t i = 0; i < 4 * answer.count; ++i)
        octets[i] = std::byte{answer.addresses[i / 4].octets()[i % 4]};
    result.addresses = co_await Blob<32>::from(Bytes{octets}.first(4 * answer.count));
    co_return result;
}

async::Task<api::PingResult> Server::ping(api::PingArguments a) {
    const auto alone = co_await one_ping_.acquire();
    co_await open_pinger();
    const net::Ipv4Address to{a.to};
    const Instant give_up = host_.now() + milliseconds(a.timeout_ms);
    const auto sent = host_.stack().ping_send(*pinger_, to, a.sequence, a.bytes, host_.now());
    host_.touched();
    co_await sent;
    for (;;) {
        const auto reply = host_.stack().ping_receive(*pinger_);
        if (reply && reply->sequence == a.sequence) {
            if (reply->error != Err::none) co_await fail(reply->error);
            co_return api::PingResult{static_cast<uint64_t>(reply->round_trip.ns), reply->ttl};
        }
        if (!reply && reply.error() != Err::would_block) co_await fail(reply.error());
        if (!reply) co_await echoed_.wait_until(give_up);
    }
}

async::Task<api::ConnectionResult> Server::connection(api::ConnectionArguments a) {
    std::array<net::SocketInfo, 1> room;
    size_t place = a.place;
    if (host_.stack().list_sockets(place, room) == 0) co_await fail(Err::not_found);
    const net::SocketInfo& info = room[0];
    // Connections that nobody has yet accepted, or that their owner has left, have no handle.
    const net::SocketKind kind = info.id.kind();
    const bool stream = kind != net::SocketKind::datagram && kind != net::SocketKind::ping;
    const uint8_t protocol = stream ? 6 : kind == net::SocketKind::ping ? 1 : 17;
    co_return api::ConnectionResult{
        static_cast<uint32_t>(place),
        protocol,
        info.local.address.octets(),
        info.local.port.number(),
        info.remote.address.octets(),
        info.remote.port.number(),
        stream ? Text<12>::cut(net::tcp::name_of(info.state)) : Text<12>{},
        info.receive_queue_bytes,
        info.send_queue_bytes
    };
}

async::Task<api::CounterResult> Server::counter(api::CounterArguments a) {
    const Named named = co_await counter_at(a.index, host_.stack(), port_);
    co_return api::CounterResult{Text<32>::cut(named.name), named.value};
}

async::Task<api::NeighbourResult> Server::neighbour(api::NeighbourArguments a) {
    std::array<net::NeighbourInfo, 1> room;
    if (host_.stack().list_neighbours(a.index, room, host_.now()) == 0)
        co_await fail(Err::not_found);
    co_return api::NeighbourResult{
        room[0].address.octets(),
        room[0].mac.octets(),
        Text<12>::cut(room[0].resolved ? "reachable" : "asked")
    };
}

} // namespace netd::control
