#include "lib/os/text_ring.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

template <size_t N>
std::string take(os::TextRing<N>& ring, size_t most) {
    std::string out(most, '\0');
    out.resize(ring.take(out).size());
    return out;
}

TEST(TextRing, GivesWholeLinesThatFitTogether) {
    os::TextRing<64> ring;
    ring.add("one\n");
    ring.add("two\n");
    ring.add("three\n");
    EXPECT_EQ(take(ring, 10), "one\ntwo\n");
    EXPECT_EQ(take(ring, 10), "three\n");
    EXPECT_TRUE(ring.empty());
}

TEST(TextRing, CutsALineThatIsLongerThanAsked) {
    os::TextRing<64> ring;
    ring.add("abcdefgh\n");
    EXPECT_EQ(take(ring, 5), "abcde");
    EXPECT_EQ(take(ring, 5), "fgh\n");
}

TEST(TextRing, LosesTheOldestLinesAndCountsThem) {
    os::TextRing<12> ring;
    for (const char* line : {"aaa\n", "bbb\n", "ccc\n", "dddddd\n"})
        ring.add(line);
    EXPECT_EQ(ring.take_lost(), 2u);
    EXPECT_EQ(ring.take_lost(), 0u);
    EXPECT_EQ(take(ring, 12), "ccc\ndddddd\n");
    ring.add("longer than the ring\n");
    EXPECT_EQ(ring.take_lost(), 1u);
    EXPECT_TRUE(ring.empty());
}

TEST(TextRing, KeepsItsOrderAcrossTheEdge) {
    os::TextRing<7> ring;
    for (int i = 0; i < 50; ++i) {
        ring.add(std::string(1, static_cast<char>('a' + i % 26)) + "x\n");
        ring.add("y\n");
        EXPECT_EQ(take(ring, 3), std::string(1, static_cast<char>('a' + i % 26)) + "x\n");
        EXPECT_EQ(take(ring, 3), "y\n");
    }
    EXPECT_EQ(ring.take_lost(), 0u);
}

} // namespace
