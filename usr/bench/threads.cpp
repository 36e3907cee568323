// Threads of one dispatcher, measured from one of them.
#include "usr/bench/figures.hpp"

#include "lib/os/threads/program.hpp"

namespace bench {
namespace {

void measure_from_thread(Harness& harness) {
    harness.measure("thread_create_join", [] {
        auto thread = os::Thread::create([] {});
        if (thread) thread->join();
    });
    // Two threads: each of us yields once.
    bool over = false;
    auto other = os::Thread::create([&over] {
        while (!over)
            os::scheduler().yield();
    });
    if (!other) return harness.failed("two_yields", other.error());
    harness.measure("two_yields", [] { os::scheduler().yield(); });
    over = true;
}

} // namespace

Result<> measure_threads(os::Domain& self, Harness& harness) {
    os::begin_threads(self);
    auto first = TRY(os::Thread::create([&harness] { measure_from_thread(harness); }));
    first.detach();
    while (os::scheduler().run()) {
    }
    return {};
}

} // namespace bench
