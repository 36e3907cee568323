// A program whose threads run on several cores and see one memory (docs/spanning.md).
//
//     int program() { ... os::parallel_for(0, n, 64, [&](uint64_t i) { ... }); ... return 0; }
//     int domain_main(os::Domain& self) { return os::run_spanning(self, {.cores = 4}, program); }
#pragma once

#include "lib/base/bytes.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/instructions.hpp"
#include "lib/os/threads/sync.hpp"
#include "lib/os/threads/thread.hpp"

namespace os {

struct Spread {
    unsigned cores{64}; // at most; as many as there are
    uint64_t worker_quota{2 * 1024 * 1024};
};

/// `program` runs as the first thread, on the core this domain was started on, and may make more on
/// any. Globals of the program and what threads allocate are the same on all cores; what
/// domain_main itself allocates is not. The domain ends with its result.
int run_spanning(Domain& self, const Spread& how, int (*program)());

// From threads of such a program:

uint32_t worker_count();
uint32_t this_worker();
CoreId core_of_worker(uint32_t worker);

/// The domain's argument string.
std::string_view program_arguments();

/// Fresh zeroed memory in whole pages, of the home's quota. Errors: quota, no_space, no_slots.
Result<MutableBytes> map_shared(uint64_t bytes);
/// Takes pages away from all cores: nobody sees them any more when this returns. Answers whether
/// anybody had written there. Errors: not_mapped, bad_argument.
Result<bool> unmap_shared(MutableBytes pages);
Result<bool> protect_shared(MutableBytes pages, Rights rights);
/// Messages between home and workers that the last unmap or protect of the domain took.
Result<uint32_t> messages_of_last_cut();

namespace detail {

template <class Body>
struct ParallelFor {
    void work() {
        for (;;) {
            // relaxed: only the number counts; the ends of threads publish what they did
            const uint64_t first = next.fetch_add(grain, std::memory_order_relaxed);
            if (first >= end) return;
            const uint64_t last = end - first < grain ? end : first + grain;
            for (uint64_t i = first; i < last; ++i)
                (*body)(i);
        }
    }

    const Body* body;
    std::atomic<uint64_t> next;
    uint64_t end, grain;
};

} // namespace detail

/// Calls body(i) once for each i in [begin, end), `grain` of them at a time, on all cores at once.
/// Fewer cores help when threads run out; it never fails.
template <class Body>
void parallel_for(uint64_t begin, uint64_t end, uint64_t grain, const Body& body) {
    detail::ParallelFor<Body> job{&body, {begin}, end, grain == 0 ? 1 : grain};
    std::array<Thread, 64> helpers;
    for (uint32_t w = 0; w < worker_count(); ++w) {
        if (w == this_worker()) continue;
        if (auto helper = Thread::create_on(w, [&job] { job.work(); }))
            helpers[w] = std::move(*helper);
    }
    job.work();
}

} // namespace os
