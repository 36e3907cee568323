// Threads of an experiment, one on each core of a machine, that begin each part in one instant of
// the model; who has no part in it sleeps.
#pragma once

#include <atomic>

#include "lib/os/model.hpp"
#include "lib/os/span/span.hpp"

namespace experiments {

/// Turns of polling, which the counting plugin tells from work; calls nothing else.
[[gnu::section(".text.poll"), gnu::noinline]] inline bool
comes_to(const std::atomic<uint64_t>& number, uint64_t wanted) {
    for (int turns = 4000; turns > 0; --turns) {
        // acquire: pairs with whoever publishes by that number
        if (number.load(std::memory_order_acquire) >= wanted) return true;
        __builtin_ia32_pause();
    }
    return false;
}

/// In memory that all cores see; zeroed, but for the number of members.
struct Team {
    explicit Team(uint32_t all) : members{all}, barrier{all} {}

    /// Everybody's, as often as anybody's: all sleep until the last has come, then begin together.
    /// Whoever waits in `align` holds its core still, with what that core owes to others (it wakes
    /// them), so everybody is awake before.
    void align() {
        barrier.wait();
        // acq_rel: only the number counts, the barrier has published the rest
        const uint64_t mine = ready.fetch_add(1, std::memory_order_acq_rel);
        while (!comes_to(ready, mine / members * members + members))
            os::scheduler().rest();
        os::model::align(members);
    }

    uint32_t members;
    os::Barrier barrier;
    alignas(64) std::atomic<uint64_t> ready;
};

/// `body(self)` on each of the first `members` cores; returns when all have.
template <class Body>
Result<> on_each(uint32_t members, Body body) {
    std::array<os::Thread, 64> others;
    for (uint32_t w = 1; w < members; ++w)
        others[w] = TRY(os::Thread::create_on(w, [body, w] { body(w); }));
    body(0);
    return {};
}

} // namespace experiments
