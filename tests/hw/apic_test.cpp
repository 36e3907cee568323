#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "lib/hw/ioapic.hpp"
#include "lib/hw/lapic.hpp"

namespace {

using namespace hw;

TEST(LocalApic, DivideCodesAreThoseOfTheManual) {
    EXPECT_EQ(lapic::divide_by(0).raw, 0b1011u);
    EXPECT_EQ(lapic::divide_by(1).raw, 0b0000u);
    EXPECT_EQ(lapic::divide_by(2).raw, 0b0001u);
    EXPECT_EQ(lapic::divide_by(4).raw, 0b0011u);
    EXPECT_EQ(lapic::divide_by(5).raw, 0b1000u);
    EXPECT_EQ(lapic::divide_by(7).raw, 0b1010u);
}

TEST(LocalApic, CommandsAreThoseOfTheStartUpProtocol) {
    EXPECT_EQ(lapic::init_ipi().raw, 0x0000'C500u);
    EXPECT_EQ(lapic::startup_ipi(0x08).raw, 0x0000'4608u);
    EXPECT_EQ(lapic::ipi(0x41).raw, 0x0000'4041u);
    EXPECT_EQ(lapic::x2apic_msr(lapic::Eoi::offset), 0x80Bu);
    EXPECT_EQ(lapic::x2apic_msr(lapic::Command::offset), 0x830u);
}

struct Chip { // select and window, 24 pins
    uint32_t index{};
    uint32_t eoi{};
    std::map<uint32_t, uint32_t> cells{{1, 0x0017'0020}};
    std::vector<uint32_t> order;
};

struct ChipIo {
    Chip* chip;

    template <class T>
    T load(uint32_t offset) {
        return offset == 0x10 ? T(chip->cells[chip->index]) : T(chip->index);
    }

    void store(uint32_t offset, uint32_t v) {
        if (offset == 0x00) chip->index = v;
        if (offset == 0x40) chip->eoi = v;
        if (offset != 0x10) return;
        chip->cells[chip->index] = v;
        chip->order.push_back(chip->index);
    }
};

TEST(IoApic, EntryRoundTripsBitForBit) {
    const ioapic::Entry entry{
        .vector = 0x41,
        .delivery = ioapic::Delivery::fixed,
        .logical = false,
        .active_low = true,
        .level = true,
        .masked = false,
        .destination = 3,
    };
    EXPECT_EQ(ioapic::encode(entry), 0x0300'0000'0000'A041u);
    EXPECT_EQ(ioapic::decode(ioapic::encode(entry)), entry);
    EXPECT_TRUE(ioapic::decode(0x5000).remote_irr);
    EXPECT_TRUE(ioapic::decode(0x5000).pending);
    EXPECT_EQ(ioapic::encode({}), 0x1'0000u) << "an entry nobody filled in is masked";
}

TEST(IoApic, WritesTheUnmaskingHalfLast) {
    Chip chip;
    ioapic::IoApic<ChipIo> apic{ChipIo{&chip}};
    EXPECT_EQ(apic.pins(), 24u);
    EXPECT_EQ(apic.version(), 0x20);
    const ioapic::Entry entry{.vector = 0x30, .level = true, .masked = false, .destination = 7};
    apic.write(11, entry);
    EXPECT_EQ(chip.order, (std::vector<uint32_t>{0x26, 0x27, 0x26}));
    EXPECT_EQ(apic.read(11), entry);
    apic.set_mask(11, entry, true);
    EXPECT_TRUE(apic.read(11).masked);
    EXPECT_EQ(apic.read(11).destination, 7);
    apic.end_of_interrupt(0x30);
    EXPECT_EQ(chip.eoi, 0x30u);
}

} // namespace
