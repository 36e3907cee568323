// Argument: `copies` or `timers`.
#include "lib/async/loop.hpp"
#include "lib/base/cmdline.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/manifest.hpp"
#include "tests/model/usr/local/subjects.hpp"

namespace {

using namespace local;

constinit Figures figures;
constinit experiments::Checks checks;

/// Before there is an event loop: nothing else of this domain runs.
Result<> measure(std::string_view subject) {
    checks.measure();
    return subject == "timers" ? measure_timers(figures) : measure_copies(figures);
}

/// The log has room for all of them.
async::Task<> print(os::Domain& self) {
    checks.print();
    for (const Figure& f : figures.all())
        log::info(
            "row kind={} operation={} size={} samples={}: cycles={}",
            f.kind,
            f.operation,
            f.size,
            f.taken.samples,
            f.taken.cycles
        );
    log::info("local done");
    co_await os::log_written(self, os::now() + seconds(5));
    self.stop(0);
    co_return {};
}

} // namespace

int domain_main(os::Domain& self) {
    std::string_view arguments = self.arguments();
    if (const auto done = measure(os::take_word(arguments)); !done) {
        log::error("local cannot measure: {}", done.error());
        return 1;
    }
    if (!self.loop().spawn("rows", [&] { return print(self); })) return 1;
    return self.serve();
}
