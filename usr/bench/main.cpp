// Counts instructions of everything a domain does, when the setting `count=bench...` asks for it,
// and prints a line for each figure. tools/counts.py reads them. One image in several roles: the
// argument names that of a peer.
#include "lib/async/loop.hpp"
#include "lib/base/format.hpp"
#include "lib/base/log.hpp"
#include "lib/os/immortal.hpp"
#include "usr/bench/figures.hpp"

namespace {

using namespace bench;

constinit os::Immortal<Harness> harness;
constinit os::Immortal<Peers> peers;

/// Before there is an event loop: nothing else of this domain runs.
Result<> measure(os::Domain& self) {
    const os::CapSlot memory = TRY(self.find_given("memory"));
    peers.make(TRY(self.find_given("launch")));
    TRY_VOID(peers->begin());
    harness.make(TRY(Order::parse(self.settings().count)));
    harness->calibrate();
    measure_primitives(*harness);
    measure_stubs(*harness);
    tell(*harness, "threads", measure_threads(self, *harness));
    measure_domains(*harness, *peers);
    measure_servers(*harness, *peers, memory);
    measure_capabilities(*harness, memory);
    return {};
}

/// By the clock, in the order in which they were taken: statistics are the host's affair.
void print_samples(std::string_view id, std::span<const uint64_t> samples) {
    constexpr size_t a_line = 10;
    while (!samples.empty()) {
        std::array<char, 160> text;
        TextWriter line{text};
        const size_t count = std::min(samples.size(), a_line);
        for (const uint64_t sample : samples.first(count))
            format(line, " {}", sample);
        log::info("taken figure={}:{}", id, line.text());
        samples = samples.subspan(count);
    }
}

void print() {
    for (const Harness::Failure& f : harness->failures())
        log::warn("{} could not be measured: {}", f.id, f.why);
    for (const Summary& s : harness->results())
        log::info("count {} {} {} {} {}", s.id, s.samples, s.median, s.mean, s.worst);
    if (!harness->only().empty()) print_samples(harness->only(), harness->samples());
    log::info("bench done");
}

/// One of them a boot: their peers offer the same name, and a core that was stopped has none.
async::Task<> measure_between_cores(os::Domain& self) {
    if (harness->wants("lent_revoke"))
        tell(*harness, "lent_revoke", co_await async::result_of(measure_lending(self, *harness)));
    else if (harness->wants("core_stop") || harness->wants("core_start"))
        tell(*harness, "cores", co_await async::result_of(measure_cores(self, *harness)));
    else
        tell(
            *harness,
            "channel_call_remote",
            co_await async::result_of(measure_remote(self, *harness))
        );
    co_return {};
}

async::Task<> measure_the_rest(os::Domain& self) {
    if (self.core_count() == 1) {
        if (harness->wants("channel_call"))
            tell(
                *harness,
                "channel_call",
                co_await async::result_of(measure_binding(self, *harness, *peers))
            );
    } else {
        co_await measure_between_cores(self);
    }
    print();
    co_return {};
}

} // namespace

int domain_main(os::Domain& self) {
    if (!self.arguments().empty()) return be_peer(self, self.arguments());
    if (const auto done = measure(self); !done) {
        log::error("bench cannot measure: {}", done.error());
        return 1;
    }
    if (!self.loop().spawn("figures", [&] { return measure_the_rest(self); })) return 1;
    return self.serve();
}
