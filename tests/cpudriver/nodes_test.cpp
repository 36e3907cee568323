#include "cpudriver/boot/nodes.hpp"

#include <gtest/gtest.h>

namespace {

using namespace boot;
using hw::acpi::Slit, hw::acpi::Srat;

constexpr uint64_t mib = 1024 * 1024;

abi::BootInfo machine(uint16_t cores) {
    abi::BootInfo info{};
    info.core_count = cores;
    for (uint16_t i = 0; i < cores; ++i)
        info.cores[i].apic_id = static_cast<uint16_t>(2 * i);
    return info;
}

void add_memory(Srat& srat, uint64_t begin, uint64_t end, uint32_t domain) {
    srat.memory.add({phys(begin), phys(end), domain});
}

void add_core(Srat& srat, uint32_t apic, uint32_t domain) {
    srat.processors.add({{{apic}}, domain});
}

TEST(Nodes, AreNumberedInTheOrderOfTheirDomains) {
    auto info = machine(3);
    Srat srat;
    add_core(srat, 0, 70);
    add_core(srat, 2, 3);
    add_core(srat, 4, 70);
    add_memory(srat, 0, mib, 70);
    add_memory(srat, mib, 2 * mib, 3);
    ASSERT_TRUE(fill_nodes(info, srat, {}));
    EXPECT_EQ(info.node_count, 2u);
    EXPECT_EQ(info.cores[0].node, 1u);
    EXPECT_EQ(info.cores[1].node, 0u);
    EXPECT_EQ(info.cores[2].node, 1u);
    ASSERT_EQ(info.node_memory_count, 2u);
    EXPECT_EQ(info.node_memory[0].node, 1u);
    EXPECT_EQ(info.node_memory[1].node, 0u);
    EXPECT_EQ(info.node_memory[1].begin, mib);
}

TEST(Nodes, OfProcessorsThatAreNotOursDoNotCount) {
    auto info = machine(1);
    Srat srat;
    add_core(srat, 0, 0);
    add_core(srat, 9, 1);
    add_memory(srat, 0, mib, 0);
    ASSERT_TRUE(fill_nodes(info, srat, {}));
    EXPECT_EQ(info.node_count, 1u);
}

TEST(Nodes, AreAsFarApartAsTheSlitSaysAndElseTwiceAsFar) {
    Srat srat;
    add_memory(srat, 0, mib, 0);
    add_memory(srat, mib, 2 * mib, 1);
    auto without = machine(1);
    ASSERT_TRUE(fill_nodes(without, srat, {}));
    EXPECT_EQ(without.node_distance[0][0], 10);
    EXPECT_EQ(without.node_distance[0][1], 20);
    const std::array matrix{std::byte{10}, std::byte{31}, std::byte{3}, std::byte{10}};
    auto with = machine(1);
    ASSERT_TRUE(fill_nodes(with, srat, Slit{matrix, 2}));
    EXPECT_EQ(with.node_distance[0][1], 31);
    EXPECT_EQ(with.node_distance[1][0], 20); // 3 is no distance
}

TEST(Nodes, MoreThanThereIsRoomForAreNone) {
    auto info = machine(1);
    Srat srat;
    for (uint32_t i = 0; i <= abi::nodes_max; ++i)
        add_core(srat, 0, i);
    EXPECT_EQ(fill_nodes(info, srat, {}).error(), Err::no_space);
    Srat pieces;
    for (uint64_t i = 0; i <= info.node_memory.size(); ++i)
        add_memory(pieces, i * mib, (i + 1) * mib, 0);
    EXPECT_EQ(fill_nodes(info, pieces, {}).error(), Err::no_space);
    EXPECT_EQ(fill_nodes(info, {}, {}).error(), Err::not_found);
    EXPECT_EQ(info.node_count, 0u);
    EXPECT_EQ(info.node_memory_count, 0u);
}

} // namespace
