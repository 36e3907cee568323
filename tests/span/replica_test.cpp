#include "lib/span/replica.hpp"

#include <gtest/gtest.h>

namespace {

using span::Fill, span::Range, span::Verdict, span::Version;

constexpr VirtAddr base = virt(0x10'0000'0000);

constexpr Range pages(uint64_t first, uint64_t count) {
    return {base + first * page_bytes, base + (first + count) * page_bytes};
}

constexpr Fill fill(uint64_t first, uint64_t count, uint64_t version) {
    return {{pages(first, count), 1, 0, abi::read}, Version{{version}}};
}

using Replica = span::Replica<uint32_t, 4, 2>;

constexpr auto clean = [](uint32_t) { return false; };

TEST(Replica, MapsWhatIsNewAndNotTwice) {
    Replica replica;
    EXPECT_EQ(replica.judge(fill(0, 2, 0), base), Verdict::map);
    replica.mapped(fill(0, 2, 0), 5);
    EXPECT_EQ(replica.judge(fill(0, 2, 0), base), Verdict::there);
    ASSERT_NE(replica.find(base + page_bytes), nullptr);
    EXPECT_EQ(replica.find(base + page_bytes)->handle, 5u);
    EXPECT_EQ(replica.find(base + 2 * page_bytes), nullptr);
}

TEST(Replica, AFillFromBeforeAnUnmapIsDropped) {
    Replica replica;
    EXPECT_FALSE(replica.cut(pages(1, 1), Version{{3}}, clean));
    EXPECT_EQ(replica.judge(fill(0, 2, 2), base), Verdict::stale);
    EXPECT_EQ(replica.judge(fill(0, 1, 2), base), Verdict::map);
    EXPECT_EQ(replica.judge(fill(0, 2, 3), base), Verdict::map);
}

TEST(Replica, ACutForgottenForLackOfRoomCountsEverywhere) {
    Replica replica;
    for (uint64_t v = 1; v <= 3; ++v)
        EXPECT_FALSE(replica.cut(pages(v, 1), Version{{v}}, clean));
    EXPECT_EQ(replica.judge(fill(1, 1, 0), base + page_bytes), Verdict::stale);
    EXPECT_EQ(replica.judge(fill(9, 1, 0), base + 9 * page_bytes), Verdict::stale);
    EXPECT_EQ(replica.judge(fill(9, 1, 1), base + 9 * page_bytes), Verdict::map);
}

TEST(Replica, ACutRemovesWholePiecesAndSaysWhetherTheyWereWritten) {
    Replica replica;
    replica.mapped(fill(0, 2, 0), 1);
    replica.mapped(fill(4, 2, 0), 2);
    std::vector<uint32_t> removed;
    const auto remove = [&](uint32_t handle) {
        removed.push_back(handle);
        return true;
    };
    EXPECT_TRUE(replica.cut(pages(1, 1), Version{{1}}, remove));
    EXPECT_EQ(removed, std::vector<uint32_t>{1});
    EXPECT_EQ(replica.find(base), nullptr);
    EXPECT_NE(replica.find(base + 4 * page_bytes), nullptr);
}

TEST(Replica, AFillThatLiesAcrossANewerPieceIsAskedForAgain) {
    Replica replica;
    replica.mapped(fill(0, 3, 6), 1);
    EXPECT_EQ(replica.judge(fill(0, 10, 5), base + 5 * page_bytes), Verdict::stale);
}

TEST(Replica, WhatWasWrittenBesideACutIsToldWithTheNext) {
    Replica replica;
    replica.mapped(fill(0, 2, 0), 1);
    EXPECT_TRUE(replica.cut(pages(1, 1), Version{{1}}, [](uint32_t) { return true; }));
    EXPECT_TRUE(replica.cut(pages(0, 1), Version{{2}}, clean));
    EXPECT_FALSE(replica.cut(pages(8, 1), Version{{3}}, clean));
}

TEST(Replica, APieceMappedAfterTheCutStays) {
    Replica replica;
    replica.mapped(fill(0, 1, 7), 1);
    EXPECT_FALSE(replica.cut(pages(0, 1), Version{{7}}, [](uint32_t) { return true; }));
    EXPECT_NE(replica.find(base), nullptr);
}

TEST(Replica, MakesRoomByDroppingTheOldestAndRemembersItWasWritten) {
    Replica replica;
    for (uint32_t i = 0; i < 4; ++i)
        replica.mapped(fill(i, 1, 0), i);
    EXPECT_FALSE(replica.has_room());
    replica.evict([](uint32_t handle) { return handle == 0; });
    EXPECT_TRUE(replica.has_room());
    EXPECT_EQ(replica.find(base), nullptr);
    EXPECT_TRUE(replica.cut(pages(0, 1), Version{{1}}, clean));
    EXPECT_FALSE(replica.cut(pages(2, 1), Version{{2}}, clean));
}

} // namespace
