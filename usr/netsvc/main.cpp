// usr/netsvc/main.cpp — the network test services as a domain.
#include <array>
#include <optional>

#include "interfaces/socket.hpp"
#include "lib/base/log.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/lasting.hpp"
#include "lib/os/socket.hpp"
#include "usr/netsvc/agent.hpp"
#include "usr/netsvc/services.hpp"

namespace netsvc {
namespace {

struct Netsvc {
    explicit Netsvc(os::Domain& in) : self{in}, binding{in} {}

    os::Domain& self;
    os::Binding binding;
    std::optional<interfaces::socket::Client> client;
    std::optional<os::Network> network;
    std::optional<Services> services;
    std::optional<Agent> agent;
};

os::Immortal<Netsvc> netsvc;

async::Task<> run() {
    Netsvc& all = *netsvc;
    co_await all.binding.open(
        {.name = "net", .contract = interfaces::socket::contract, .bulk_bytes = chunks * chunk_bytes
        }
    );
    async::Loop& loop = all.self.loop();
    all.client.emplace(all.binding.channel());
    all.network.emplace(loop, *all.client, all.binding.bulk(), chunk_bytes);
    co_await all.services.emplace(*all.network, marks_of(all.self.settings().count)).start();
    if (all.self.settings().test)
        co_await loop.spawn("socket agent", [&] {
            return all.agent.emplace(*all.network).serve();
        });
    co_await os::until_gone(all.binding);
    log::error("the network stack has gone");
    co_return {};
}

} // namespace
} // namespace netsvc

int domain_main(os::Domain& self) {
    self.set_task_bytes(os::quota().bytes() / 2); // about a KiB a connection
    netsvc::netsvc.make(self);
    if (const auto started =
            self.loop().spawn("netsvc", [&] { return os::lasting(self, netsvc::run()); });
        !started) {
        log::error("netsvc cannot start: {}", started.error());
        return 1;
    }
    return self.serve();
}
