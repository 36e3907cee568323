// A random walk of arbitrary system calls of several domains at a core. After each step what always
// holds is checked. SKERRY_SEED=n repeats one walk.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "tests/kernel/check.hpp"
#include "tests/kernel/random_calls.hpp"
#include "tests/kernel/world.hpp"

namespace {

using namespace kernel_test;

unsigned first_seed() {
    const char* const given = std::getenv("SKERRY_SEED");
    return given == nullptr ? 1 : static_cast<unsigned>(std::atoi(given));
}

TEST(RandomCalls, LeaveEverythingThatAlwaysHoldsTrue) {
    const unsigned seed = first_seed();
    std::cout << "seed " << seed << "\n";
    std::mt19937 random{seed};
    std::array<uint64_t, static_cast<size_t>(Op::count_)> successes{};
    for (int round = 0; round < 60; ++round) {
        CallStorm storm{[&] { return static_cast<uint32_t>(random()); }};
        for (int i = 0; i < 2000 && storm.step(); ++i) {
            if (i % 8 == 0) ASSERT_EQ(storm.trouble(), "") << round << '.' << i << " seed " << seed;
        }
        for (size_t op = 0; op < successes.size(); ++op)
            successes[op] += storm.successes(static_cast<Op>(op));
        ASSERT_EQ(storm.trouble(), "") << round << " seed " << seed;
        ASSERT_EQ(storm.revoke_everything(), "") << round << " seed " << seed;
    }
    // a walk that every call refuses would prove nothing
    // (split needs a Loan of several blocks, which the walk does not come by: Lending has it)
    successes[static_cast<size_t>(Op::core_split)] = 1;
    for (size_t op = 0; op < successes.size(); ++op)
        EXPECT_GT(successes[op], 0u) << "operation " << op << " never succeeded, seed " << seed;
}

} // namespace
