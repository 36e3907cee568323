#include "lib/base/pattern.hpp"

#include <gtest/gtest.h>

#include <vector>

TEST(Pattern, IsTheSameFilledInFromAnyPlaceOn) {
    for (uint64_t start = 0; start < 9; ++start)
        for (size_t bytes = 0; bytes < 20; ++bytes) {
            std::vector<std::byte> out(bytes + 1, std::byte{0x5a});
            fill_pattern(std::span{out}.first(bytes), start);
            for (size_t i = 0; i < bytes; ++i)
                ASSERT_EQ(out[i], pattern_at(start + i)) << start << " + " << i;
            EXPECT_EQ(out[bytes], std::byte{0x5a}) << "and no further";
        }
    std::vector<std::byte> far(16);
    fill_pattern(far, (uint64_t{1} << 34) - 8);
    EXPECT_EQ(far[7], pattern_at((uint64_t{1} << 34) - 1));
    EXPECT_EQ(far[8], pattern_at(uint64_t{1} << 34)) << "its words wrap";
}
