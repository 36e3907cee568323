// Starts every other core of the machine when it is started itself, and any single one when it is
// asked to (lib/interfaces/coreboot.if). All are started before any is waited for.
#include "interfaces/coreboot.hpp"
#include "lib/base/log.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/immortal.hpp"
#include "usr/coreboot/starter.hpp"

namespace {

namespace api = interfaces::coreboot;
using coreboot::Starter;

/// One client of the service.
class Client {
  public:
    Client(os::Session&, Starter& starter) : starter_{starter} {}

    async::Task<> start(api::StartArguments a) {
        co_await starter_.start(a.which);
        co_await starter_.comes_up(a.which, os::now() + coreboot::patience);
        co_return {};
    }

  private:
    Starter& starter_;
};

using Service = os::ServiceOf<Client, api::ServerSide<Client>, Starter>;

constinit os::Immortal<Starter> the_starter;
constinit os::Immortal<Service> the_service;

async::Task<> start_all(Starter& starter) {
    std::array<bool, 256> starts{};
    const Instant begin = os::now();
    for (unsigned i = 1; i < starter.core_count(); ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        const auto started = starter.start(core);
        starts[i] = started.has_value();
        if (!started) log::error("core {} cannot be started: {}", core, started.error());
    }
    const Instant deadline = os::now() + coreboot::patience;
    unsigned up = 1;
    for (unsigned i = 1; i < starter.core_count(); ++i) {
        if (!starts[i]) continue;
        const CoreId core{{static_cast<uint8_t>(i)}};
        if (co_await async::result_of(starter.comes_up(core, deadline))) ++up;
    }
    const auto took = (os::now() - begin).ms();
    log::info("cores {} of {} are up after {} ms", up, starter.core_count(), took);
    co_return {};
}

Result<> run(os::Domain& self) {
    Starter& starter = the_starter.make(self, TRY(self.find_given("memory")));
    TRY_VOID(starter.prepare());
    TRY_VOID(self.loop().spawn("start of the cores", start_all(starter)));
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
