// The network: ifconfig, netstat, ping, host, route.
#include "usr/shell/columns.hpp"
#include "usr/shell/commands.hpp"

namespace shell {
namespace {

constexpr std::array<std::string_view, 5> address_sources{
    "none", "given", "DHCP", "fall-back", "routing"
};
constexpr std::array<std::string_view, 3> route_sources{"connected", "fixed", "lease"};

struct Ip {
    std::array<uint8_t, 4> bytes;
};

void format_value(TextWriter& out, const Ip& ip) {
    format(out, "{}.{}.{}.{}", ip.bytes[0], ip.bytes[1], ip.bytes[2], ip.bytes[3]);
}

/// Of a number in host order.
Ip ip_of(uint32_t address) {
    const auto octet = [&](unsigned shift) { return static_cast<uint8_t>(address >> shift); };
    return {{octet(24), octet(16), octet(8), octet(0)}};
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
    for (uint32_t index = 0;; ++index) {
        const auto a = co_await async::result_of(client.address(index));
        if (!a && index > 0) break;
        co_await a;
        const std::string_view link = a->link ? "up" : "down";
        const std::string_view source = word_of(address_sources, a->source);
        co_await say("nic.{}  {}  link {}\n", index, Mac{a->hardware}, link);
        co_await say("  address {}/{}  ({})\n", Ip{a->ip}, a->prefix, source);
        co_await say("  gateway {}  dns {}\n", Ip{a->gateway}, Ip{a->dns});
    }
    co_return {};
}

async::Task<> Commands::look_up(LookUp what) {
    auto client = co_await net();
    const auto name = Text<128>::cut(what.name);
    const auto server = ip_of(what.server).bytes;
    const auto found = co_await async::result_of(client.resolve(name, server));
    if (!found && found.error().top() == Err::not_found) {
        co_await say("{} has no address\n", name.view());
        co_return {};
    }
    if (!found) {
        co_await say("{} cannot be looked up: {}\n", name.view(), found.error());
        co_return {};
    }
    const std::string_view real = found->name.view();
    if (real != name.view()) co_await say("{} is {}\n", name.view(), real);
    const Bytes addresses = found->addresses.span();
    for (size_t i = 0; i + 4 <= addresses.size(); i += 4) {
        Ip ip{};
        for (size_t k = 0; k < 4; ++k)
            ip.bytes[k] = std::to_integer<uint8_t>(addresses[i + k]);
        co_await say("{} has address {}\n", real, ip);
    }
    co_return {};
}

async::Task<interfaces::routed::Client> Commands::routed() {
    namespace api = interfaces::routed;
    if (!routed_.is_open())
        co_await routed_.open({.name = "routed", .contract = api::contract, .wait = false});
    co_return api::Client{routed_.channel()};
}

async::Task<> Commands::routes() {
    auto client = co_await routed();
    table_.emplace(std::array{
        Column{"destination", Align::left},
        Column{"gateway", Align::left},
        Column{"link", Align::left},
        Column{"from", Align::left},
        Column{"state", Align::left},
    });
    for (uint32_t index = 0;; ++index) {
        const auto r = co_await async::result_of(client.route(index));
        if (!r) break;
        table_->cell("{}/{}", Ip{r->destination}, r->prefix);
        table_->cell("{}", Ip{r->gateway});
        table_->cell("nic.{}", r->link);
        table_->cell("{}", word_of(route_sources, std::to_underlying(r->source)));
        table_->cell("{}", std::string_view{r->used ? "used" : "waits"});
    }
    co_await print_table();
    co_return {};
}

async::Task<> Commands::route(RouteChange change) {
    auto client = co_await routed();
    const auto to = ip_of(change.destination).bytes;
    if (change.gateway)
        co_await client.add(to, change.bits, ip_of(*change.gateway).bytes);
    else
        co_await client.remove(to, change.bits);
    co_return {};
}

async::Task<> Commands::set_address(LinkAddress a) {
    auto client = co_await routed();
    co_await client.set_address(a.link, ip_of(a.address).bytes, a.bits);
    co_return {};
}

async::Task<> Commands::netstat(bool counters_only) {
    auto client = co_await net();
    if (!counters_only) {
        co_await connections(client);
        co_await neighbours(client);
    }
    co_await counters(client);
    co_return {};
}

async::Task<> Commands::connections(interfaces::netctl::Client& client) {
    const auto name_of = [](uint8_t protocol) -> std::string_view {
        return protocol == 6 ? "tcp" : protocol == 17 ? "udp" : "icmp";
    };
    const auto begin_page = [&] {
        table_.emplace(std::array{
            Column{"protocol", Align::left},
            Column{"local", Align::left},
            Column{"remote", Align::left},
            Column{"state", Align::left},
            Column{"to read", Align::right},
            Column{"to send", Align::right},
        });
    };
    constexpr size_t page_rows = 100;
    begin_page();
    for (uint32_t place = 0;;) {
        const auto c = co_await async::result_of(client.connection(place));
        if (!c) break;
        place = c->next;
        if (table_->rows() > page_rows) { // with its heading
            co_await print_table();
            begin_page();
        }
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
    const Ip to = ip_of(target.address);
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
