#include "usr/memory/buddy.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace {

using memory::Buddy;

constexpr uint64_t mib = 1024 * 1024;

TEST(Buddy, SplitsTheSmallestBlockThatFits) {
    Buddy buddy;
    ASSERT_TRUE(buddy.add(phys(16 * mib), 16 * mib, 0));
    ASSERT_TRUE(buddy.add(phys(64 * mib), 2 * mib, 1));
    const auto block = buddy.allocate(mib);
    ASSERT_TRUE(block);
    EXPECT_EQ(block->base, phys(64 * mib)) << "the 16 MiB block stays whole";
    EXPECT_EQ(block->root, 1);
    EXPECT_EQ(buddy.sums().largest, 16 * mib);
}

TEST(Buddy, AllocatesWithinARangeAndNowhereElse) {
    Buddy buddy;
    ASSERT_TRUE(buddy.add(phys(16 * mib), 16 * mib, 0));
    const auto block = buddy.allocate_within(2 * mib, phys(23 * mib), phys(27 * mib));
    ASSERT_TRUE(block);
    EXPECT_EQ(block->base, phys(24 * mib));
    EXPECT_TRUE(buddy.find(phys(24 * mib)));
    // What is left there is one aligned MiB in front and one behind.
    EXPECT_EQ(
        buddy.allocate_within(2 * mib, phys(23 * mib), phys(27 * mib)).error(), Err::no_memory
    );
    EXPECT_EQ(buddy.allocate_within(mib, phys(23 * mib), phys(27 * mib))->base, phys(26 * mib));
    EXPECT_EQ(buddy.allocate_within(mib, phys(23 * mib), phys(27 * mib))->base, phys(23 * mib));
    EXPECT_EQ(buddy.allocate_within(mib, phys(0), phys(mib)).error(), Err::no_memory);
    EXPECT_EQ(buddy.allocate_within(mib, phys(27 * mib), phys(23 * mib)).error(), Err::no_memory);
    const uint64_t end = ~uint64_t{0};
    EXPECT_EQ(buddy.allocate_within(mib, phys(end - 5), phys(end)).error(), Err::no_memory);
    ASSERT_TRUE(buddy.release(phys(24 * mib), 2 * mib));
    ASSERT_TRUE(buddy.release(phys(23 * mib), mib));
    ASSERT_TRUE(buddy.release(phys(26 * mib), mib));
    EXPECT_EQ(buddy.sums().largest, 16 * mib);
}

TEST(Buddy, MergesBackToWhatWasAdded) {
    Buddy buddy;
    ASSERT_TRUE(buddy.add(phys(16 * mib), 16 * mib, 0));
    std::vector<memory::Block> taken;
    for (int i = 0; i < 64; ++i)
        taken.push_back(*buddy.allocate(i % 2 ? 4096u : 65536u));
    for (const auto& b : taken)
        ASSERT_TRUE(buddy.release(b.base, b.bytes));
    EXPECT_EQ(buddy.blocks().size(), 1u);
    EXPECT_EQ(buddy.sums().free, 16 * mib);
}

TEST(Buddy, CutsARegionIntoNaturallyAlignedBlocks) {
    Buddy buddy;
    ASSERT_TRUE(buddy.add(phys(0x3000), 0x9000, 0));
    for (const auto& b : buddy.blocks())
        EXPECT_TRUE(b.base.aligned(b.bytes));
    EXPECT_EQ(buddy.sums().total, 0x9000u);
    EXPECT_EQ(buddy.sums().largest, 0x4000u);
}

TEST(Buddy, NeverJoinsBlocksOfTwoRegions) {
    Buddy buddy;
    ASSERT_TRUE(buddy.add(phys(0), 0x1000, 0));
    ASSERT_TRUE(buddy.add(phys(0x1000), 0x1000, 1));
    const auto block = buddy.allocate(0x1000);
    ASSERT_TRUE(buddy.release(block->base, block->bytes));
    EXPECT_EQ(buddy.sums().largest, 0x1000u);
}

TEST(Buddy, RefusesWhatIsNoPowerOfTwoOfPages) {
    Buddy buddy;
    ASSERT_TRUE(buddy.add(phys(0), mib, 0));
    EXPECT_EQ(buddy.allocate(3 * 4096).error(), Err::bad_argument);
    EXPECT_EQ(buddy.allocate(2048).error(), Err::bad_argument);
    EXPECT_EQ(buddy.allocate(0).error(), Err::bad_argument);
    EXPECT_EQ(buddy.allocate(2 * mib).error(), Err::no_memory);
    EXPECT_EQ(buddy.sums().free, mib);
}

TEST(Buddy, RefusesToReleaseWhatIsNotGranted) {
    Buddy buddy;
    ASSERT_TRUE(buddy.add(phys(0), mib, 0));
    const auto block = buddy.allocate(8192);
    EXPECT_EQ(buddy.release(block->base, 4096).error(), Err::not_found);
    EXPECT_EQ(buddy.release(phys(block->base.raw + 4096), 4096).error(), Err::not_found);
    ASSERT_TRUE(buddy.release(block->base, 8192));
    EXPECT_FALSE(buddy.release(block->base, 8192));
}

TEST(Buddy, ARunIsManyBlocksSideBySide) {
    Buddy buddy;
    ASSERT_TRUE(buddy.add(phys(0), mib, 0));
    ASSERT_TRUE(buddy.allocate(4096));
    const auto first = buddy.allocate_run(4096, 16);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->base, phys(65536)) << "aligned as one block";
    EXPECT_EQ(buddy.sums().free, mib - 17 * 4096);
    for (uint64_t i = 0; i < 16; ++i)
        ASSERT_TRUE(buddy.release(first->base + i * 4096, 4096)) << i;
    EXPECT_EQ(buddy.sums().free, mib - 4096);
    EXPECT_EQ(buddy.sums().largest, mib / 2);
    EXPECT_EQ(buddy.allocate_run(4096, 3).error(), Err::bad_argument);
    EXPECT_EQ(buddy.allocate_run(4096, 512).error(), Err::no_memory);
}

TEST(Buddy, ARegionLeavesOnlyWhenNothingOfItIsGranted) {
    Buddy buddy;
    ASSERT_TRUE(buddy.add(phys(0), 3 * 4096, 0));
    ASSERT_TRUE(buddy.add(phys(16 * mib), 2 * mib, 1));
    const auto block = buddy.allocate(mib);
    EXPECT_EQ(buddy.remove(1).error(), Err::bad_state);
    EXPECT_EQ(buddy.remove(2).error(), Err::not_found);
    ASSERT_TRUE(buddy.release(block->base, block->bytes));
    ASSERT_TRUE(buddy.remove(1));
    EXPECT_EQ(buddy.sums().total, 3u * 4096);
    EXPECT_EQ(buddy.allocate(mib).error(), Err::no_memory);
    ASSERT_TRUE(buddy.add(phys(16 * mib), 2 * mib, 1)) << "it may come again";
    EXPECT_TRUE(buddy.allocate(2 * mib));
}

TEST(Buddy, KeepsBlocksApartUnderRandomUse) {
    Buddy buddy;
    ASSERT_TRUE(buddy.add(phys(mib), 15 * mib, 0));
    std::mt19937 random{1};
    std::vector<memory::Block> taken;
    for (int step = 0; step < 5000; ++step) {
        if (taken.empty() || random() % 2) {
            if (const auto b = buddy.allocate(uint64_t{4096} << (random() % 6)))
                taken.push_back(*b);
        } else {
            const size_t i = random() % taken.size();
            ASSERT_TRUE(buddy.release(taken[i].base, taken[i].bytes));
            taken.erase(taken.begin() + static_cast<ptrdiff_t>(i));
        }
        uint64_t granted = 0, at = mib;
        for (const auto& b : buddy.blocks()) {
            ASSERT_EQ(b.base.raw, at) << "blocks tile the region";
            at += b.bytes;
            if (b.use == memory::Use::granted) granted += b.bytes;
        }
        uint64_t held = 0;
        for (const auto& b : taken)
            held += b.bytes;
        ASSERT_EQ(granted, held);
    }
}

TEST(Buddy, WhatIsAwayCountsForNothingUntilItComesBack) {
    Buddy buddy;
    ASSERT_TRUE(buddy.add(phys(0x10'0000), 0x4000, 0));
    const auto block = *buddy.allocate(0x1000);
    EXPECT_EQ(buddy.sums().total, 0x4000u);
    buddy.goes_away(block.base);
    EXPECT_EQ(buddy.sums().total, 0x3000u);
    EXPECT_EQ(buddy.sums().free, 0x3000u);
    EXPECT_EQ(buddy.remove(0).error(), Err::bad_state);
    ASSERT_TRUE(buddy.release(block.base, block.bytes));
    EXPECT_EQ(buddy.sums().total, 0x4000u);
    EXPECT_EQ(buddy.sums().largest, 0x4000u);
}

} // namespace
