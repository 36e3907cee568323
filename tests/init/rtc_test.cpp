#include "usr/init/rtc.hpp"

#include <gtest/gtest.h>

namespace {

class FakeClock {
  public:
    uint8_t in8(uint16_t port) { return port == 0x71 ? reg[index] : 0xff; }

    uint16_t in16(uint16_t) { return 0; }

    uint32_t in32(uint16_t) { return 0; }

    void out8(uint16_t port, uint8_t v) {
        if (port == 0x70) index = v;
    }

    void out16(uint16_t, uint16_t) {}

    void out32(uint16_t, uint32_t) {}

    uint8_t index{};
    std::array<uint8_t, 256> reg{};
};

FakeClock clock_at(std::initializer_list<uint8_t> time, uint8_t mode) {
    FakeClock clock;
    constexpr std::array<uint8_t, 6> where{0, 2, 4, 7, 8, 9};
    size_t i = 0;
    for (uint8_t v : time)
        clock.reg[where[i++]] = v;
    clock.reg[0x0b] = mode;
    return clock;
}

TEST(Rtc, ReadsPackedDecimal) {
    FakeClock clock = clock_at({0x56, 0x34, 0x12, 0x28, 0x02, 0x24}, 0x02);
    init::Rtc rtc{clock};
    EXPECT_EQ(*rtc.read(), (init::CivilTime{2024, 2, 28, 12, 34, 56}));
}

TEST(Rtc, ReadsBinaryWithTwelveHours) {
    FakeClock clock = clock_at({56, 34, 0x80 | 12, 28, 2, 24}, 0x04);
    init::Rtc rtc{clock};
    EXPECT_EQ(rtc.read()->hour, 12u) << "12 p.m. is noon";
    clock.reg[4] = 12;
    EXPECT_EQ(rtc.read()->hour, 0u) << "12 a.m. is midnight";
    clock.reg[4] = 0x80 | 11;
    EXPECT_EQ(rtc.read()->hour, 23u);
}

TEST(Rtc, GivesUpOnAClockThatIsNotThere) {
    FakeClock clock;
    clock.reg.fill(0xff);
    EXPECT_EQ(init::Rtc{clock}.read().error(), Err::device_fault);
    clock.reg[0x0a] = 0;
    EXPECT_EQ(init::Rtc{clock}.read().error(), Err::device_fault) << "month 165";
}

TEST(Rtc, CountsSecondsSince1970) {
    EXPECT_EQ(init::unix_time({1970, 1, 1, 0, 0, 0}), 0u);
    EXPECT_EQ(init::unix_time({2000, 2, 29, 23, 59, 59}), 951868799u);
    EXPECT_EQ(init::unix_time({2024, 3, 1, 0, 0, 0}), 1709251200u);
    EXPECT_EQ(init::unix_time({2099, 12, 31, 0, 0, 0}), 4102358400u);
}

} // namespace
