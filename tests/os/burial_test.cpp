#include <gtest/gtest.h>

#include <random>

#include "tests/os/address_world.hpp"

namespace {

using namespace os_test;

// Memory that others take back.

TEST(Burial, EveryPageOfAViewThatDiedCanBeTouched) {
    World w;
    const CapSlot frame = w.kernel.foreign_frame(mib);
    const auto id = w.reserve(mib);
    ASSERT_TRUE(w.map_frame(id, 0, frame, mib));
    EXPECT_FALSE(w.map.is_dead(id));
    w.kernel.revoke(frame);
    const unsigned before = w.kernel.takings;
    for (int round = 0; round < 3; ++round)
        for (uint64_t at = 0; at < mib; at += page_bytes)
            ASSERT_TRUE(w.touch(w.begin(id) + at)) << at;
    EXPECT_TRUE(w.map.is_dead(id));
    EXPECT_EQ(w.kernel.takings, before); // so nothing can be lacking
    ASSERT_TRUE(w.touch(w.begin(id)));
    EXPECT_LT(w.kernel.walk(w.begin(id))->physical, foreign_base);
}

class BurialOf : public testing::TestWithParam<unsigned> {};

INSTANTIATE_TEST_SUITE_P(Levels, BurialOf, testing::Values(2u, 3u));

TEST_P(BurialOf, LargePagesNeedsNothingEither) {
    World w;
    w.kernel.highest = GetParam();
    const uint64_t bytes = GetParam() == 3 ? 6 * gib : 64 * mib;
    const CapSlot frame = w.kernel.foreign_frame(bytes);
    const auto id = w.reserve(bytes, gib);
    ASSERT_TRUE(w.map_frame(id, 0, frame, bytes));
    ASSERT_EQ(w.kernel.walk(w.begin(id))->level, GetParam());
    w.kernel.revoke(frame);
    const unsigned before = w.kernel.takings;
    std::mt19937_64 random{3};
    for (int i = 0; i < 5000; ++i)
        ASSERT_TRUE(w.touch(w.begin(id) + random() % bytes)) << i;
    EXPECT_EQ(w.kernel.takings, before);
    EXPECT_TRUE(w.map.is_dead(id));
    w.map.remove(id);
    const auto again = w.reserve(bytes, gib);
    ASSERT_TRUE(w.map_frame(again, 0, w.kernel.foreign_frame(bytes), bytes));
    EXPECT_EQ(w.kernel.walk(w.begin(again) + bytes - 1)->physical, foreign_base + bytes - 1);
}

TEST(Burial, AnInstructionOverFourPairsOfPagesFindsAllOfThem) {
    World w;
    const CapSlot frame = w.kernel.foreign_frame(64 * mib);
    const auto id = w.reserve(64 * mib, 2 * mib);
    ASSERT_TRUE(w.map_frame(id, 0, frame, 64 * mib));
    w.kernel.revoke(frame);
    const auto pages = [&](uint64_t first) {
        std::array<uint64_t, 6> at{}; // two that cross from one large page to the next, two more
        for (uint64_t i = 0; i < at.size(); ++i)
            at[i] =
                w.begin(id) + first + (i / 2 * 2 + 1) * 2 * mib - page_bytes + i % 2 * page_bytes;
        at[4] = w.begin(id) + first;
        at[5] = w.begin(id) + first + page_bytes;
        return at;
    };
    for (uint64_t first = 0; first < 20 * mib; first += 2 * mib) {
        for (uint64_t at : pages(first))
            ASSERT_TRUE(w.touch(at));
        for (uint64_t at : pages(first))
            EXPECT_TRUE(w.kernel.walk(at));
    }
}

TEST(Burial, KeepsToTheRightsOfTheView) {
    World w;
    const CapSlot frame = w.kernel.foreign_frame(page_bytes);
    const auto id = w.reserve(page_bytes);
    ASSERT_TRUE(w.map.map(id, 0, {frame, 0, page_bytes, abi::read}));
    w.kernel.revoke(frame);
    ASSERT_TRUE(w.touch(w.begin(id)));
    EXPECT_EQ(w.kernel.walk(w.begin(id))->rights, abi::read);
}

TEST(Burial, OneViewsDeathIsNotAnothers) {
    World w;
    const CapSlot a = w.kernel.foreign_frame(page_bytes);
    const CapSlot b = w.kernel.foreign_frame(page_bytes, foreign_base + mib);
    const auto first = w.reserve(page_bytes), second = w.reserve(page_bytes);
    ASSERT_TRUE(w.map_frame(first, 0, a, page_bytes));
    ASSERT_TRUE(w.map_frame(second, 0, b, page_bytes));
    w.kernel.revoke(a);
    ASSERT_TRUE(w.touch(w.begin(first)));
    EXPECT_TRUE(w.map.is_dead(first));
    EXPECT_FALSE(w.map.is_dead(second));
    EXPECT_EQ(w.kernel.walk(w.begin(second))->physical, foreign_base + mib);
}

TEST(Burial, AddressesOfTheDeadCanBeUsedAgain) {
    World w;
    for (int round = 0; round < 20; ++round) {
        const uint64_t bytes = round % 2 == 0 ? 4 * mib : 4 * mib - page_bytes;
        const CapSlot frame = w.kernel.foreign_frame(bytes);
        const auto id = w.reserve(bytes, 2 * mib);
        ASSERT_TRUE(w.map_frame(id, 0, frame, bytes)) << round;
        EXPECT_EQ(w.kernel.walk(w.begin(id) + 2 * mib)->physical, foreign_base + 2 * mib);
        EXPECT_FALSE(w.map.is_dead(id));
        w.kernel.revoke(frame);
        for (uint64_t at = 0; at < bytes; at += 37 * page_bytes)
            ASSERT_TRUE(w.touch(w.begin(id) + at));
        if (round % 3 == 0) {
            EXPECT_TRUE(w.map.unmap(id, 0, 2 * mib));
            EXPECT_FALSE(w.touch(w.begin(id)));
        }
        w.map.remove(id);
    }
}

} // namespace
