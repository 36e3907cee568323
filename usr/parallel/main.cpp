// A program on several cores. Arguments: how many cores at most (all), then "stay" to wait at the
// end instead of ending.
#include "lib/base/cmdline.hpp"
#include "lib/base/log.hpp"
#include "lib/base/mark.hpp"
#include "lib/os/manifest.hpp"
#include "lib/os/span/span.hpp"
#include "usr/parallel/work.hpp"

namespace {

using namespace parallel;

bool check(std::string_view what, bool (*work)()) {
    const bool right = work();
    log::info("{} on {} cores: {}", what, os::worker_count(), right ? "right" : "wrong");
    return right;
}

/// Every core has written to a page that then goes.
Result<> measure_unmap() {
    constexpr int samples = 5;
    for (int i = 0; i < samples; ++i) {
        const MutableBytes page = TRY(os::map_shared(page_bytes));
        {
            std::array<os::Thread, 64> touching;
            for (uint32_t w = 0; w < os::worker_count(); ++w)
                touching[w] = TRY(os::Thread::create_on(w, [page, w] { page[w] = std::byte{1}; }));
        }
        mark<16>();
        const bool dirty = TRY(os::unmap_shared(page));
        mark<17>();
        if (i + 1 < samples) continue;
        const uint32_t messages = TRY(os::messages_of_last_cut());
        log::info(
            "unmap on {} cores: {} messages, {}",
            os::worker_count(),
            messages,
            dirty ? "dirty" : "clean"
        );
    }
    return {};
}

int program() {
    bool right = check("sum", sum);
    right &= check("product", product);
    right &= check("primes", primes);
    right &= check("waves", waves);
    right &= check("rights", rights);
    right &= check("interruptions", interruptions);
    right &= check("registers", registers);
    right &= check("group", act_as_one);
    if (const auto done = measure_unmap(); !done)
        log::error("unmap could not be measured: {}", done.error());
    log::info("parallel done: {}", right ? "right" : "wrong");
    std::string_view arguments = os::program_arguments();
    (void)os::take_word(arguments);
    if (os::take_word(arguments) == "stay") {
        os::Mutex mutex;
        os::Condition never;
        os::Lock lock{mutex};
        never.wait(lock, [] { return false; });
    }
    return right ? 0 : 1;
}

} // namespace

int domain_main(os::Domain& self) {
    parallel::know_machine();
    std::string_view arguments = self.arguments();
    const auto cores = parse_number(os::take_word(arguments), 64);
    return os::run_spanning(self, {.cores = cores ? static_cast<unsigned>(*cores) : 64}, program);
}
