// Computes for as many milliseconds as its argument says, above the drivers of its core (its
// priority is in usr/init/manifest): they do not run meanwhile.
#include "lib/base/cmdline.hpp"
#include "lib/base/log.hpp"
#include "lib/os/domain.hpp"

int domain_main(os::Domain& self) {
    constexpr uint64_t most_ms = 60'000;
    const auto wanted = parse_number(self.arguments(), most_ms);
    if (!wanted) return 1;
    const Instant until = os::now() + milliseconds(static_cast<int64_t>(*wanted));
    while (os::now() < until)
        __builtin_ia32_pause();
    log::info("has had its time");
    return 0;
}
