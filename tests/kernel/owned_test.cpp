// Which blocks are owned, against a plain list.
#include "kernel/owned.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace {

using kernel::OwnedBlocks;

constexpr uint64_t blocks = OwnedBlocks::limit / large_page_bytes;

TEST(OwnedBlocks, AreThoseThatWereSetLast) {
    constexpr uint64_t few = 300; // words are of 64
    OwnedBlocks owned;
    std::vector<bool> expected(few);
    std::mt19937_64 random{1};
    for (int turn = 0; turn < 2000; ++turn) {
        const uint64_t from = random() % few, to = from + 1 + random() % (few - from);
        const uint64_t begin = from * large_page_bytes, end = to * large_page_bytes;
        const auto first = expected.begin() + static_cast<ptrdiff_t>(from);
        const auto beyond = expected.begin() + static_cast<ptrdiff_t>(to);
        EXPECT_EQ(owned.any(begin, end), std::find(first, beyond, true) != beyond);
        const bool on = random() % 2 == 0;
        owned.set(begin, end, on);
        std::fill(first, beyond, on);
        const uint64_t one = random() % few;
        const bool is = expected[static_cast<size_t>(one)];
        EXPECT_EQ(owned.any(one * large_page_bytes, (one + 1) * large_page_bytes), is);
    }
}

TEST(OwnedBlocks, AreTouchedByAnyPartOfThem) {
    OwnedBlocks owned;
    owned.set(large_page_bytes + 5, large_page_bytes + 6, true);
    EXPECT_TRUE(owned.any(2 * large_page_bytes - 1, 3 * large_page_bytes));
    EXPECT_TRUE(owned.any(0, large_page_bytes + 1));
    EXPECT_FALSE(owned.any(0, large_page_bytes));
    EXPECT_FALSE(owned.any(2 * large_page_bytes, 3 * large_page_bytes));
}

TEST(OwnedBlocks, EndWhereTheWindowEnds) {
    OwnedBlocks owned;
    owned.set((blocks - 2) * large_page_bytes, OwnedBlocks::limit + 7 * large_page_bytes, true);
    EXPECT_TRUE(owned.any((blocks - 1) * large_page_bytes, OwnedBlocks::limit));
    EXPECT_FALSE(owned.any(OwnedBlocks::limit, OwnedBlocks::limit + large_page_bytes));
    EXPECT_FALSE(owned.any(0, (blocks - 2) * large_page_bytes));
}

} // namespace
