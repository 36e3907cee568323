#include <gtest/gtest.h>

#include "drivers/pci/routing.hpp"
#include "drivers/pci/scan.hpp"
#include "tests/drivers/fake_pci.hpp"

namespace {

using hw::PciAddress;
using hw::PciBar;
using hw::PciFunction;

/// QEMU's pc: host bridge, PIIX3 with a second function, and an e1000 in slot 3.
class Pc : public testing::Test {
  protected:
    FakePci machine;
    pci::PortConfig<FakePci> config{machine};

    void SetUp() override {
        machine.functions[{0, 0, 0}].id(0x8086, 0x1237, 0x06'00'00);
        machine.functions[{0, 0, 0}].set<uint16_t>(4, 0x2);
        machine.functions[{0, 1, 0}].id(0x8086, 0x7000, 0x06'01'00);
        machine.functions[{0, 1, 0}].set<uint8_t>(0x0E, 0x80);
        machine.functions[{0, 1, 1}].id(0x8086, 0x7010, 0x01'01'80);
        auto& nic = machine.functions[{0, 3, 0}].id(0x8086, 0x100E, 0x02'00'00);
        nic.set<uint16_t>(4, 0x0107);
        nic.set<uint8_t>(0x3C, 11);
        nic.set<uint8_t>(0x3D, 1);
        nic.bar(0, 0xFEBC'0000, 0xFFFE'0000).bar(1, 0xC001, 0xFFFF'FFC0);
    }

    const PciFunction& find(const pci::Inventory& found, PciAddress at) {
        for (const PciFunction& f : found.functions)
            if (f.at == at) return f;
        throw std::logic_error("not in the inventory");
    }

    PciFunction nic() { return find(pci::scan(config), {0, 3, 0}); }
};

TEST_F(Pc, FindsEveryFunctionOnce) {
    const auto found = pci::scan(config);
    ASSERT_EQ(found.functions.size(), 4u);
    EXPECT_TRUE(found.functions[2].is(0x8086, 0x7010)) << "second function of the ISA bridge";
    EXPECT_EQ(found.bad_bars, 0u);
}

TEST_F(Pc, IgnoresHigherFunctionsOfASingleFunctionDevice) {
    machine.functions[{0, 3, 1}] = machine.functions[{0, 3, 0}];
    EXPECT_EQ(pci::scan(config).functions.size(), 4u);
}

TEST_F(Pc, SizesWindowsWithDecodingOffAndRestoresThem) {
    const PciFunction f = nic();
    EXPECT_EQ(f.bars[0].kind, PciBar::Kind::memory32);
    EXPECT_EQ(f.bars[0].base, 0xFEBC'0000u);
    EXPECT_EQ(f.bars[0].bytes, 0x2'0000u);
    EXPECT_EQ(f.bars[1].kind, PciBar::Kind::io);
    EXPECT_EQ(f.bars[1].base, 0xC000u);
    EXPECT_EQ(f.bars[1].bytes, 64u);
    EXPECT_EQ(f.bars[2].kind, PciBar::Kind::none);
    const auto& raw = machine.functions[{0, 3, 0}];
    EXPECT_FALSE(raw.decoded_while_sizing);
    EXPECT_EQ(raw.get(0x10, 4), 0xFEBC'0000u);
    EXPECT_EQ(raw.get(4, 2), 0x0107u);
}

TEST_F(Pc, ReadsA64BitWindowFromTwoRegisters) {
    auto& raw = machine.functions[{0, 3, 0}];
    raw.bar(2, 0x0000'000C, 0xC000'0000).bar(3, 0x4, 0xFFFF'FFFF);
    const PciFunction f = nic();
    EXPECT_EQ(f.bars[2].kind, PciBar::Kind::memory64);
    EXPECT_EQ(f.bars[2].base, 0x4'0000'0000u);
    EXPECT_EQ(f.bars[2].bytes, 0x4000'0000u);
    EXPECT_TRUE(f.bars[2].prefetchable);
    EXPECT_EQ(f.bars[3].kind, PciBar::Kind::none);
}

TEST_F(Pc, CountsWindowsThatCannotBe) {
    auto& raw = machine.functions[{0, 3, 0}];
    raw.bar(2, 0, 0xFF0F'0000);   // a hole in the mask
    raw.bar(5, 0x4, 0xFFFF'F000); // 64 bits, and no register left
    const auto found = pci::scan(config);
    EXPECT_EQ(found.bad_bars, 2u);
    EXPECT_EQ(find(found, {0, 3, 0}).bars[5].kind, PciBar::Kind::none);
}

TEST_F(Pc, WalksCapabilitiesAndSurvivesALoop) {
    auto& raw = machine.functions[{0, 3, 0}];
    raw.set<uint16_t>(6, 0x10);
    raw.set<uint8_t>(0x34, 0x50);
    raw.set<uint16_t>(0x50, 0x60'05);
    raw.set<uint16_t>(0x60, 0x00'11);
    PciFunction f = nic();
    EXPECT_EQ(f.msi, 0x50);
    EXPECT_EQ(f.msix, 0x60);
    raw.set<uint16_t>(0x60, 0x50'11);
    EXPECT_EQ(pci::scan(config).bad_capabilities, 1u) << "a loop ends";
    raw.set<uint16_t>(0x60, 0x3C'11);
    EXPECT_EQ(pci::scan(config).bad_capabilities, 1u) << "a pointer into the header ends";
}

TEST_F(Pc, FollowsBridgesAndTurnsPins) {
    auto& bridge = machine.functions[{0, 5, 0}].id(0x1B36, 0x0001, 0x06'04'00);
    bridge.set<uint8_t>(0x0E, 1);
    bridge.set<uint8_t>(0x19, 2);
    machine.functions[{2, 4, 0}].id(0x8086, 0x100E, 0x02'00'00).set<uint8_t>(0x3D, 2);
    auto& loop = machine.functions[{2, 6, 0}].id(0x1B36, 0x0001, 0x06'04'00);
    loop.set<uint8_t>(0x0E, 1);
    loop.set<uint8_t>(0x19, 2);
    const auto found = pci::scan(config);
    const PciFunction& f = find(found, {2, 4, 0});
    EXPECT_EQ(f.root_device, 5);
    EXPECT_EQ(f.root_pin, 2) << "INTB of device 4: (1 + 4) mod 4 is INTB again";
    EXPECT_EQ(found.bridges_skipped, 1u);
}

TEST_F(Pc, SaysHowManyDidNotFit) {
    for (uint8_t device = 4; device < 32; ++device)
        for (uint8_t function = 0; function < 8; ++function) {
            auto& f = machine.functions[{0, device, function}].id(1, 2, 0);
            f.set<uint8_t>(0x0E, 0x80);
        }
    const auto found = pci::scan(config);
    EXPECT_EQ(found.functions.size(), pci::functions_max);
    EXPECT_EQ(found.functions.dropped(), 4 + 28 * 8 - pci::functions_max);
}

TEST_F(Pc, EnablesExactlyWhatIsAsked) {
    const auto& raw = machine.functions[{0, 3, 0}];
    pci::enable(config, {0, 3, 0}, {.memory = true, .bus_master = true, .intx = true});
    EXPECT_EQ(raw.get(4, 2), 0x0106u);
    pci::enable(config, {0, 3, 0}, {.memory = true});
    EXPECT_EQ(raw.get(4, 2), 0x0502u);
}

class PiixRouting : public Pc {
  protected:
    FakeFunction& isa() { return machine.functions[{0, 1, 0}]; }

    Result<pci::IntxRoute> route(const PciFunction& f) {
        const auto found = pci::scan(config);
        return pci::route_intx(config, pci::find_router(found.functions.entries()), f);
    }
};

TEST_F(PiixRouting, AsksTheChipsetAndNotTheInterruptLine) {
    isa().set<uint32_t>(0x60, 0x0B0B'0A0A);
    machine.functions[{0, 3, 0}].set<uint8_t>(0x3C, 5);
    EXPECT_EQ(route(nic()), (pci::IntxRoute{11, true})) << "slot 3 INTA is line C";
    PciFunction f = nic();
    f.root_device = 2;
    f.root_pin = 4;
    EXPECT_EQ(route(f), (pci::IntxRoute{10, true})) << "slot 2 INTD is line A";
}

TEST_F(PiixRouting, ProgramsALineThatTheFirmwareLeft) {
    isa().set<uint32_t>(0x60, 0x8080'8080);
    EXPECT_EQ(route(nic()), (pci::IntxRoute{11, true}));
    EXPECT_EQ(isa().get(0x62, 1), 11u);
    EXPECT_EQ(isa().get(0x60, 1), 0x80u) << "the other lines stay";
    isa().set<uint8_t>(0x62, 2); // reserved
    EXPECT_EQ(route(nic()), (pci::IntxRoute{11, true}));
}

TEST_F(PiixRouting, HasNoRouteWithoutPinOrChipset) {
    PciFunction f = nic();
    EXPECT_EQ(pci::route_intx(config, {}, f).error(), Err::unsupported);
    f.root_pin = 0;
    EXPECT_EQ(route(f).error(), Err::not_found);
}

TEST(Ich9Routing, IsByTable) {
    FakePci machine;
    pci::PortConfig<FakePci> config{machine};
    const pci::Router router{pci::Chipset::ich9, {0, 31, 0}};
    const auto gsi = [&](uint8_t device, uint8_t pin) {
        PciFunction f;
        f.root_device = device;
        f.root_pin = pin;
        return pci::route_intx(config, router, f)->gsi;
    };
    EXPECT_EQ(gsi(2, 1), 22u);
    EXPECT_EQ(gsi(2, 3), 20u);
    EXPECT_EQ(gsi(3, 1), 23u);
    EXPECT_EQ(gsi(31, 1), 16u);
    EXPECT_EQ(gsi(30, 4), 23u);
}

} // namespace
