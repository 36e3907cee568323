// A core that leaves the machine and comes back: the last one, on which nothing else runs.
#include "lib/os/cores.hpp"
#include "interfaces/coreboot.hpp"
#include "lib/base/format.hpp"
#include "lib/os/spawners.hpp"
#include "usr/bench/figures.hpp"

namespace bench {
namespace {

class LastCore {
  public:
    explicit LastCore(os::Domain& self)
        : self_{self}, core_{{static_cast<uint8_t>(self.core_count() - 1)}}, boot_{self} {}

    async::Task<> open() {
        std::array<char, 16> text;
        const std::string_view name = format_to(text, "coreboot.{}", self_.core());
        co_await boot_.open({.name = name, .contract = interfaces::coreboot::contract});
        co_await is(os::CoreState::up); // all cores start on their own at boot
        co_return {};
    }

    async::Task<> stop() {
        os::Binding link{self_};
        auto spawner = co_await os::bind_spawner(self_, link, core_);
        // Its end is also the end of who would answer.
        (void)co_await async::result_of(spawner.leave());
        co_await is(os::CoreState::stopped);
        co_return {};
    }

    async::Task<> start() {
        co_await interfaces::coreboot::Client{boot_.channel()}.start(core_);
        co_return {};
    }

  private:
    async::Task<> is(os::CoreState wanted) {
        const Instant deadline = os::now() + os::patience_of(self_.core_count());
        if (co_await os::core_becomes(core_, wanted, deadline) != wanted)
            co_await fail(Err::timed_out);
        co_return {};
    }

    os::Domain& self_;
    CoreId core_;
    os::Binding boot_;
};

} // namespace

async::Task<> measure_cores(os::Domain& self, Harness& harness) {
    LastCore core{self};
    co_await core.open();
    if (harness.begin("core_stop")) {
        while (harness.more()) {
            harness.start();
            co_await core.stop();
            harness.stop();
            co_await core.start();
        }
        harness.finish();
    }
    if (harness.begin("core_start")) {
        while (harness.more()) {
            co_await core.stop();
            harness.start();
            co_await core.start();
            harness.stop();
        }
        harness.finish();
    }
    co_return {};
}

} // namespace bench
