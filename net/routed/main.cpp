// net/routed/main.cpp — owns the routing table and writes it to the stack's replica. Whenever the
// stack says that something has changed, or the shell asks for something, both are compared anew:
// so it does not matter which of them was started again.
#include "interfaces/routed.hpp"
#include "interfaces/routes.hpp"
#include "lib/async/sync.hpp"
#include "lib/base/bundle.hpp"
#include "lib/base/log.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/lasting.hpp"
#include "lib/os/memory.hpp"
#include "net/routed/config.hpp"
#include "net/routed/table.hpp"

namespace routed {
namespace {

namespace api = interfaces::routed;
namespace stack = interfaces::routes;

/// `changed` of the stack.
class Changes {
  public:
    explicit Changes(async::Loop& loop) : event_{loop} {}

    void changed() { event_.set(); }

    /// Who waits for news looks whether the channel is still open.
    void closed(rpc::Channel&, Err) { event_.set(); }

    async::Event& event() { return event_; }

  private:
    async::Event event_;
};

class Routed {
  public:
    explicit Routed(os::Domain& self)
        : self_{self}, changes_{self.loop()}, side_{changes_}, link_{self},
          one_writer_{self.loop(), 1} {}

    /// Follows the stack until it goes.
    async::Task<> run();
    async::Task<> serve();

    // -- for the shell's sessions --

    const Table& table() const { return table_; }

    async::Task<> add(net::Ipv4Prefix destination, net::Ipv4Address gateway) {
        co_await table_.add(destination, gateway);
        co_await write();
        co_return {};
    }

    async::Task<> remove(net::Ipv4Prefix destination) {
        co_await table_.remove(destination);
        co_await write();
        co_return {};
    }

    async::Task<> set_address(uint32_t link, net::Ipv4Prefix address) {
        stack::Client client{link_.channel()};
        co_await client.set_address(link, address.address.octets(), address.length);
        co_return {};
    }

  private:
    Result<> read_file();
    async::Task<> set_addresses();
    async::Task<> learn();
    async::Task<> write();
    async::Task<> take(Step step);

    os::Domain& self_;
    Changes changes_;
    stack::ClientSide<Changes> side_;
    os::Binding link_;
    async::Semaphore one_writer_;
    Table table_;
    Few<AddressLine, links_max> addresses_; // of the file, until their link has come
    size_t links_{};
};

Result<> Routed::read_file() {
    const os::CapSlot slot = TRY(self_.find_given("bundle"));
    const os::Description what = TRY(os::describe(slot));
    const os::View view = TRY(os::View::make(slot, 0, what.bytes, abi::read));
    const auto files = TRY(bundle::Bundle::parse(view.span()));
    const Bytes file = TRY(files.find("routes")).data;
    const void* const start = file.data();
    const std::string_view text{static_cast<const char*>(start), file.size()};
    const auto take = [&](const Line& line) {
        Result<> taken;
        if (const auto* address = std::get_if<AddressLine>(&line)) taken = addresses_.add(*address);
        if (const auto* route = std::get_if<RouteLine>(&line))
            taken = table_.add(route->destination, route->gateway);
        if (!taken) log::warn("a line of routes is left out: {}", taken.error());
    };
    parse_config(text, take, [](unsigned line) { log::warn("routes: line {} is unclear", line); });
    return {};
}

/// What the file says of links that have come.
async::Task<> Routed::set_addresses() {
    for (const AddressLine& line : addresses_.entries()) {
        if (line.link >= links_ || table_.has_address(line.link)) continue;
        const auto set = co_await async::result_of(set_address(line.link, line.address));
        if (!set) log::warn("link {} does not take its address: {}", line.link, set.error());
    }
    addresses_.remove_if([&](const AddressLine& line) { return line.link < links_; });
    co_return {};
}

async::Task<> Routed::learn() {
    stack::Client client{link_.channel()};
    std::array<LinkState, links_max> states;
    for (links_ = 0; links_ < links_max; ++links_) {
        const auto link = co_await async::result_of(client.link(static_cast<uint32_t>(links_)));
        if (!link) break;
        states[links_] = {
            {net::Ipv4Address{link->ip}, link->prefix}, net::Ipv4Address{link->gateway}, link->up
        };
    }
    table_.learn(std::span{states}.first(links_));
    co_return {};
}

async::Task<> Routed::take(Step step) {
    stack::Client client{link_.channel()};
    const Route& route = step.route;
    const auto destination = route.destination.address.octets();
    if (step.what == Step::What::remove) {
        co_await client.remove_route(destination, route.destination.length);
    } else {
        co_await client.set_route(
            destination, route.destination.length, route.gateway.octets(), route.link
        );
    }
    co_return {};
}

/// One at a time: two would undo each other's steps.
async::Task<> Routed::write() {
    const auto alone = co_await one_writer_.acquire();
    co_await learn();
    stack::Client client{link_.channel()};
    Few<Route, routes_max> replica;
    for (uint32_t index = 0; index < routes_max; ++index) {
        const auto route = co_await async::result_of(client.route(index));
        if (!route) break;
        co_await replica.add(
            {.destination = {net::Ipv4Address{route->destination}, route->prefix},
             .gateway = net::Ipv4Address{route->gateway},
             .link = static_cast<uint8_t>(route->link)}
        );
    }
    const Table::Steps steps = table_.steps(replica.entries());
    Result<> worst; // what does not fit keeps nothing else out
    for (const Step& step : steps.entries())
        if (const auto taken = co_await async::result_of(take(step)); !taken && worst)
            worst = taken;
    co_await client.set_forwarding(table_.forwards());
    co_await worst;
    co_return {};
}

async::Task<> Routed::run() {
    if (const auto read = read_file(); !read) log::warn("no file of routes: {}", read.error());
    co_await link_.open({.name = "routes", .contract = stack::contract, .events = &side_});
    co_await serve();
    for (bool told = false;; co_await changes_.event().wait()) {
        const auto written = co_await async::result_of(write());
        if (written) co_await async::result_of(set_addresses());
        if (!link_.is_open()) break;
        if (!written) log::warn("the routing table could not be written: {}", written.error());
        if (written && !told) log::info("routing table written: {} routes", table_.routes().size());
        told |= written.has_value();
    }
    log::error("the network stack has gone");
    co_return {};
}

/// The shell.
class Session {
  public:
    Session(os::Session&, Routed& routed) : routed_{routed} {}

    async::Task<api::RouteResult> route(api::RouteArguments a) {
        const auto routes = routed_.table().routes();
        if (a.index >= routes.size()) co_await fail(Err::not_found);
        const Route& route = routes[a.index];
        co_return api::RouteResult{
            route.destination.address.octets(),
            route.destination.length,
            route.gateway.octets(),
            route.link,
            static_cast<api::Source>(route.source),
            route.used
        };
    }

    async::Task<> add(api::AddArguments a) {
        return routed_.add(
            {net::Ipv4Address{a.destination}, a.prefix}, net::Ipv4Address{a.gateway}
        );
    }

    async::Task<> remove(api::RemoveArguments a) {
        return routed_.remove({net::Ipv4Address{a.destination}, a.prefix});
    }

    async::Task<> set_address(api::SetAddressArguments a) {
        return routed_.set_address(a.link, {net::Ipv4Address{a.ip}, a.prefix});
    }

  private:
    Routed& routed_;
};

using Service = os::ServiceOf<Session, api::ServerSide<Session>, Routed>;

os::Immortal<Routed> routed;
os::Immortal<Service> service;

async::Task<> Routed::serve() {
    Service& made = service.make(
        "routed", api::contract, *this, os::Service::Limits{.sessions = 4, .task_bytes = 32 * 1024}
    );
    co_await os::offer(self_, made);
    co_return {};
}

} // namespace
} // namespace routed

int domain_main(os::Domain& self) {
    self.set_task_bytes(64 * 1024);
    routed::routed.make(self);
    if (const auto started =
            self.loop().spawn("routed", [&] { return os::lasting(self, routed::routed->run()); });
        !started) {
        log::error("routed cannot start: {}", started.error());
        return 1;
    }
    return self.serve();
}
