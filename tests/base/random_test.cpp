#include "lib/base/random.hpp"

#include <array>

#include <gtest/gtest.h>

namespace {

// The first numbers of the reference implementation (Vigna, splitmix64.c) for this seed.
TEST(Random, IsSplitMix64) {
    Random random{1234567};
    EXPECT_EQ(random.next(), 6457827717110365317u);
    EXPECT_EQ(random.next(), 3203168211198807973u);
    EXPECT_EQ(random.next(), 9817491932198370423u);
}

TEST(Random, DrawsEveryNumberBelowAndNoOther) {
    Random random{1};
    std::array<unsigned, 7> seen{};
    for (int i = 0; i < 7000; ++i)
        ++seen.at(random.draw(7));
    for (const unsigned often : seen) {
        EXPECT_GT(often, 800u);
        EXPECT_LT(often, 1200u);
    }
}

TEST(Random, SeedsThatFollowEachOtherShareNothing) {
    Random one{41}, other{42};
    unsigned same = 0;
    for (int i = 0; i < 1000; ++i)
        same += one.draw(16) == other.draw(16) ? 1 : 0;
    EXPECT_LT(same, 120u);
    EXPECT_GT(same, 20u);
}

TEST(Random, PicksFromAList) {
    Random random{3};
    constexpr std::array<int, 3> list{5, 6, 7};
    std::array<unsigned, 8> seen{};
    for (int i = 0; i < 100; ++i)
        ++seen.at(static_cast<size_t>(random.one_of<int>(list)));
    EXPECT_EQ(seen[5] + seen[6] + seen[7], 100u);
    EXPECT_GT(seen[5] * seen[6] * seen[7], 0u);
}

} // namespace
