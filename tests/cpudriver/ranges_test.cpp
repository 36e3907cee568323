#include "cpudriver/boot/ranges.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace {

using boot::Range, boot::Ranges;
using hw::multiboot2::MemoryRange, hw::multiboot2::MemoryType;

constexpr uint64_t mib = 1024 * 1024;

bool same(const Ranges& a, std::vector<std::pair<uint64_t, uint64_t>> b) {
    std::vector<std::pair<uint64_t, uint64_t>> found;
    for (const Range r : a.all())
        found.emplace_back(r.begin, r.end);
    return found == b;
}

Ranges of(std::vector<std::pair<uint64_t, uint64_t>> list) {
    Ranges r;
    for (auto [begin, end] : list)
        r.add({begin, end});
    return r;
}

MemoryRange entry(uint64_t begin, uint64_t end, MemoryType type = MemoryType::available) {
    return {phys(begin), end - begin, type};
}

TEST(Ranges, SubtractSplitsTrimsAndDrops) {
    Ranges r = of({{0, 100}, {200, 300}, {400, 500}});
    r.subtract({50, 60});
    r.subtract({190, 310});
    r.subtract({450, 900});
    r.merge();
    EXPECT_TRUE(same(r, {{0, 50}, {60, 100}, {400, 450}}));
    EXPECT_EQ(r.bytes(), 140u);
}

TEST(Ranges, MergeSortsAndJoinsWhatTouches) {
    Ranges r = of({{30, 40}, {10, 20}, {20, 25}, {5, 12}, {39, 41}});
    r.merge();
    EXPECT_TRUE(same(r, {{5, 25}, {30, 41}}));
}

TEST(Ranges, EmptyAndBackwardRangesAreNotKept) {
    Ranges r = of({{10, 10}, {20, 5}});
    EXPECT_TRUE(r.all().empty());
}

TEST(Ranges, ShrinkRoundsInwardsAlsoAtTheEndOfTheNumbers) {
    Ranges r = of({{1, 4 * mib + 1}, {~uint64_t{0} - 10, ~uint64_t{0}}, {5 * mib, 5 * mib + 3}});
    r.shrink_to(2 * mib);
    EXPECT_TRUE(same(r, {{2 * mib, 4 * mib}}));
}

TEST(Ranges, WhatDoesNotFitIsForgottenNotInvented) {
    Ranges r;
    for (uint64_t i = 0; i < Ranges::most + 3; ++i)
        r.add({10 * i, 10 * i + 5});
    EXPECT_EQ(r.all().size(), Ranges::most);
    EXPECT_EQ(r.forgotten(), 3u);
}

TEST(Ranges, AgreeWithABitmapOnRandomInput) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937_64 random{seed};
    constexpr uint64_t size = 200;
    for (int round = 0; round < 300; ++round) {
        Ranges r;
        std::vector<bool> bitmap(size);
        for (int step = 0; step < 40; ++step) {
            const uint64_t begin = random() % size, end = begin + random() % (size - begin);
            const bool adds = random() % 3 == 0;
            if (adds)
                r.add({begin, end});
            else
                r.subtract({begin, end});
            if (adds) r.merge();
            for (uint64_t i = begin; i < end; ++i)
                bitmap[i] = adds;
        }
        std::vector<bool> found(size);
        for (const Range g : r.all())
            for (uint64_t i = g.begin; i < g.end; ++i) {
                EXPECT_FALSE(found[i]) << "twice in the list";
                found[i] = true;
            }
        EXPECT_EQ(found, bitmap);
    }
}

TEST(MemoryMap, WhatIsAlsoCalledReservedIsNotAvailable) {
    const std::array map{
        entry(16 * mib, 32 * mib),
        entry(0, 20 * mib),
        entry(30 * mib, 31 * mib, MemoryType::reserved),
        entry(8 * mib, 9 * mib, MemoryType::acpi),
    };
    EXPECT_TRUE(
        same(boot::available(map), {{0, 8 * mib}, {9 * mib, 30 * mib}, {31 * mib, 32 * mib}})
    );
}

TEST(MemoryMap, BlocksAreWholeAndAboveTheFirst) {
    const Ranges ram = of({{0, 9 * mib}, {11 * mib, 15 * mib + 4096}, {100 * mib, 300 * mib}});
    const Ranges blocks = boot::whole_blocks(ram, 200 * mib);
    EXPECT_TRUE(same(blocks, {{2 * mib, 8 * mib}, {12 * mib, 14 * mib}, {100 * mib, 200 * mib}}));
}

TEST(FindRun, TakesTheLowestPlaceThatIsFree) {
    const Ranges blocks = of({{2 * mib, 4 * mib}, {8 * mib, 32 * mib}});
    EXPECT_EQ(boot::find_run(blocks, 2 * mib, {}), 2 * mib);
    EXPECT_EQ(boot::find_run(blocks, 3 * mib, {}), 8 * mib);
    const std::array taken{Range{2 * mib + 5, 2 * mib + 6}, Range{9 * mib, 11 * mib}};
    EXPECT_EQ(boot::find_run(blocks, 2 * mib, taken), 12 * mib);
    EXPECT_FALSE(boot::find_run(blocks, 25 * mib, {}));
}

TEST(FindRun, StaysBelow4GiB) {
    constexpr uint64_t limit = uint64_t{1} << 32;
    const Ranges blocks = of({{limit - 2 * mib, limit + 64 * mib}});
    EXPECT_EQ(boot::find_run(blocks, 2 * mib, {}), limit - 2 * mib);
    EXPECT_FALSE(boot::find_run(blocks, 4 * mib, {}));
}

TEST(StartPages, LieTogetherBelow640KiB) {
    EXPECT_EQ(boot::find_start_pages(of({{0, 0x9fc00}})), 0x8000u);
    EXPECT_EQ(boot::find_start_pages(of({{0x9001, 0x9fc00}})), 0xa000u);
    EXPECT_EQ(boot::find_start_pages(of({{0, 0x9000}, {0x20000, 0x22000}})), 0x20000u);
    EXPECT_FALSE(boot::find_start_pages(of({{0, 0x9fff}, {0x100000, 0x200000}})));
}

TEST(PciWindow, IsAboveEverythingThatTheFirmwareMentions) {
    const std::array pc{
        entry(0, 0x9fc00),
        entry(mib, 0x1ffe'0000),
        entry(0x1ffe'0000, 0x2000'0000, MemoryType::reserved),
        entry(0xfffc'0000, uint64_t{1} << 32, MemoryType::reserved),
        entry(uint64_t{1} << 32, uint64_t{5} << 30),
    };
    const Range window = boot::pci_window(pc);
    EXPECT_EQ(window.begin, 0x2000'0000u);
    EXPECT_EQ(window.end, 0xfec0'0000u);
}

} // namespace
