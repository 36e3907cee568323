// What a domain of an experiment measures besides its subject, and how it takes samples: each
// between markers 16 and 17 for the counting plugin, and by the clock for the model.
// docs/experiments says what the rows look like.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "lib/base/log.hpp"
#include "lib/base/mark.hpp"
#include "lib/os/instructions.hpp"
#include "lib/os/logging.hpp"
#include "lib/os/threads/scheduler.hpp"

namespace experiments {

constexpr unsigned most_samples = 64;

/// A line of the log, when there is room for it: rows come faster than the console takes them.
template <class... Args>
void say(Format<Args...> text, const Args&... args) {
    while (os::log_ring().used() > os::LogRing::capacity / 2)
        os::scheduler().rest();
    log::info(text, args...);
}

struct Sampled {
    unsigned samples{};
    uint64_t cycles{}; // median
};

/// `op` so many times, after one that does not count; `after` brings back what was before.
template <class Op, class After>
Sampled take(unsigned samples, Op&& op, After&& after) {
    std::array<uint64_t, most_samples> taken{};
    samples = std::clamp(samples, 1u, most_samples);
    for (unsigned i = 0; i <= samples; ++i) {
        if (i > 0) mark<16>();
        const uint64_t begun = os::read_tsc();
        op();
        const uint64_t passed = os::read_tsc() - begun;
        if (i > 0) {
            mark<17>();
            taken[i - 1] = passed;
        }
        after();
    }
    const std::span mine = std::span{taken}.first(samples);
    std::ranges::sort(mine);
    return {samples, mine[samples / 2]};
}

template <class Op>
Sampled take(unsigned samples, Op&& op) {
    return take(samples, op, [] {});
}

/// Nothing, and a thousand NOPs: what the harness itself costs, and whether it counts right. They
/// are measured first and printed first.
struct Checks {
    void measure() {
        constexpr unsigned samples = 7;
        empty = take(samples, [] {});
        nops = take(samples, [] { asm volatile(".rept 1000\n\tnop\n\t.endr"); });
    }

    void print() const {
        say("row check=empty samples={}: cycles={}", empty.samples, empty.cycles);
        say("row check=nops samples={}: cycles={}", nops.samples, nops.cycles);
    }

    Sampled empty, nops;
};

/// Every message that left has come.
inline void print_sent(uint64_t sent, uint64_t received) {
    say("row check=sent: sent={} received={}", sent, received);
}

} // namespace experiments
