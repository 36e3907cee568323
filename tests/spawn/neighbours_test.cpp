#include "usr/spawn/neighbours.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace {

std::vector<int> order(unsigned self, std::vector<unsigned> nodes) {
    std::array<uint8_t, 255> out{};
    // 0 and 1 are near each other, 2 is far away.
    constexpr unsigned distance[3][3] = {{10, 20, 40}, {20, 10, 40}, {40, 40, 10}};
    const auto node_of = [&](unsigned core) { return distance[nodes[self]][nodes[core]]; };
    const size_t count =
        spawn::order_neighbours(out, self, static_cast<unsigned>(nodes.size()), node_of);
    return {out.begin(), out.begin() + static_cast<ptrdiff_t>(count)};
}

TEST(Neighbours, AreAskedByNodeThenByNumber) {
    EXPECT_EQ(order(1, {0, 0, 0, 0}), (std::vector{0, 2, 3}));
    EXPECT_EQ(order(1, {0, 1, 0, 1}), (std::vector{3, 0, 2}));
    EXPECT_EQ(order(3, {0, 2, 1, 1, 1, 0}), (std::vector{2, 4, 5, 0, 1}));
    EXPECT_TRUE(order(0, {0}).empty());
}

} // namespace
