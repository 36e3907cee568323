#include "usr/coreboot/share.hpp"

#include <utility>

#include <gtest/gtest.h>

using namespace coreboot;

namespace {

constexpr uint64_t mebibyte = 1024 * 1024;

TEST(Share, IsAPowerOfTwoWhereThatIsMuch) {
    EXPECT_EQ(*share_of(512 * mebibyte, 4), 64 * mebibyte);
    EXPECT_EQ(*share_of(480 * mebibyte, 4), 64 * mebibyte);
    EXPECT_EQ(*share_of(512 * mebibyte, 2), 128 * mebibyte);
    EXPECT_EQ(*share_of(512 * mebibyte, 1), 256 * mebibyte);
    for (uint64_t total = 1; total < 4096; total += 7)
        for (uint64_t cores = 1; cores < 256; ++cores) {
            const auto share = share_of(total * mebibyte, cores);
            if (!share) continue;
            ASSERT_TRUE(std::has_single_bit(*share) || *share < comfortable_share);
            ASSERT_EQ(*share % large_page_bytes, 0u);
            ASSERT_GE(*share, smallest_share);
            ASSERT_LE(*share * cores, total * mebibyte * 4 / 5);
        }
}

TEST(Share, OfTwoGibibytesIsEnoughForTwoHundredAndFiftyFiveCores) {
    EXPECT_EQ(*share_of(2030 * mebibyte, 255), 6 * mebibyte);
}

TEST(Share, RefusesTooLittle) {
    EXPECT_EQ(share_of(20 * mebibyte, 4).error(), Err::no_memory);
    EXPECT_EQ(share_of(0, 1).error(), Err::no_memory);
    EXPECT_EQ(*share_of(30 * mebibyte, 4), 6 * mebibyte);
}

abi::BootInfo two_nodes(uint64_t first_bytes, uint64_t second_bytes) {
    abi::BootInfo info{};
    info.core_count = 5;
    info.cores[3].node = info.cores[4].node = 1;
    info.node_count = 2;
    info.node_memory_count = 2;
    info.node_memory[0] = {0, first_bytes, 0};
    info.node_memory[1] = {first_bytes, first_bytes + second_bytes, 1};
    info.ram_count = 2;
    info.ram[0] = {4 * mebibyte, 8 * mebibyte};
    info.ram[1] = {8 * mebibyte, first_bytes + second_bytes};
    return info;
}

TEST(Share, IsOfTheCoresOwnNode) {
    const auto info = two_nodes(512 * mebibyte, 256 * mebibyte);
    EXPECT_EQ(bytes_in_node(info, 0), 508 * mebibyte);
    EXPECT_EQ(bytes_in_node(info, 1), 256 * mebibyte);
    EXPECT_EQ(*share_for(info, 764 * mebibyte, 0), 64 * mebibyte); // core 0 keeps most
    EXPECT_EQ(*share_for(info, 764 * mebibyte, 1), 128 * mebibyte);
}

TEST(Share, IsEvenWithoutNodesAndWhereANodeHasTooLittle) {
    auto info = two_nodes(512 * mebibyte, 2 * mebibyte);
    const auto even = share_of(510 * mebibyte, 5);
    EXPECT_EQ(*share_for(info, 510 * mebibyte, 1), *even);
    EXPECT_EQ(*share_for(info, 510 * mebibyte, 0), 64 * mebibyte);
    info.node_count = 0;
    EXPECT_EQ(*share_for(info, 510 * mebibyte, 0), *even);
    EXPECT_EQ(share_for(info, mebibyte, 0).error(), Err::no_memory);
}

/// Memory of which no block is larger than `most`, from 16 MiB on.
auto no_more_than(uint64_t most) {
    return [most, next = 16 * mebibyte](uint64_t size) mutable -> std::optional<PhysAddr> {
        if (size > most) return std::nullopt;
        return phys(std::exchange(next, next + size));
    };
}

TEST(Pieces, AreWhatThereIsTheLargestFirst) {
    Pieces six;
    six.collect(6 * mebibyte, no_more_than(64 * mebibyte));
    ASSERT_EQ(six.all().size(), 2u);
    EXPECT_EQ(six.all()[0].end - six.all()[0].begin, 4 * mebibyte);
    EXPECT_EQ(six.all()[1].end - six.all()[1].begin, 2 * mebibyte);
    Pieces whole, halves, little, none;
    whole.collect(127 * 6 * mebibyte, no_more_than(512 * mebibyte));
    EXPECT_EQ(whole.bytes(), 127 * 6 * mebibyte);
    halves.collect(32 * mebibyte, no_more_than(8 * mebibyte));
    EXPECT_EQ(halves.all().size(), 4u);
    little.collect(1024 * mebibyte, no_more_than(2 * mebibyte));
    EXPECT_EQ(little.all().size(), Pieces::most) << "as many as a core can begin with";
    none.collect(32 * mebibyte, no_more_than(mebibyte));
    EXPECT_EQ(none.bytes(), 0u);
}

TEST(Pieces, OfOneNodeAfterTheOtherAddUp) {
    Pieces pieces;
    pieces.collect(6 * mebibyte, no_more_than(4 * mebibyte));
    pieces.collect(8 * mebibyte, no_more_than(8 * mebibyte));
    EXPECT_EQ(pieces.bytes(), 14 * mebibyte);
    pieces.collect(0, no_more_than(8 * mebibyte));
    EXPECT_EQ(pieces.all().size(), 3u);
}

} // namespace
