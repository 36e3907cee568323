#include <gtest/gtest.h>

#include "tests/os/address_world.hpp"

namespace {

using namespace os_test;

class OnDemand : public testing::TestWithParam<uint64_t> {};

INSTANTIATE_TEST_SUITE_P(
    Granules,
    OnDemand,
    testing::Values(4 * kib, 64 * kib, 2 * mib),
    [](const auto& granule) { return std::to_string(granule.param / kib) + "KiB"; }
);

TEST_P(OnDemand, GranulesAppearZeroedAtTheirTouchAndNowhereElse) {
    World w;
    const auto id = w.on_demand(8 * GetParam(), GetParam());
    EXPECT_FALSE(w.kernel.walk(w.begin(id)));
    ASSERT_TRUE(w.touch(w.begin(id) + 3 * GetParam() + 17));
    for (uint64_t g = 0; g < 8; ++g)
        for (uint64_t page = 0; page < GetParam(); page += page_bytes)
            EXPECT_EQ(w.kernel.walk(w.begin(id) + g * GetParam() + page).has_value(), g == 3);
    EXPECT_TRUE(w.kernel.is_zero(w.begin(id) + 3 * GetParam()));
    EXPECT_EQ(w.kernel.walk(w.begin(id) + 3 * GetParam())->rights, rw);
    EXPECT_FALSE(w.touch(w.begin(id) + 8 * GetParam())); // the guard page
}

TEST_P(OnDemand, MemoryThatComesBackIsZeroAgain) {
    World w{16 * mib};
    const auto id = w.on_demand(8 * GetParam(), GetParam());
    for (int round = 0; round < 50; ++round) {
        const uint64_t at = w.begin(id) + static_cast<uint64_t>(round % 8) * GetParam();
        ASSERT_TRUE(w.touch(at)) << round;
        for (uint64_t page = 0; page < GetParam(); page += page_bytes) {
            ASSERT_TRUE(w.kernel.is_zero(at + page)) << round;
            w.kernel.dirty(at + page);
        }
        if (round % 3 == 0) ASSERT_TRUE(w.map.unmap(id, at - w.begin(id), GetParam()));
        if (round % 8 == 7) ASSERT_TRUE(w.map.unmap(id, 0, 8 * GetParam()));
    }
}

TEST_P(OnDemand, InsideTheBooksATouchTakesOnlyWhatLiesReady) {
    World w;
    const auto id = w.on_demand(64 * GetParam(), GetParam());
    ASSERT_TRUE(w.touch(w.begin(id)));
    const unsigned before = w.kernel.takings;
    {
        const Busy busy;
        ASSERT_TRUE(w.touch(w.begin(id) + 40 * GetParam()));
        EXPECT_EQ(w.kernel.takings, before);
    }
    for (uint64_t i = 0; i < 16; ++i)
        ASSERT_TRUE(w.touch(w.begin(id) + i * GetParam()));
    EXPECT_GT(w.kernel.takings, before); // what was taken is there again
}

TEST(Demand, EightTouchesInsideTheBooksAreServedAfterEveryOtherOne) {
    World w;
    const auto id = w.on_demand(gib, page_bytes);
    uint64_t at = w.begin(id);
    for (int round = 0; round < 20; ++round) {
        ASSERT_TRUE(w.touch(at += 100 * page_bytes));
        const Busy busy;
        for (uint64_t i = 0; i < 8; ++i)
            ASSERT_TRUE(w.touch(at += page_bytes)) << round << " " << i;
    }
}

TEST(Demand, AUsedUpQuotaIsTheAnswerOfCommitAndTheTroubleOfATouch) {
    World w{2 * mib};
    const auto id = w.on_demand(16 * mib, 64 * kib);
    EXPECT_EQ(w.map.commit(id, 0, 16 * mib).error(), Err::quota);
    uint64_t at = 0;
    while (w.touch(w.begin(id) + at))
        at += 64 * kib;
    EXPECT_GT(at, mib);
    EXPECT_LT(at, 2 * mib);
    EXPECT_EQ(w.map.trouble(), Err::quota);
    // What is there stays usable, and what is given back can be had again.
    ASSERT_TRUE(w.map.unmap(id, 0, mib));
    EXPECT_TRUE(w.touch(w.begin(id) + at));
}

TEST(Demand, CommitBringsEverythingInAndKeepsWhatIsThere) {
    World w;
    const auto id = w.on_demand(mib, 64 * kib);
    ASSERT_TRUE(w.touch(w.begin(id) + 100 * kib));
    w.kernel.dirty(w.begin(id) + 100 * kib);
    ASSERT_TRUE(w.map.commit(id, 0, mib));
    for (uint64_t at = 0; at < mib; at += page_bytes)
        ASSERT_TRUE(w.kernel.walk(w.begin(id) + at));
    EXPECT_FALSE(w.kernel.is_zero(w.begin(id) + 100 * kib));
}

TEST(Demand, ProtectOfAPartOfAGranuleGivesItBackOnceAndWhole) {
    World w;
    const auto id = w.on_demand(mib, 64 * kib);
    ASSERT_TRUE(w.map.protect(id, 68 * kib, 8 * kib, abi::read));
    EXPECT_EQ(w.kernel.walk(w.begin(id) + 68 * kib)->rights, abi::read);
    EXPECT_EQ(w.kernel.walk(w.begin(id) + 76 * kib)->rights, rw);
    EXPECT_EQ(w.kernel.walk(w.begin(id) + 64 * kib)->rights, rw);
    EXPECT_EQ(w.map.unmap(id, 68 * kib, 4 * kib).error(), Err::misaligned);
    ASSERT_TRUE(w.map.unmap(id, 64 * kib, 64 * kib));
    EXPECT_FALSE(w.kernel.walk(w.begin(id) + 76 * kib));
    ASSERT_TRUE(w.touch(w.begin(id) + 68 * kib));
    EXPECT_EQ(w.kernel.walk(w.begin(id) + 68 * kib)->rights, rw);
}

TEST(Demand, RefusesSizesAndRightsThatAreNone) {
    World w;
    const auto id = w.reserve(mib, 64 * kib);
    EXPECT_EQ(w.map.make_on_demand(id, 8 * kib, rw).error(), Err::bad_argument);
    EXPECT_EQ(w.map.make_on_demand(id, 64 * kib, abi::write).error(), Err::bad_argument);
    EXPECT_EQ(w.map.make_on_demand(id, 64 * kib, abi::all_rights).error(), Err::bad_argument);
    EXPECT_EQ(w.map.commit(id, 0, mib).error(), Err::bad_state);
    ASSERT_TRUE(w.map.make_on_demand(id, 64 * kib, rw));
    EXPECT_EQ(w.map.make_on_demand(id, 64 * kib, rw).error(), Err::bad_state);
    EXPECT_EQ(w.map_frame(id, 0, w.kernel.foreign_frame(mib), mib).error(), Err::bad_state);
}

} // namespace
