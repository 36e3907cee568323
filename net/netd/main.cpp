// net/netd/main.cpp — the network stack as a service: "net" for applications, "netctl" for the
// shell. Without a card it waits for one: nobody is served before.
#include <array>

#include "interfaces/netctl.hpp"
#include "interfaces/nic.hpp"
#include "interfaces/socket.hpp"
#include "lib/base/log.hpp"
#include "lib/base/mark.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/entropy.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/memory.hpp"
#include "net/netd/addresses.hpp"
#include "net/netd/control.hpp"
#include "net/netd/host.hpp"
#include "net/netd/nic_port.hpp"
#include "net/netd/session.hpp"

namespace netd {
namespace {

namespace nic = interfaces::nic;

constexpr size_t packet_memory_bytes = 2 * 1024 * 1024;

/// Of the quota, what one application may take: its session, and tasks for its calls.
constexpr size_t session_task_bytes = 512 * 1024;
constexpr uint32_t session_calls = 250;

/// Each of them is an owner of sockets.
constexpr uint32_t applications_max = 12, shells_max = 4;
static_assert(applications_max + shells_max <= Host::owners_max);

/// Everything of this domain that lives as long as it does.
struct Netd {
    explicit Netd(os::Domain& in) : self{in}, host{in.loop()}, card{in} {}

    os::Domain& self;
    Host host;
    InterfaceState state;
    os::Binding card;
    os::Immortal<NicPort> port;
    std::optional<os::Memory> stack_memory;
};

os::Immortal<Netd> netd;

class CardBell final : public DriverBell {
  public:
    void published() override { netd->card.channel().published_elsewhere(); }
};

/// The card's end of the stack's output, which exists before the card is known.
class CardLink final : public net::Link {
  public:
    Result<> transmit(std::span<const Bytes> pieces) override {
        if (!netd->port.made() || !netd->state.link) return fail(Err::link_down);
        return netd->port->transmit(pieces);
    }
};

class CardEvents {
  public:
    void link_changed(const nic::LinkChangedArguments& a) {
        if (netd->state.link != a.up)
            log::info("nic.0 link {} {} Mb/s", a.up ? "up" : "down", a.speed);
        netd->state.link = a.up;
        netd->state.speed = a.speed;
    }
};

constinit CardBell card_bell;
constinit CardLink card_link;
constinit CardEvents card_events;
constinit nic::ClientSide<CardEvents> card_side{card_events};

class SocketServer : public Session {
  public:
    SocketServer(os::Session& session, Host& host) : Session{host, session.bulk()} {
        if (const auto entered = enter(); !entered)
            log::warn("application of core {} refused: {}", session.client_core(), entered.error());
    }
};

class ControlServer : public control::Server {
  public:
    ControlServer(os::Session&, Netd& all) : control::Server{all.host, all.state} {
        set_port(*all.port);
        if (const auto entered = enter(); !entered)
            log::warn("netctl client refused: {}", entered.error());
    }
};

using NetService = os::ServiceOf<SocketServer, interfaces::socket::ServerSide<SocketServer>, Host>;
using ControlService =
    os::ServiceOf<ControlServer, interfaces::netctl::ServerSide<ControlServer>, Netd>;

os::Immortal<NetService> net_service;
os::Immortal<ControlService> control_service;

/// As many connections as the quota has memory for, after the card and four applications.
net::Config config_for(uint64_t free_bytes, net::MacAddress mac, std::array<uint64_t, 2> secret) {
    net::Config config;
    config.mac = mac;
    config.secret = secret;
    constexpr uint64_t aside = packet_memory_bytes + 4 * (session_task_bytes + 256 * 1024);
    const uint64_t left = free_bytes > aside ? free_bytes - aside : 0;
    if (left < 12 * 1024 * 1024) {
        config.datagram_sockets = 6;
        config.reassemblies = 4;
    }
    const uint64_t others = uint64_t{config.datagram_sockets} * config.datagram_buffer_bytes +
                            uint64_t{config.reassemblies} * 65536 + 1024 * 1024;
    const uint64_t streams = std::max<uint64_t>(left > others ? left - others : 0, 512 * 1024);
    if (streams >= 8 * 1024 * 1024) config.stream_buffer_bytes = 256 * 1024;
    config.stream_memory_bytes = streams;
    config.stream_buffers =
        static_cast<uint16_t>(std::min<uint64_t>(streams / (8192), 2 * config.connections));
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
        TRY(net::Stack::create(memory, config, card_link, all.host, all.host.now()));
    all.host.set_stack(*stack);
    log::info(
        "stack {} connections, {} KiB of buffers, each up to {} KiB, {} KiB in all",
        config.stream_buffers / 2,
        config.stream_memory_bytes / 1024,
        config.stream_buffer_bytes / 1024,
        bytes / 1024
    );
    return {};
}

/// errors   what binding to nic.0 and starting it answer
async::Task<> open_card() {
    Netd& all = *netd;
    co_await all.card.open(
        {.name = "nic.0",
         .contract = nic::contract,
         .bulk_bytes = packet_memory_bytes,
         .events = &card_side}
    );
    nic::Client client{all.card.channel()};
    const nic::DescribeResult card = co_await client.describe();
    co_await make_stack(net::MacAddress{card.address});
    all.state.link = card.link;
    all.state.speed = card.speed;
    const MutableBytes memory = all.card.bulk();
    const netq::Area area = co_await netq::Area::over(memory);
    mark_use<MarkedUse::queue>(&memory.front(), &memory.back());
    NicPort& port = all.port.make(all.host, area, card_bell);
    all.self.loop().add(port);
    port.provide_buffers();
    co_await client.start();
    co_return {};
}

async::Task<> run() {
    Netd& all = *netd;
    co_await open_card();
    co_await all.self.loop().spawn("timers", all.host.run_timers());
    co_await all.self.loop().spawn(
        "addresses", configure_addresses(all.host, all.self.settings(), all.state)
    );
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
    // Its packets were in memory that went with the card's end of it: who starts us again starts
    // with an empty stack (usr/init/manifest).
    co_await all.card.closed_signal().wait();
    log::error("the network card has gone");
    all.self.stop(1);
    co_return {};
}

} // namespace
} // namespace netd

int domain_main(os::Domain& self) {
    self.set_task_bytes(128 * 1024);
    netd::netd.make(self);
    if (const auto started = self.loop().spawn("netd", netd::run()); !started) {
        log::error("netd cannot start: {}", started.error());
        return 1;
    }
    return self.serve();
}
