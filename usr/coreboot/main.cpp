// Starts every other core of the machine when it is started itself, and any single one when it is
// asked to (lib/interfaces/coreboot.if).
#include "interfaces/coreboot.hpp"
#include "lib/base/log.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/immortal.hpp"
#include "usr/coreboot/starter.hpp"

namespace {

namespace api = interfaces::coreboot;
using coreboot::Starter;
using os::CoreState;

/// One client of the service.
class Client {
  public:
    Client(os::Session&, Starter& starter) : starter_{starter} {}

    async::Task<> start(api::StartArguments a) {
        co_await starter_.start(a.which);
        co_await starter_.comes_up(a.which, os::now() + starter_.patience());
        co_return {};
    }

  private:
    Starter& starter_;
};

using Service = os::ServiceOf<Client, api::ServerSide<Client>, Starter>;

constinit os::Immortal<Starter> the_starter;
constinit os::Immortal<Service> the_service;

bool began(CoreId core, Result<> started) {
    if (!started) log::error("core {} cannot be started: {}", core, started.error());
    return started.has_value();
}

/// Its parent starts it; if that one is not there, or cannot, this core does.
async::Task<bool> look_after(Starter& starter, CoreId core) {
    const CoreId parent = starter.tree().parent(core);
    CoreState state = os::state_of(core);
    if (os::state_of(parent) == CoreState::up)
        state = co_await os::core_rests(core, os::now() + starter.patience() * 2);
    if (state != CoreState::absent) co_return state == CoreState::up;
    const Instant deadline = os::now() + starter.patience();
    if (co_await os::core_rests(parent, deadline) != CoreState::up) starter.take_back(parent);
    if (!began(core, starter.start_tree(core))) co_return false;
    const auto came = co_await async::result_of(starter.comes_up(core, deadline));
    co_return came.has_value();
}

/// Along the tree: whoever is up starts those below it.
async::Task<unsigned> start_tree(Starter& starter) {
    starter.reserve_for_children();
    co_await starter.start_children();
    unsigned up = 1;
    for (unsigned i = 1; i < starter.core_count(); ++i)
        if (co_await look_after(starter, {{static_cast<uint8_t>(i)}})) ++up;
    co_return up;
}

/// All by this core, at once or one after the other.
async::Task<unsigned> start_each(Starter& starter, bool at_once) {
    std::array<bool, 256> on_its_way{};
    unsigned up = 1;
    for (unsigned i = 1; i < starter.core_count(); ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        on_its_way[i] = began(core, starter.start(core));
        if (at_once || !on_its_way[i]) continue;
        const Instant deadline = os::now() + starter.patience();
        if (co_await async::result_of(starter.comes_up(core, deadline))) ++up;
    }
    const Instant deadline = os::now() + starter.patience();
    for (unsigned i = 1; at_once && i < starter.core_count(); ++i) {
        if (!on_its_way[i]) continue;
        const CoreId core{{static_cast<uint8_t>(i)}};
        if (co_await async::result_of(starter.comes_up(core, deadline))) ++up;
    }
    co_return up;
}

async::Task<> start_all(Starter& starter, CoreStart order) {
    const Instant begin = os::now();
    const unsigned up = order == CoreStart::tree
                            ? co_await start_tree(starter)
                            : co_await start_each(starter, order == CoreStart::flat);
    const auto took = (os::now() - begin).ms();
    log::info("cores {} of {} are up after {} ms", up, starter.core_count(), took);
    co_return {};
}

Result<> run(os::Domain& self) {
    Starter& starter = the_starter.make(self, TRY(self.find_given("memory")));
    TRY_VOID(starter.prepare());
    const CoreStart order = self.settings().start.value_or(CoreStart::tree);
    TRY_VOID(self.loop().spawn("start of the cores", [&] { return start_all(starter, order); }));
    std::array<char, 16> name;
    const std::string_view text = format_to(name, "coreboot.{}", self.core());
    return os::offer(self, the_service.make(text, api::contract, starter));
}

} // namespace

int domain_main(os::Domain& self) {
    if (const auto done = run(self); !done) {
        log::error("cores cannot be started: {}", done.error());
        return 1;
    }
    return self.serve();
}
