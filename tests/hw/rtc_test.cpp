#include "lib/hw/rtc.hpp"

#include <gtest/gtest.h>

#include <ctime>

namespace {

using rtc::Date;

struct FakeChip {
    std::array<uint8_t, 128> cells{};
    uint8_t index{};
    unsigned updating{};          // so many looks at status A say: updating
    unsigned ticks_during_read{}; // the seconds move while they are read

    uint8_t in8(uint16_t port) {
        if (port != 0x71) return 0xFF;
        if (index == 0x0A && updating > 0) {
            --updating;
            return 0x80;
        }
        if (index == 0 && ticks_during_read > 0) {
            --ticks_during_read;
            return cells[0]++;
        }
        return cells.at(index);
    }

    void out8(uint16_t port, uint8_t v) {
        if (port == 0x70) index = v;
    }

    uint16_t in16(uint16_t) { return 0; }

    uint32_t in32(uint16_t) { return 0; }

    void out16(uint16_t, uint16_t) {}

    void out32(uint16_t, uint32_t) {}
};

class Clock : public testing::Test {
  protected:
    FakeChip chip;
    Duration waited{};

    void
    set(uint8_t mode,
        uint8_t century,
        uint8_t year,
        uint8_t month,
        uint8_t day,
        uint8_t hour,
        uint8_t minute,
        uint8_t second) {
        chip.cells[0] = second;
        chip.cells[2] = minute;
        chip.cells[4] = hour;
        chip.cells[7] = day;
        chip.cells[8] = month;
        chip.cells[9] = year;
        chip.cells[0x0B] = mode;
        chip.cells[0x32] = century;
    }

    Result<int64_t> read() {
        return rtc::read(chip, [this](Duration d) { waited = waited + d; });
    }
};

TEST_F(Clock, ReadsDecimalDigits) {
    set(0x02, 0x20, 0x26, 0x11, 0x22, 0x13, 0x59, 0x08);
    EXPECT_EQ(read(), 1795355948);
}

TEST_F(Clock, ReadsBinary) {
    set(0x06, 20, 26, 11, 22, 13, 59, 8);
    EXPECT_EQ(read(), 1795355948);
}

TEST_F(Clock, ReadsTwelveHours) {
    set(0x00, 0x20, 0x26, 0x11, 0x22, 0x81, 0x59, 0x08);
    EXPECT_EQ(read(), 1795355948) << "1 pm";
    chip.cells[4] = 0x92;
    EXPECT_EQ(read(), 1795355948 - 3600) << "12 pm is noon";
    chip.cells[4] = 0x12;
    EXPECT_EQ(read(), 1795355948 - 13 * 3600) << "12 am is midnight";
    chip.cells[4] = 0x13;
    EXPECT_EQ(read().error(), Err::malformed);
}

TEST_F(Clock, GuessesAMissingCentury) {
    set(0x02, 0x00, 0x26, 0x11, 0x22, 0x13, 0x59, 0x08);
    EXPECT_EQ(read(), 1795355948);
    set(0x02, 0xFF, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59);
    EXPECT_EQ(read(), 946684799);
}

TEST_F(Clock, WaitsForAnUpdateToEnd) {
    set(0x02, 0x20, 0x26, 0x11, 0x22, 0x13, 0x59, 0x08);
    chip.updating = 5;
    EXPECT_EQ(read(), 1795355948);
    EXPECT_EQ(waited, microseconds(1250));
    chip.updating = ~0u;
    EXPECT_EQ(read().error(), Err::device_fault);
}

TEST_F(Clock, ReadsAgainWhenTheTimeMoved) {
    set(0x06, 20, 26, 11, 22, 13, 59, 1);
    chip.ticks_during_read = 3;
    EXPECT_EQ(read(), 1795355944) << "second 4, after two reads that agree";
}

TEST_F(Clock, RefusesWhatIsNoTime) {
    set(0x02, 0x20, 0x26, 0x11, 0x31, 0x13, 0x59, 0x08);
    EXPECT_EQ(read().error(), Err::malformed) << "no 31st of November";
    set(0x02, 0x20, 0x26, 0x1A, 0x01, 0x13, 0x59, 0x08);
    EXPECT_EQ(read().error(), Err::malformed);
    set(0x06, 20, 26, 0, 1, 13, 59, 8);
    EXPECT_EQ(read().error(), Err::malformed);
    set(0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF);
    EXPECT_EQ(read().error(), Err::malformed) << "nobody there";
}

TEST(UnixSeconds, AgreeWithTheHostForEveryDayOfTwoCenturies) {
    for (int64_t day = 0; day < 73'000; ++day) {
        const std::time_t t = day * 86'400 + 12'345;
        std::tm tm{};
        gmtime_r(&t, &tm);
        const Date d{
            static_cast<uint32_t>(tm.tm_year + 1900),
            static_cast<uint32_t>(tm.tm_mon + 1),
            static_cast<uint32_t>(tm.tm_mday),
            static_cast<uint32_t>(tm.tm_hour),
            static_cast<uint32_t>(tm.tm_min),
            static_cast<uint32_t>(tm.tm_sec)
        };
        ASSERT_EQ(rtc::unix_seconds(d), t);
    }
    EXPECT_EQ(rtc::unix_seconds({1969, 12, 31, 0, 0, 0}).error(), Err::malformed);
    EXPECT_FALSE(rtc::unix_seconds({2100, 2, 29, 0, 0, 0}));
    EXPECT_TRUE(rtc::unix_seconds({2000, 2, 29, 0, 0, 0}));
}

} // namespace
