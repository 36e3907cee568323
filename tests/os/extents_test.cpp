#include "lib/os/extents.hpp"

#include <gtest/gtest.h>

namespace {

using os::Extent;
using os::Extents;

TEST(Extents, TakesFirstFitAndJoinsOnRelease) {
    Extents<8> free{{0x1000, 0x9000}};
    const auto a = free.take(0x1000, 0x1000);
    const auto b = free.take(0x2000, 0x1000);
    ASSERT_TRUE(a && b);
    EXPECT_EQ(*a, (Extent{0x1000, 0x2000}));
    EXPECT_EQ(*b, (Extent{0x2000, 0x4000}));
    free.release(*a);
    EXPECT_EQ(free.pieces(), 2u);
    free.release(*b);
    EXPECT_EQ(free.pieces(), 1u);
    EXPECT_EQ(free.free_bytes(), 0x8000u);
}

TEST(Extents, AlignsInsideAPieceAndKeepsBothEnds) {
    Extents<8> free{{0x1000, 0x9000}};
    const auto a = free.take(0x2000, 0x4000);
    ASSERT_TRUE(a);
    EXPECT_EQ(a->begin, 0x4000u);
    EXPECT_EQ(free.pieces(), 2u);
    EXPECT_EQ(free.free_bytes(), 0x6000u);
}

TEST(Extents, RefusesWhatDoesNotFit) {
    Extents<8> free{{0x1000, 0x3000}};
    EXPECT_EQ(free.take(0x3000, 0x1000).error(), Err::no_space);
    EXPECT_EQ(free.take(0, 0x1000).error(), Err::bad_argument);
    EXPECT_EQ(free.free_bytes(), 0x2000u);
}

TEST(Extents, CountsWhatItCannotRemember) {
    Extents<1> free{{0, 0x1000}};
    free.release({0x3000, 0x4000});
    EXPECT_EQ(free.forgotten_bytes(), 0x1000u);
    free.release({0x1000, 0x2000});
    EXPECT_EQ(free.free_bytes(), 0x2000u) << "a neighbour joins and needs no entry";
}

TEST(Extents, JoinsOnBothSides) {
    Extents<4> free{{0, 0x1000}};
    free.release({0x2000, 0x3000});
    free.release({0x1000, 0x2000});
    EXPECT_EQ(free.pieces(), 1u);
    EXPECT_EQ(free.free_bytes(), 0x3000u);
}

} // namespace
