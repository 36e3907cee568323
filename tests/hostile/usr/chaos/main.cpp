// A domain that does its worst: `chaos COUNT SEED`. Without a seed it takes the clock's.
#include "lib/base/cmdline.hpp"
#include "lib/base/format.hpp"
#include "lib/os/fault.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/instructions.hpp"
#include "tests/hostile/usr/chaos/channels.hpp"
#include "tests/hostile/usr/chaos/storm.hpp"

namespace {

constexpr uint64_t default_count = 20'000, calls_a_turn = 64;

struct Chaos {
    Chaos(os::Domain& domain, uint64_t seed, uint64_t calls)
        : self{domain}, random{seed}, count{calls}, storm{random, domain},
          channels{random, domain, storm} {}

    async::Task<> run() {
        while (storm.calls() < count) {
            for (uint64_t i = 0; i < calls_a_turn; ++i)
                storm.step();
            if (random.one_in(4)) (void)co_await async::result_of(channels.visit());
            co_await self.loop().sleep_for(microseconds(100));
        }
        std::array<char, 120> text;
        os::last_words(format_to(
            text,
            "chaos: {} calls, {} succeeded, {} channels, {} lines",
            storm.calls(),
            storm.successes(),
            channels.visits(),
            channels.lines()
        ));
        self.stop(0);
        co_return {};
    }

    os::Domain& self;
    Random random;
    uint64_t count;
    chaos::Storm storm;
    chaos::Channels channels;
};

constinit os::Immortal<Chaos> the_chaos;

} // namespace

int domain_main(os::Domain& self) {
    std::string_view arguments = self.arguments();
    const uint64_t count = parse_number(take_until(arguments, ' ')).value_or(default_count);
    const uint64_t seed = parse_number(take_until(arguments, ' ')).value_or(os::read_tsc());
    // The log is told later, which may be too late.
    std::array<char, 64> text;
    os::last_words(format_to(text, "chaos: seed {}, {} calls", seed, count));
    Chaos& all = the_chaos.make(self, seed, count);
    if (!all.storm.begin()) return 1;
    if (const auto begun = self.loop().spawn("chaos", [&] { return all.run(); }); !begun) return 1;
    return self.serve();
}
