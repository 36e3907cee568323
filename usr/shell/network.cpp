// The network: ifconfig, netstat, ping.
#include "usr/shell/columns.hpp"
#include "usr/shell/commands.hpp"

namespace shell {
namespace {

constexpr std::array<std::string_view, 4> address_sources{"none", "given", "DHCP", "fall-back"};

struct Ip {
    std::array<uint8_t, 4> bytes;
};

void format_value(TextWriter& out, const Ip& ip) {
    format(out, "{}.{}.{}.{}", ip.bytes[0], ip.bytes[1], ip.bytes[2], ip.bytes[3]);
}

struct Mac {
    std::array<uint8_t, 6> bytes;
};

void format_value(TextWriter& out, const Mac& mac) {
    for (size_t i = 0; i < mac.bytes.size(); ++i) {
        if (i > 0) out.put(':');
        format(out, "{:02x}", mac.bytes[i]);
    }
}

struct Endpoint {
    Ip ip;
    uint16_t port;
};

void format_value(TextWriter& out, const Endpoint& e) {
    format(out, "{}:{}", e.ip, e.port);
}

} // namespace

async::Task<interfaces::netctl::Client> Commands::net() {
    namespace api = interfaces::netctl;
    if (!netctl_.is_open())
        co_await netctl_.open({.name = "netctl", .contract = api::contract, .wait = false});
    co_return api::Client{netctl_.channel()};
}

async::Task<> Commands::ifconfig() {
    auto client = co_await net();
    const auto a = co_await client.address();
    co_await say("nic.0  {}  link {}\n", Mac{a.hardware}, std::string_view{a.link ? "up" : "down"});
    co_await say("  address {}/{}  ({})\n", Ip{a.ip}, a.prefix, word_of(address_sources, a.source));
    co_await say("  gateway {}  dns {}\n", Ip{a.gateway}, Ip{a.dns});
    co_return {};
}

async::Task<> Commands::netstat() {
    auto client = co_await net();
    co_await connections(client);
    co_await neighbours(client);
    co_await counters(client);
    co_return {};
}

async::Task<> Commands::connections(interfaces::netctl::Client& client) {
    const auto name_of = [](uint8_t protocol) -> std::string_view {
        return protocol == 6 ? "tcp" : protocol == 17 ? "udp" : "icmp";
    };
    table_.emplace(std::array{
        Column{"protocol", Align::left},
        Column{"local", Align::left},
        Column{"remote", Align::left},
        Column{"state", Align::left},
        Column{"to read", Align::right},
        Column{"to send", Align::right},
    });
    for (uint32_t index = 0;; ++index) {
        const auto c = co_await async::result_of(client.connection(index));
        if (!c) break;
        table_->cell("{}", name_of(c->protocol));
        table_->cell("{}", Endpoint{{c->local}, c->local_port});
        table_->cell("{}", Endpoint{{c->remote}, c->remote_port});
        table_->cell("{}", c->state.view());
        table_->cell("{}", c->receive_queue);
        table_->cell("{}", c->send_queue);
    }
    co_await print_table();
    co_return {};
}

async::Task<> Commands::neighbours(interfaces::netctl::Client& client) {
    table_.emplace(std::array{
        Column{"neighbour", Align::left},
        Column{"hardware", Align::left},
        Column{"state", Align::left},
    });
    for (uint32_t index = 0;; ++index) {
        const auto n = co_await async::result_of(client.neighbour(index));
        if (!n) break;
        table_->cell("{}", Ip{n->ip});
        table_->cell("{}", Mac{n->hardware});
        table_->cell("{}", n->state.view());
    }
    co_await print_table();
    co_return {};
}

async::Task<> Commands::counters(interfaces::netctl::Client& client) {
    table_.emplace(std::array{Column{"counter", Align::left}, Column{"value", Align::right}});
    for (uint32_t index = 0;; ++index) {
        const auto c = co_await async::result_of(client.counter(index));
        if (!c) break;
        if (c->value == 0) continue;
        table_->cell("{}", c->name.view());
        table_->cell("{}", c->value);
    }
    co_await print_table();
    co_return {};
}

async::Task<> Commands::ping(Ping target) {
    constexpr uint32_t timeout_ms = 1000;
    constexpr uint16_t bytes = 56;
    auto client = co_await net();
    const Ip to{{
        static_cast<uint8_t>(target.address >> 24),
        static_cast<uint8_t>(target.address >> 16),
        static_cast<uint8_t>(target.address >> 8),
        static_cast<uint8_t>(target.address),
    }};
    uint32_t answered = 0;
    for (uint32_t i = 1; i <= target.times; ++i) {
        const Instant next = self_.loop().now() + seconds(1);
        const auto sequence = static_cast<uint16_t>(i);
        const auto reply =
            co_await async::result_of(client.ping(to.bytes, sequence, bytes, timeout_ms));
        if (reply) {
            ++answered;
            co_await say(
                "{} bytes from {}: sequence {}, ttl {}, {} ms\n",
                bytes,
                to,
                i,
                reply->ttl,
                Milliseconds{reply->round_trip_ns}
            );
        } else if (reply.error().top() == Err::timed_out) {
            co_await say("{} does not answer within {} ms: sequence {}\n", to, timeout_ms, i);
        } else {
            co_await say("{} cannot be asked: {}\n", to, reply.error());
        }
        if (i < target.times && self_.loop().now() < next) co_await self_.loop().sleep_until(next);
    }
    co_await say("{} sent, {} answered\n", target.times, answered);
    co_return {};
}

} // namespace shell
