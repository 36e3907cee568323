// usr/httpd/main.cpp — the web server as a domain.
#include <optional>

#include "interfaces/socket.hpp"
#include "lib/base/log.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/lasting.hpp"
#include "lib/os/socket.hpp"
#include "usr/httpd/server.hpp"

namespace http {
namespace {

struct Httpd {
    explicit Httpd(os::Domain& in) : self{in}, binding{in}, server{in} {}

    os::Domain& self;
    os::Binding binding;
    Server server;
    std::optional<interfaces::socket::Client> client;
    std::optional<os::Network> network;
};

os::Immortal<Httpd> httpd;

async::Task<> run() {
    Httpd& all = *httpd;
    co_await all.binding.open(
        {.name = "net",
         .contract = interfaces::socket::contract,
         .bulk_bytes = Server::chunks * Server::chunk_bytes}
    );
    all.client.emplace(all.binding.channel());
    all.network.emplace(all.self.loop(), *all.client, all.binding.bulk(), Server::chunk_bytes);
    co_await all.server.start(*all.network);
    co_await os::until_gone(all.binding);
    log::error("the network stack has gone");
    co_return {};
}

} // namespace
} // namespace http

int domain_main(os::Domain& self) {
    self.set_task_bytes(os::quota().bytes() / 4); // about a KiB a connection, 4 for a request
    http::httpd.make(self);
    if (const auto started =
            self.loop().spawn("httpd", [&] { return os::lasting(self, http::run()); });
        !started) {
        log::error("httpd cannot start: {}", started.error());
        return 1;
    }
    return self.serve();
}
