// Started by the PCI service for the second card, if PLACE=nic.1:peer says so.
#include "lib/async/loop.hpp"
#include "lib/os/immortal.hpp"
#include "tests/model/checks.hpp"
#include "tests/model/usr/peer/requests.hpp"

namespace {

using namespace peer;

constexpr uint32_t last_byte = 99; // of our address, in the other machine's network

os::Immortal<World> world;
constinit Results results;

/// Before there is an event loop: nothing else of this domain runs.
Result<> run(os::Domain& self) {
    const Cmdline& settings = self.settings();
    if (!settings.ip) return fail(Err::bad_argument);
    const net::Ipv4Address whom{settings.ip->address};
    const net::Ipv4Address ours{(whom.bits() & ~uint32_t{0xff}) | last_byte};
    const Order order = TRY(Order::parse(settings.count));
    TRY_VOID(world.make().open(self, {ours, 24}));
    return measure(*world, whom, order, results);
}

async::Task<> print(os::Domain& self) {
    log::info("row check=sent: sent={} received={}", results.sent, results.received);
    for (const Figure& f : results.all())
        log::info(
            "row {}={} samples={} each={}:",
            f.what == "empty" ? "check" : "what",
            f.what,
            f.samples,
            f.each
        );
    log::info("peer done");
    co_await os::log_written(self, os::now() + seconds(5));
    self.stop(0);
    co_return {};
}

} // namespace

int domain_main(os::Domain& self) {
    if (const auto done = run(self); !done) {
        log::error("peer cannot measure: {}", done.error());
        return 1;
    }
    if (!self.loop().spawn("rows", [&] { return print(self); })) return 1;
    return self.serve();
}
