#include "lib/hw/acpi.hpp"

#include <gtest/gtest.h>

#include <map>

#include "tests/hw/bytes_builder.hpp"

namespace {

using namespace hw;

struct FakeMemory {
    std::map<uint64_t, Builder> at;

    Result<Bytes> view(PhysAddr address, size_t bytes) {
        const auto it = at.find(address.raw);
        if (it == at.end()) return fail(Err::not_mapped);
        return slice(it->second.view(), 0, bytes);
    }
};

Builder table(std::string_view name) {
    return std::move(Builder{}.text(name).zeros(32));
}

Builder seal(Builder b) {
    b.poke(4, static_cast<uint32_t>(b.size())).checksum(9, b.size());
    return b;
}

Builder rsdp(uint8_t revision, uint32_t rsdt, uint64_t xsdt) {
    Builder b;
    b.text("RSD PTR ").put(uint8_t{}).text("BOCHS ").put(revision).put(rsdt);
    b.checksum(8, 20);
    if (revision >= 2) {
        b.put(uint32_t{36}).put(xsdt).put(uint8_t{}).zeros(3);
        b.checksum(32, 36);
    }
    return b;
}

Builder madt() {
    Builder b = table("APIC");
    b.put(uint32_t{0xFEE0'0000}).put(uint32_t{1});
    for (uint8_t i = 0; i < 4; ++i)
        b.put(uint8_t{0}).put(uint8_t{8}).put(i).put(i).put(uint32_t{i != 3});
    b.put(uint8_t{1}).put(uint8_t{12}).put(uint8_t{0}).zeros(1);
    b.put(uint32_t{0xFEC0'0000}).put(uint32_t{0});
    b.put(uint8_t{2}).put(uint8_t{10}).put(uint8_t{0}).put(uint8_t{0}).put(uint32_t{2});
    b.put(uint16_t{0});
    b.put(uint8_t{2}).put(uint8_t{10}).put(uint8_t{0}).put(uint8_t{11}).put(uint32_t{11});
    b.put(uint16_t{0xD});
    b.put(uint8_t{9}).put(uint8_t{16}).zeros(2).put(uint32_t{0x1'0000}).put(uint32_t{1});
    b.put(uint32_t{77});
    b.put(uint8_t{0x7F}).put(uint8_t{4}).zeros(2);
    return b;
}

TEST(Rsdp, PrefersTheWideTable) {
    const auto old_root = acpi::parse_rsdp(rsdp(0, 0x1000, 0).view());
    ASSERT_TRUE(old_root);
    EXPECT_EQ(old_root->address, phys(0x1000));
    EXPECT_FALSE(old_root->wide);
    const auto root = acpi::parse_rsdp(rsdp(2, 0x1000, 0x2'0000'0000).view());
    ASSERT_TRUE(root);
    EXPECT_EQ(root->address, phys(0x2'0000'0000));
    EXPECT_TRUE(root->wide);
}

TEST(Rsdp, RefusesWhatIsDamagedOrShort) {
    Builder bad = rsdp(0, 0x1000, 0);
    bad.raw()[16] ^= std::byte{1};
    EXPECT_EQ(acpi::parse_rsdp(bad.view()).error(), Err::acpi_checksum);
    Builder wide = rsdp(2, 0x1000, 0x2000);
    wide.raw()[25] ^= std::byte{1};
    EXPECT_EQ(acpi::parse_rsdp(wide.view()).error(), Err::acpi_checksum);
    EXPECT_EQ(acpi::parse_rsdp(wide.view().first(20)).error(), Err::truncated);
    EXPECT_EQ(acpi::parse_rsdp(wide.view().first(7)).error(), Err::truncated);
    wide.raw()[0] = std::byte{'X'};
    EXPECT_EQ(acpi::parse_rsdp(wide.view()).error(), Err::malformed);
}

TEST(FindTable, PassesOverUnreadableTables) {
    FakeMemory memory;
    memory.at[0x1000] = seal(
        std::move(table("RSDT").put(uint32_t{0x9000}).put(uint32_t{0x2000}).put(uint32_t{0x3000}))
    );
    memory.at[0x2000] = seal(madt());
    memory.at[0x2000].raw()[40] ^= std::byte{2};
    memory.at[0x3000] = seal(madt());
    const auto found = acpi::find_table(memory, {phys(0x1000), false}, acpi::madt_signature);
    ASSERT_TRUE(found) << "0x9000 is not there, 0x2000 is damaged, 0x3000 is good";
    EXPECT_EQ(found->data(), memory.at[0x3000].view().data());
    EXPECT_EQ(
        acpi::find_table(memory, {phys(0x1000), false}, acpi::slit_signature).error(),
        Err::not_found
    );
    EXPECT_EQ(
        acpi::find_table(memory, {phys(0x1000), true}, acpi::madt_signature).error(), Err::malformed
    ) << "an RSDT is not an XSDT";
}

TEST(FindTable, ReadsWideEntries) {
    FakeMemory memory;
    memory.at[0x1000] = seal(std::move(table("XSDT").put(uint64_t{0x5'0000'0000})));
    memory.at[0x5'0000'0000] = seal(madt());
    EXPECT_TRUE(acpi::find_table(memory, {phys(0x1000), true}, acpi::madt_signature));
}

TEST(FindTable, RefusesALengthThatCannotBe) {
    FakeMemory memory;
    memory.at[0x1000] = table("RSDT");
    memory.at[0x1000].poke(4, uint32_t{35});
    EXPECT_EQ(acpi::read_table(memory, phys(0x1000)).error(), Err::malformed);
    memory.at[0x1000].poke(4, uint32_t{0xFFFF'FFFF});
    EXPECT_EQ(acpi::read_table(memory, phys(0x1000)).error(), Err::malformed);
    memory.at[0x1000].poke(4, uint32_t{37});
    EXPECT_EQ(acpi::read_table(memory, phys(0x1000)).error(), Err::truncated);
}

TEST(Madt, GivesCoresIoApicsAndOverrides) {
    const auto parsed = acpi::parse_madt(madt().view());
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->local_apic, phys(0xFEE0'0000));
    EXPECT_TRUE(parsed->has_8259);
    ASSERT_EQ(parsed->processors.size(), 5u);
    EXPECT_TRUE(parsed->processors[2].enabled);
    EXPECT_FALSE(parsed->processors[3].enabled);
    EXPECT_EQ(parsed->processors[4].apic.raw, 0x1'0000u);
    EXPECT_EQ(parsed->processors[4].uid, 77u);
    ASSERT_EQ(parsed->io_apics.size(), 1u);
    EXPECT_EQ(parsed->io_apics[0].address, phys(0xFEC0'0000));
    EXPECT_EQ(acpi::route_isa(*parsed, 0).gsi, 2u);
    EXPECT_EQ(acpi::route_isa(*parsed, 11).polarity, acpi::Polarity::active_high);
    EXPECT_EQ(acpi::route_isa(*parsed, 11).trigger, acpi::Trigger::level);
    EXPECT_EQ(acpi::route_isa(*parsed, 4).gsi, 4u);
    EXPECT_EQ(acpi::route_isa(*parsed, 4).trigger, acpi::Trigger::edge);
    EXPECT_EQ(parsed->unknown_entries, 1u);
    EXPECT_EQ(parsed->bad_entries, 0u);
}

TEST(Madt, TakesTheAddressOverride) {
    Builder b = madt();
    b.put(uint8_t{5}).put(uint8_t{12}).zeros(2).put(uint64_t{0x1'FEE0'0000});
    EXPECT_EQ(acpi::parse_madt(b.view())->local_apic, phys(0x1'FEE0'0000));
}

TEST(Madt, RefusesEntriesThatLeaveTheTableOrDoNotAdvance) {
    Builder stuck = madt();
    stuck.put(uint8_t{0}).put(uint8_t{0});
    EXPECT_EQ(acpi::parse_madt(stuck.view()).error(), Err::malformed);
    Builder overlong = madt();
    overlong.put(uint8_t{0}).put(uint8_t{9}).zeros(6);
    EXPECT_EQ(acpi::parse_madt(overlong.view()).error(), Err::malformed);
    EXPECT_EQ(acpi::parse_madt(madt().view().first(43)).error(), Err::truncated);
}

TEST(Madt, CountsShortEntriesAndWhatDoesNotFit) {
    Builder b = madt();
    b.put(uint8_t{1}).put(uint8_t{4}).zeros(2);
    for (unsigned i = 0; i < 260; ++i)
        b.put(uint8_t{0}).put(uint8_t{8}).put(uint8_t{9}).put(uint8_t{9}).put(uint32_t{1});
    const auto parsed = acpi::parse_madt(b.view());
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->bad_entries, 1u);
    EXPECT_EQ(parsed->processors.size(), acpi::processors_max);
    EXPECT_EQ(parsed->processors.dropped(), 9u);
}

TEST(Madt, FindsTheIoApicOfAnInterrupt) {
    acpi::Madt m;
    m.io_apics.add({.id = 0, .address = phys(1), .gsi_base = 0});
    m.io_apics.add({.id = 1, .address = phys(2), .gsi_base = 24});
    EXPECT_EQ(acpi::io_apic_of(m, 23)->id, 0);
    EXPECT_EQ(acpi::io_apic_of(m, 24)->id, 1);
    EXPECT_EQ(acpi::io_apic_of(acpi::Madt{}, 0).error(), Err::not_found);
}

TEST(Mcfg, GivesTheFirstSegment) {
    Builder b = table("MCFG");
    b.zeros(8).put(uint64_t{0xB000'0000}).put(uint16_t{0}).put(uint8_t{0}).put(uint8_t{255});
    EXPECT_EQ(acpi::parse_mcfg(b.view()).error(), Err::truncated);
    b.zeros(4);
    EXPECT_EQ(acpi::parse_mcfg(b.view())->base, phys(0xB000'0000));
    EXPECT_EQ(acpi::parse_mcfg(b.view())->last_bus, 255);
}

} // namespace
