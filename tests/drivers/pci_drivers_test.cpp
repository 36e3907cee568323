#include <gtest/gtest.h>

#include "drivers/pci/drivers.hpp"

using namespace pci;

namespace {

constexpr uint64_t begin = 0xc000'0000, end = 0xfec0'0000;

hw::PciFunction card() {
    hw::PciFunction f{};
    f.vendor = 0x8086;
    f.device = 0x100e;
    f.bars[0] = {0xfebc'0000, 0x2'0000, hw::PciBar::Kind::memory32, false};
    f.bars[1] = {0xc000, 0x40, hw::PciBar::Kind::io, false};
    return f;
}

TEST(PciDrivers, KnowTheCardsOfQemu) {
    for (const uint16_t device : std::array<uint16_t, 3>{0x100e, 0x100f, 0x10d3}) {
        auto f = card();
        f.device = device;
        ASSERT_NE(driver_of(f), nullptr);
        EXPECT_EQ(driver_of(f)->program, "e1000");
    }
    auto other = card();
    other.device = 0x7000;
    EXPECT_EQ(driver_of(other), nullptr);
}

TEST(PciDrivers, GetTheirRegistersOnly) {
    const auto f = card();
    const auto part = registers_of(f, *driver_of(f), begin, end);
    ASSERT_TRUE(part);
    EXPECT_EQ(part->offset, 0xfebc'0000u - begin);
    EXPECT_EQ(part->bytes, 0x2'0000u);
}

TEST(PciDrivers, AreRefusedWindowsThatCannotBeGivenAway) {
    const auto why = [](hw::PciBar bar) {
        auto f = card();
        f.bars[0] = bar;
        return registers_of(f, *driver_of(f), begin, end).error();
    };
    using enum hw::PciBar::Kind;
    EXPECT_EQ(why({0xc000, 0x40, io, false}), Err::not_found);
    EXPECT_EQ(why({}), Err::not_found);
    EXPECT_EQ(why({0x1000, 0x1000, memory32, false}), Err::range_bounds);
    EXPECT_EQ(why({end - 0x1000, 0x2000, memory32, false}), Err::range_bounds);
    EXPECT_EQ(why({~uint64_t{0xfff}, 0x1000, memory64, false}), Err::range_bounds);
    EXPECT_EQ(why({begin, ~uint64_t{0xfff}, memory64, false}), Err::range_bounds);
    EXPECT_EQ(why({begin, 0x100, memory32, false}), Err::misaligned);
}

} // namespace
