#include "lib/span/home.hpp"

#include <gtest/gtest.h>

#include "lib/span/multicast.hpp"

namespace {

using span::Range, span::Region, span::Workers;

constexpr VirtAddr base = virt(0x10'0000'0000);

constexpr Range pages(uint64_t first, uint64_t count) {
    return {base + first * page_bytes, base + (first + count) * page_bytes};
}

constexpr Region region(uint64_t first, uint64_t count, uint32_t frame = 1) {
    return {pages(first, count), frame, 0, abi::read | abi::write};
}

using Home = span::Home<8, 2>;

TEST(Home, FillsWithThePartOfTheRegionInOneTable) {
    Home home;
    ASSERT_TRUE(home.map(region(500, 600)));
    const auto fill = home.fill(base + 511 * page_bytes + 5);
    ASSERT_TRUE(fill);
    EXPECT_EQ(fill->region.range, pages(500, 12));
    EXPECT_EQ(fill->region.offset, 0u);
    const auto next = home.fill(base + 512 * page_bytes);
    ASSERT_TRUE(next);
    EXPECT_EQ(next->region.range, pages(512, 512));
    EXPECT_EQ(next->region.offset, 12 * page_bytes);
}

TEST(Home, HasNothingWhereNothingWasMapped) {
    Home home;
    ASSERT_TRUE(home.map(region(1, 1)));
    EXPECT_EQ(home.fill(base).error(), Err::not_mapped);
    EXPECT_EQ(home.fill(base + 2 * page_bytes).error(), Err::not_mapped);
    EXPECT_EQ(home.unmap(pages(2, 1), {}).error(), Err::not_mapped);
}

TEST(Home, RefusesWhatIsNoWholePageOrOverlaps) {
    Home home;
    ASSERT_TRUE(home.map(region(1, 2)));
    EXPECT_EQ(home.map(region(2, 2)).error(), Err::exists);
    EXPECT_EQ(home.map({{base, base + 1}, 1, 0, abi::read}).error(), Err::bad_argument);
    EXPECT_EQ(home.map({{base, base}, 1, 0, abi::read}).error(), Err::bad_argument);
}

TEST(Home, UnmapTakesTheMiddleOutAndTheRestStays) {
    Home home;
    ASSERT_TRUE(home.map(region(0, 10, 7)));
    const auto cut = home.unmap(pages(3, 2), {});
    ASSERT_TRUE(cut);
    EXPECT_EQ(home.fill(base + 3 * page_bytes).error(), Err::not_mapped);
    const auto after = home.fill(base + 6 * page_bytes);
    ASSERT_TRUE(after);
    EXPECT_EQ(after->region.range, pages(5, 5));
    EXPECT_EQ(after->region.offset, 5 * page_bytes);
    EXPECT_EQ(after->version, cut->version);
    EXPECT_TRUE(home.uses(7));
}

TEST(Home, GathersDirtyFromAnyWorker) {
    Home home;
    ASSERT_TRUE(home.map(region(0, 1)));
    const auto cut = home.unmap(pages(0, 1), Workers{0b111});
    ASSERT_TRUE(cut);
    EXPECT_FALSE(home.finished());
    EXPECT_FALSE(*home.answered(cut->operation, 1, false));
    EXPECT_FALSE(*home.answered(cut->operation, 0, true));
    const auto last = home.answered(cut->operation, 2, false);
    ASSERT_TRUE(last && *last);
    EXPECT_TRUE((*last)->dirty);
    EXPECT_FALSE(home.uses(1));
}

TEST(Home, CountsAnAnswerOnce) {
    Home home;
    ASSERT_TRUE(home.map(region(0, 1)));
    const auto cut = home.unmap(pages(0, 1), Workers{0b11});
    ASSERT_TRUE(cut);
    EXPECT_TRUE(home.answered(cut->operation, 1, false));
    EXPECT_EQ(home.answered(cut->operation, 1, false).error(), Err::not_found);
    EXPECT_EQ(home.answered(cut->operation + 1, 0, false).error(), Err::not_found);
}

TEST(Home, NothingBeginsWhereSomethingIsBeingTakenAway) {
    Home home;
    ASSERT_TRUE(home.map(region(0, 4)));
    const auto cut = home.unmap(pages(0, 2), Workers{1});
    ASSERT_TRUE(cut);
    EXPECT_EQ(home.map(region(1, 1)).error(), Err::busy);
    EXPECT_EQ(home.protect(pages(1, 2), abi::read, Workers{1}).error(), Err::busy);
    EXPECT_TRUE(home.unmap(pages(2, 1), Workers{1}));
    EXPECT_TRUE(home.answered(cut->operation, 0, false));
    EXPECT_TRUE(home.map(region(1, 1)));
}

TEST(Home, AWorkerThatIsGoneHasAnswered) {
    Home home;
    ASSERT_TRUE(home.map(region(0, 1)));
    const auto cut = home.unmap(pages(0, 1), Workers{0b11});
    ASSERT_TRUE(cut);
    EXPECT_TRUE(home.answered(cut->operation, 0, false));
    home.gone(1);
    const auto done = home.finished();
    ASSERT_TRUE(done);
    EXPECT_EQ(done->operation, cut->operation);
    EXPECT_TRUE(done->dirty) << "it may have written";
    EXPECT_FALSE(home.finished());
}

TEST(Home, ProtectKeepsThePlaceAndChangesTheRights) {
    Home home;
    ASSERT_TRUE(home.map(region(0, 4)));
    ASSERT_TRUE(home.protect(pages(1, 1), abi::read, {}));
    EXPECT_EQ(home.fill(base + page_bytes)->region.rights, abi::read);
    EXPECT_EQ(home.fill(base + page_bytes)->region.offset, page_bytes);
    EXPECT_EQ(home.fill(base)->region.rights, abi::read | abi::write);
    EXPECT_EQ(home.fill(base + 2 * page_bytes)->region.range, pages(2, 2));
}

TEST(Home, ACutThatFindsNoRoomChangesNothing) {
    Home home;
    for (uint64_t i = 0; i < 7; ++i)
        ASSERT_TRUE(home.map(region(4 * i, 3)));
    const auto version = home.version();
    EXPECT_EQ(home.unmap(pages(1, 1), {}).error(), Err::no_space);
    EXPECT_EQ(home.version(), version);
    EXPECT_TRUE(home.fill(base + page_bytes));
}

TEST(Multicast, SendsOneMessageToEach) {
    std::array<int, 64> sent{};
    EXPECT_EQ(span::multicast(Workers{0x8000'0000'0000'0005}, [&](uint32_t w) { ++sent[w]; }), 3u);
    EXPECT_EQ(sent[0] + sent[2] + sent[63], 3);
}

} // namespace
