// An ordinary client of a server that breaks every rule: each call ends with an error, and the next
// binding is as good as the first.
#include "interfaces/trap.hpp"
#include "lib/async/loop.hpp"
#include "lib/base/log.hpp"
#include "lib/os/channel.hpp"

namespace {

namespace trap = interfaces::trap;

struct Listener {
    void note(const trap::NoteArguments&) { ++notes; }

    uint32_t notes{};
};

constinit Listener listener;
constinit trap::ClientSide<Listener> side{listener};

/// One call over a binding of its own.
async::Task<> ask(os::Domain& self, trap::Trouble what) {
    os::Binding link{self};
    co_await link.open({.name = "trap", .contract = trap::contract, .events = &side});
    trap::Client client{link.channel()};
    const auto answer = co_await async::result_of(client.ask(what));
    log::info(
        "trouble {}: {}, channel {}",
        static_cast<uint32_t>(what),
        answer ? "answered" : text_of(answer.error().top()),
        link.is_open() ? "open" : text_of(link.channel().closed_because())
    );
    co_return {};
}

async::Task<> run(os::Domain& self) {
    for (uint32_t i = 0; i <= static_cast<uint32_t>(trap::Trouble::silence_and_death); ++i)
        co_await ask(self, trap::Trouble(i));
    log::info("heard {} notes, all troubles met", listener.notes);
    co_await self.loop().sleep_for(milliseconds(50));
    self.stop(0);
    co_return {};
}

/// Bound, and waiting for its answer, until it is killed.
async::Task<> stay(os::Domain& self) {
    os::Binding link{self};
    co_await link.open({.name = "trap", .contract = trap::contract, .events = &side});
    trap::Client client{link.channel()};
    (void)co_await async::result_of(client.ask(trap::Trouble::none));
    co_await self.loop().sleep_for(seconds(3600));
    co_return {};
}

} // namespace

int domain_main(os::Domain& self) {
    const bool stays = self.arguments() == "stay";
    return self.loop().spawn("honest", [&] { return stays ? stay(self) : run(self); })
               ? self.serve()
               : 1;
}
