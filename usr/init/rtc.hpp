// Time of day from the clock chip that every PC has: MC146818 at ports 0x70/0x71 (data sheet,
// "Address map" and register B). Read once, at start.
#pragma once

#include <array>
#include <cstdint>

#include "lib/base/result.hpp"
#include "lib/hw/port.hpp"

namespace init {

struct CivilTime {
    unsigned year, month, day, hour, minute, second;
    friend constexpr bool operator==(const CivilTime&, const CivilTime&) = default;
};

/// Seconds since 1970-01-01 00:00 UTC. Days are counted from March on, so that the leap day is the
/// last of its year.
constexpr uint64_t unix_time(const CivilTime& t) {
    const uint64_t year = t.month > 2 ? t.year : t.year - 1;
    const uint64_t month = t.month > 2 ? t.month - 3 : t.month + 9;
    const uint64_t leap_days = year / 4 - year / 100 + year / 400;
    const uint64_t day = 365 * year + leap_days + (153 * month + 2) / 5 + t.day - 1;
    constexpr uint64_t epoch = 719468; // the same sum for 1970-01-01
    return (((day - epoch) * 24 + t.hour) * 60 + t.minute) * 60 + t.second;
}

namespace rtc {
constexpr uint16_t index_port = 0x70, data_port = 0x71;
constexpr uint8_t second = 0, minute = 2, hour = 4, day = 7, month = 8, year = 9;
constexpr uint8_t register_a = 0x0a, register_b = 0x0b;
constexpr uint8_t updating = 0x80; // in A: the time registers are about to change
constexpr uint8_t binary = 0x04, hours_24 = 0x02; // in B
constexpr uint8_t afternoon = 0x80;               // in the hour, when hours are 1..12
} // namespace rtc

template <hw::PortIo P>
class Rtc {
  public:
    explicit Rtc(P& ports) : ports_{&ports} {}

    /// Errors: device_fault (never quiet, or no time of this century).
    Result<CivilTime> read() {
        // An update takes 2 ms a second; two equal readings have none between them.
        for (int attempt = 0; attempt < 10000; ++attempt) {
            if ((get(rtc::register_a) & rtc::updating) != 0) continue;
            const auto first = snapshot();
            if (first == snapshot()) return decode(first);
        }
        return fail(Err::device_fault);
    }

  private:
    using Snapshot = std::array<uint8_t, 6>;

    uint8_t get(uint8_t index) {
        ports_->out8(rtc::index_port, index);
        return ports_->in8(rtc::data_port);
    }

    Snapshot snapshot() {
        using namespace rtc;
        return {get(second), get(minute), get(hour), get(day), get(month), get(year)};
    }

    Result<CivilTime> decode(const Snapshot& s) {
        const uint8_t mode = get(rtc::register_b);
        const bool binary = (mode & rtc::binary) != 0;
        const auto number = [&](uint8_t raw) -> unsigned {
            return binary ? raw : (raw >> 4) * 10u + (raw & 0xfu);
        };
        const bool late = (s[2] & rtc::afternoon) != 0;
        unsigned hour = number(s[2] & static_cast<uint8_t>(~rtc::afternoon));
        if ((mode & rtc::hours_24) == 0) hour = hour % 12 + (late ? 12 : 0);
        const CivilTime t{
            2000 + number(s[5]), number(s[4]), number(s[3]), hour, number(s[1]), number(s[0])
        };
        const bool sane = t.year < 2100 && t.month >= 1 && t.month <= 12 && t.day >= 1 &&
                          t.day <= 31 && t.hour < 24 && t.minute < 60 && t.second < 61;
        if (!sane) return fail(Err::device_fault);
        return t;
    }

    P* ports_;
};

} // namespace init
