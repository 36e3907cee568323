#include "net/netd/services.hpp"

#include <array>

#include "interfaces/netctl.hpp"
#include "interfaces/routes.hpp"
#include "interfaces/socket.hpp"
#include "lib/base/log.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/entropy.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/lasting.hpp"
#include "lib/os/memory.hpp"
#include "net/netd/addresses.hpp"
#include "net/netd/control.hpp"
#include "net/netd/host.hpp"
#include "net/netd/raw.hpp"
#include "net/netd/routes.hpp"
#include "net/netd/session.hpp"

namespace netd {
namespace {

/// Of the quota, what one application may take: its session, and tasks for its calls.
constexpr size_t session_task_bytes = 512 * 1024;
constexpr uint32_t session_calls = 250;

/// Each of them is an owner of sockets.
constexpr uint32_t applications_max = 12, shells_max = 4, raw_max = 2;
static_assert(
    applications_max + shells_max + raw_max + 1 <= Host::owners_max, "the last is the resolver"
);

/// Everything of this domain that lives as long as it does.
struct Netd {
    Netd(os::Domain& in, MakeFirstCard first, Guest* with)
        : self{in}, host{in.loop()}, guest{with},
          others{
              {DistantCard{in, host, {{1}}},
               DistantCard{in, host, {{2}}},
               DistantCard{in, host, {{3}}}}
          },
          cards{{&first(in, host), &others[0], &others[1], &others[2]}},
          states{{&cards[0]->state(), &cards[1]->state(), &cards[2]->state(), &cards[3]->state()}} {
    }

    os::Domain& self;
    Host host;
    Guest* guest;
    std::array<DistantCard, net::Stack::links_max - 1> others;
    std::array<Card*, net::Stack::links_max> cards;
    std::array<InterfaceState*, net::Stack::links_max> states;
    std::optional<os::Memory> stack_memory;
    std::optional<Resolver> resolver;
};

os::Immortal<Netd> netd;

class SocketServer : public Session {
  public:
    SocketServer(os::Session& session, Host& host) : Session{host, session.bulk()} {
        if (const auto entered = enter(); !entered)
            log::warn("application of core {} refused: {}", session.client_core(), entered.error());
    }
};

class ControlServer : public control::Server {
  public:
    ControlServer(os::Session&, Netd& all) : control::Server{all.host, all.states, *all.resolver} {
        set_port(all.cards[0]->port());
        if (const auto entered = enter(); !entered)
            log::warn("netctl client refused: {}", entered.error());
    }
};

class RoutesServer final : public routes::Server {
  public:
    RoutesServer(os::Session& session, Netd& all)
        : routes::Server{all.host, all.states}, session_{session}, host_{all.host} {
        if (const auto watching = host_.watch(*this); !watching)
            log::warn("routes client refused: {}", watching.error());
    }

    RoutesServer(const RoutesServer&) = delete;

    ~RoutesServer() { host_.unwatch(*this); }

    /// A full channel has one of these in it already, and one is enough.
    void links_changed() override {
        (void)interfaces::routes::Events{session_.channel()}.try_changed();
    }

  private:
    os::Session& session_;
    Host& host_;
};

class RawServer : public raw::Server {
  public:
    RawServer(os::Session& session, Host& host) : raw::Server{host, session.bulk()} {
        if (const auto entered = enter(); !entered)
            log::warn("client of raw packets refused: {}", entered.error());
    }
};

using RawService = os::ServiceOf<RawServer, interfaces::raw::ServerSide<RawServer>, Host>;
using NetService = os::ServiceOf<SocketServer, interfaces::socket::ServerSide<Session>, Host>;
using ControlService =
    os::ServiceOf<ControlServer, interfaces::netctl::ServerSide<ControlServer>, Netd>;

using RoutesService =
    os::ServiceOf<RoutesServer, interfaces::routes::ServerSide<RoutesServer>, Netd>;

os::Immortal<NetService> net_service;
os::Immortal<ControlService> control_service;
os::Immortal<RoutesService> routes_service;
os::Immortal<RawService> raw_service;

/// As many connections as the quota has memory for, after the card and four applications.
net::Config config_for(uint64_t free_bytes, net::MacAddress mac, std::array<uint64_t, 2> secret) {
    net::Config config;
    config.mac = mac;
    config.secret = secret;
    config.routes = 72; // as many as net/routed may hold
    config.raw_sockets = raw_max;
    // An application with 10,000 sockets has 2 MiB of them.
    constexpr uint64_t aside =
        2 * Card::packet_memory_bytes + 4 * session_task_bytes + 3 * 1024 * 1024;
    const uint64_t left = free_bytes > aside ? free_bytes - aside : 0;
    if (left < 12 * 1024 * 1024) {
        config.datagram_sockets = 6;
        config.reassemblies = 4;
    }
    const uint64_t others =
        uint64_t{config.datagram_buffer_bytes} * (config.datagram_sockets + raw_max) +
        uint64_t{config.reassemblies} * 65536 + 1024 * 1024;
    const uint64_t streams = std::max<uint64_t>(left > others ? left - others : 0, 512 * 1024);
    if (streams >= 8 * 1024 * 1024) config.stream_buffer_bytes = 256 * 1024;
    // Two fifths for control blocks, the rest for what has come or is to go; with their tables.
    constexpr uint64_t block_bytes = 512 + 16, buffer_bytes = 2048, with_table = 2048 + 336;
    const auto connections = std::clamp<uint64_t>(streams * 2 / 5 / block_bytes, 128, 16384);
    config.connections = static_cast<uint16_t>(connections);
    config.stream_memory_bytes = (streams - connections * block_bytes) / with_table * buffer_bytes;
    return config;
}

/// errors   those of the stack's creation; quota
Result<> make_stack(const net::MacAddress mac) {
    Netd& all = *netd;
    const auto secret = os::secret(all.self.settings().seed);
    net::Config config = config_for(os::quota().free_bytes(), mac, secret);
    const size_t bytes = TRY(net::Stack::memory_needed(config));
    all.stack_memory.emplace(TRY(os::Memory::make(bytes)));
    const MutableBytes memory = all.stack_memory->span();
    net::Stack* const stack =
        TRY(net::Stack::create(memory, config, *all.cards[0], all.host, all.host.now()));
    all.host.set_stack(*stack);
    log::info(
        "stack {} connections, {} KiB of buffers, each up to {} KiB, {} KiB in all",
        config.connections,
        config.stream_memory_bytes / 1024,
        config.stream_buffer_bytes / 1024,
        bytes / 1024
    );
    return {};
}

/// errors   what binding to nic.0 and starting it answer
async::Task<> open_first_card() {
    Card& card = *netd->cards[0];
    const net::MacAddress mac = co_await card.open();
    if (netd->guest != nullptr) co_await netd->guest->prepare(netd->host);
    co_await make_stack(mac);
    co_await card.start();
    co_return {};
}

async::Task<> open_card(size_t number);

/// Until it has gone. The card after it is waited for.
async::Task<> serve_card(Card& card, size_t number) {
    Netd& all = *netd;
    co_await card.start();
    log::info("nic.{} joins", number);
    all.host.links_changed();
    if (number + 1 < all.cards.size())
        co_await all.self.loop().spawn("next card", [&] { return open_card(number + 1); });
    co_await card.gone();
    log::error("network card {} has gone", number);
    co_return {};
}

/// Each further card joins when its driver offers it.
async::Task<> open_card(size_t number) {
    Netd& all = *netd;
    Card& card = *all.cards[number];
    const net::MacAddress mac = co_await card.open();
    co_await all.host.stack().add_link(mac, net::Config{}.mtu_bytes, card);
    // A link is one for good: without its card the stack starts anew.
    const auto served = co_await async::result_of(serve_card(card, number));
    if (!served) log::error("network card {} does not start: {}", number, served.error());
    all.self.stop(1);
    co_return {};
}

async::Task<> run() {
    Netd& all = *netd;
    co_await open_first_card();
    all.resolver.emplace(all.host, net::SecretKey{os::secret(all.self.settings().seed)});
    co_await all.resolver->enter();
    co_await all.self.loop().spawn("timers", [&] { return all.host.run_timers(); });
    co_await all.self.loop().spawn("addresses", [&] {
        return configure_addresses(all.host, all.self.settings(), *all.states[0]);
    });
    NetService& net = net_service.make(
        "net",
        interfaces::socket::contract,
        all.host,
        os::Service::Limits{
            .sessions = applications_max,
            .task_bytes = session_task_bytes,
            .calls_at_a_time = session_calls
        }
    );
    co_await os::offer(all.self, net);
    ControlService& control = control_service.make(
        "netctl", interfaces::netctl::contract, all, os::Service::Limits{.sessions = shells_max}
    );
    co_await os::offer(all.self, control);
    RoutesService& routes = routes_service.make(
        "routes", interfaces::routes::contract, all, os::Service::Limits{.sessions = 1}
    );
    co_await os::offer(all.self, routes);
    RawService& raw = raw_service.make(
        "raw", interfaces::raw::contract, all.host, os::Service::Limits{.sessions = raw_max}
    );
    co_await os::offer(all.self, raw);
    if (all.guest != nullptr) co_await all.guest->start();
    co_await all.self.loop().spawn("next card", [&] { return open_card(1); });
    // Its packets were in memory that went with the card's end of it: who starts us again starts
    // with an empty stack (usr/init/manifest).
    co_await all.cards[0]->gone();
    log::error("the network card has gone");
    co_return {};
}

} // namespace

int serve(os::Domain& self, MakeFirstCard first, Guest* guest) {
    netd.make(self, first, guest);
    if (const auto started = self.loop().spawn("netd", [&] { return os::lasting(self, run()); });
        !started) {
        log::error("netd cannot start: {}", started.error());
        return 1;
    }
    return self.serve();
}

} // namespace netd
