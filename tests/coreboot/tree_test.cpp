#include "usr/coreboot/tree.hpp"

#include <vector>

#include <gtest/gtest.h>

using coreboot::Tree;

namespace {

CoreId core(size_t index) {
    return {{static_cast<uint8_t>(index)}};
}

abi::BootInfo machine(size_t cores, size_t nodes) {
    abi::BootInfo info{};
    info.core_count = cores;
    info.node_count = nodes > 1 ? nodes : 0;
    for (size_t i = 0; i < cores; ++i)
        info.cores[i].node = static_cast<uint16_t>(i * nodes / cores);
    return info;
}

size_t depth(const Tree& tree, CoreId of) {
    size_t steps = 0;
    for (; of.raw != 0; of = tree.parent(of))
        ++steps;
    return steps;
}

TEST(Tree, OfOneNodeIsByTwo) {
    const Tree tree{machine(255, 1)};
    for (size_t i = 1; i < 255; ++i)
        ASSERT_EQ(tree.parent(core(i)), core((i - 1) / 2));
    EXPECT_EQ(depth(tree, core(254)), 7u);
}

TEST(Tree, StaysWithinANodeAsFarAsItCan) {
    for (const size_t nodes : {2u, 4u, 8u, 16u}) {
        const abi::BootInfo info = machine(64, nodes);
        const Tree tree{info};
        size_t between = 0;
        for (size_t i = 1; i < 64; ++i) {
            const CoreId parent = tree.parent(core(i));
            ASSERT_LT(parent, core(i));
            between += info.cores[parent.raw].node != info.cores[i].node ? 1 : 0;
            size_t children = 0;
            tree.each_child(core(i), [&](CoreId) { ++children; });
            ASSERT_LE(children, 4u);
        }
        EXPECT_EQ(between, nodes - 1) << "each node is entered once";
    }
}

TEST(Tree, SaysWhoIsBelowWhom) {
    const Tree tree{machine(15, 1)};
    std::vector<unsigned> below;
    for (size_t i = 0; i < 15; ++i)
        if (tree.is_below(core(i), core(1))) below.push_back(static_cast<unsigned>(i));
    EXPECT_EQ(below, (std::vector<unsigned>{1, 3, 4, 7, 8, 9, 10}));
    EXPECT_TRUE(tree.has_children(core(6)));
    EXPECT_FALSE(tree.has_children(core(7)));
}

TEST(Tree, IsFlatIfWished) {
    const Tree tree{machine(64, 4), true};
    for (size_t i = 1; i < 64; ++i)
        ASSERT_EQ(tree.parent(core(i)), core(0));
    EXPECT_FALSE(tree.has_children(core(1)));
}

} // namespace
