#include "lib/hw/acpi_numa.hpp"

#include <gtest/gtest.h>

#include "tests/hw/bytes_builder.hpp"

namespace {

using namespace hw;

Builder srat(uint8_t revision = 3) {
    Builder b;
    b.text("SRAT").zeros(4).put(revision).zeros(27).put(uint32_t{1}).zeros(8);
    return b;
}

void add_processor(Builder& b, uint8_t apic, uint32_t domain, uint32_t flags = 1) {
    b.put(uint8_t{0}).put(uint8_t{16}).put(static_cast<uint8_t>(domain)).put(apic).put(flags);
    b.put((domain & 0xffff'ff00) | 0x55).put(uint32_t{}); // 0x55: local SAPIC EID
}

void add_x2apic(Builder& b, uint32_t apic, uint32_t domain) {
    b.put(uint8_t{2}).put(uint8_t{24}).zeros(2).put(domain).put(apic).put(uint32_t{1}).zeros(8);
}

void add_memory(Builder& b, uint64_t base, uint64_t bytes, uint32_t domain, uint32_t flags = 1) {
    b.put(uint8_t{1}).put(uint8_t{40}).put(domain).zeros(2).put(base).put(bytes).zeros(4);
    b.put(flags).zeros(8);
}

TEST(Srat, SaysWhoBelongsWhere) {
    Builder b = srat();
    add_processor(b, 3, 7);
    add_processor(b, 4, 0x1234'5678);
    add_x2apic(b, 0x1'0000, 9);
    add_memory(b, 0x10'0000, 0x4000'0000, 7);
    b.put(uint8_t{5}).put(uint8_t{4}).zeros(2); // generic initiator or the like
    const auto found = acpi::parse_srat(b.view());
    ASSERT_TRUE(found);
    ASSERT_EQ(found->processors.size(), 3u);
    EXPECT_EQ(found->processors[0].apic, (ApicId{{3}}));
    EXPECT_EQ(found->processors[0].domain, 7u);
    EXPECT_EQ(found->processors[1].domain, 0x1234'5678u);
    EXPECT_EQ(found->processors[2].apic, (ApicId{{0x1'0000}}));
    ASSERT_EQ(found->memory.size(), 1u);
    EXPECT_EQ(found->memory[0].begin, phys(0x10'0000));
    EXPECT_EQ(found->memory[0].end, phys(0x4010'0000));
    EXPECT_EQ(found->unknown_entries, 1u);
    EXPECT_EQ(found->bad_entries, 0u);
}

TEST(Srat, DomainsOfTheFirstRevisionHaveEightBits) {
    Builder b = srat(1);
    add_processor(b, 3, 0xab'cd07);
    add_memory(b, 0, 4096, 0xab'cd07);
    const auto found = acpi::parse_srat(b.view());
    ASSERT_TRUE(found);
    EXPECT_EQ(found->processors[0].domain, 7u);
    EXPECT_EQ(found->memory[0].domain, 7u);
}

TEST(Srat, WhatIsDisabledPluggableOrNonVolatileIsLeftOut) {
    Builder b = srat();
    add_processor(b, 1, 0, 0);
    add_memory(b, 0, 4096, 0, 0);
    add_memory(b, 0, 4096, 0, 1 | 2);
    add_memory(b, 0, 4096, 0, 1 | 4);
    add_memory(b, 0, 0, 0, 1);
    const auto found = acpi::parse_srat(b.view());
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->processors.empty());
    EXPECT_TRUE(found->memory.empty());
}

TEST(Srat, BadEntriesAreCountedAndPassedOver) {
    Builder b = srat();
    b.put(uint8_t{1}).put(uint8_t{10}).zeros(8);
    add_memory(b, ~uint64_t{0} - 4095, 8192, 0);
    add_memory(b, 0, 4096, 2);
    const auto found = acpi::parse_srat(b.view());
    ASSERT_TRUE(found);
    EXPECT_EQ(found->bad_entries, 2u);
    ASSERT_EQ(found->memory.size(), 1u);
}

TEST(Srat, AnEntryThatLeavesTheTableSpoilsIt) {
    Builder b = srat();
    b.put(uint8_t{1}).put(uint8_t{40}).zeros(20);
    EXPECT_EQ(acpi::parse_srat(b.view()).error(), Err::malformed);
    Builder none = srat();
    none.put(uint8_t{0}).put(uint8_t{0});
    EXPECT_EQ(acpi::parse_srat(none.view()).error(), Err::malformed);
    EXPECT_EQ(acpi::parse_srat(srat().view().first(40)).error(), Err::truncated);
    EXPECT_EQ(acpi::parse_srat({}).error(), Err::truncated);
}

TEST(Srat, MoreThanThereIsRoomForIsCounted) {
    Builder b = srat();
    for (uint64_t i = 0; i < 70; ++i)
        add_memory(b, i << 20, 1 << 20, 0);
    const auto found = acpi::parse_srat(b.view());
    ASSERT_TRUE(found);
    EXPECT_EQ(found->memory.size(), acpi::memory_affinities_max);
    EXPECT_EQ(found->memory.dropped(), 6u);
}

Builder slit(uint64_t count) {
    Builder b;
    b.text("SLIT").zeros(32).put(count);
    return b;
}

TEST(Slit, SaysHowFarItIs) {
    Builder b = slit(2);
    for (uint8_t d : std::array<uint8_t, 4>{10, 21, 31, 10})
        b.put(d);
    const auto found = acpi::parse_slit(b.view());
    ASSERT_TRUE(found);
    EXPECT_EQ(*found->between(0, 0), 10);
    EXPECT_EQ(*found->between(0, 1), 21);
    EXPECT_EQ(*found->between(1, 0), 31);
    EXPECT_EQ(found->between(0, 2).error(), Err::not_found);
    EXPECT_EQ(found->between(0xffff'ffff, 0).error(), Err::not_found);
}

TEST(Slit, RefusesReservedDistancesAndSizesThatDoNotFit) {
    Builder b = slit(1);
    b.put(uint8_t{9});
    EXPECT_EQ(acpi::parse_slit(b.view())->between(0, 0).error(), Err::malformed);
    EXPECT_EQ(acpi::parse_slit(slit(3).zeros(8).view()).error(), Err::truncated);
    EXPECT_EQ(acpi::parse_slit(slit(uint64_t{1} << 32).view()).error(), Err::malformed);
    EXPECT_EQ(acpi::parse_slit(slit(0).view().first(40)).error(), Err::truncated);
}

} // namespace
