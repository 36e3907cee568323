// Time of day from the PC's clock chip, as seconds since 1970. The chip is taken to run in UTC.
// Source: Motorola MC146818A data sheet; the century at 0x32 is a PC habit, not the chip's.
#pragma once

#include <array>
#include <cstdint>

#include "lib/base/result.hpp"
#include "lib/base/time.hpp"
#include "lib/hw/port.hpp"
#include "lib/hw/reg.hpp"

namespace rtc {

constexpr uint16_t index_port = 0x70, data_port = 0x71; // bit 7 of the index masks NMI: kept 0

// clang-format off
struct Seconds : hw::Reg<0x00, hw::ReadWrite, uint8_t> {};
struct Minutes : hw::Reg<0x02, hw::ReadWrite, uint8_t> {};
struct Hours : hw::Reg<0x04, hw::ReadWrite, uint8_t> {
    using Afternoon = Bit<7>;                              // in 12-hour mode
};
struct Day : hw::Reg<0x07, hw::ReadWrite, uint8_t> {};
struct Month : hw::Reg<0x08, hw::ReadWrite, uint8_t> {};
struct Year : hw::Reg<0x09, hw::ReadWrite, uint8_t> {};
struct StatusA : hw::Reg<0x0A, hw::ReadWrite, uint8_t> {
    using Updating = Bit<7>;                               // the time is not to be read
};
struct StatusB : hw::Reg<0x0B, hw::ReadWrite, uint8_t> {
    using Hours24 = Bit<1>;
    using Binary  = Bit<2>;                                // else two decimal digits a byte
};
struct Century : hw::Reg<0x32, hw::ReadWrite, uint8_t> {};

// clang-format on

struct Date {
    uint32_t year{}, month{}, day{}; // month and day from 1
    uint32_t hour{}, minute{}, second{};
    friend constexpr bool operator==(const Date&, const Date&) = default;
};

constexpr bool is_leap(uint32_t year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

constexpr uint32_t days_in(uint32_t year, uint32_t month) {
    constexpr std::array<uint8_t, 12> days{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + uint32_t{month == 2 && is_leap(year)};
}

/// Seconds since 1970-01-01 00:00.
///   errors   malformed (no such day or time, or before 1970)
constexpr Result<int64_t> unix_seconds(const Date& d) {
    if (d.year < 1970 || d.year > 9999 || d.month < 1 || d.month > 12) return fail(Err::malformed);
    if (d.day < 1 || d.day > days_in(d.year, d.month)) return fail(Err::malformed);
    if (d.hour > 23 || d.minute > 59 || d.second > 59) return fail(Err::malformed);
    const uint32_t before = d.year - 1;
    const uint32_t leap_days = before / 4 - before / 100 + before / 400 - 477; // since 1970
    int64_t days = int64_t{d.year - 1970} * 365 + leap_days + d.day - 1;
    for (uint32_t month = 1; month < d.month; ++month)
        days += days_in(d.year, month);
    return days * 86'400 + d.hour * 3'600 + d.minute * 60 + d.second;
}

/// The Io of a Block of the chip's registers: index, then data.
template <hw::PortIo P>
class ChipIo {
  public:
    constexpr explicit ChipIo(P& ports) : ports_{&ports} {}

    template <class T>
    T load(uint32_t index) {
        ports_->out8(index_port, static_cast<uint8_t>(index));
        return ports_->in8(data_port);
    }

    template <class T>
    void store(uint32_t index, T v) {
        ports_->out8(index_port, static_cast<uint8_t>(index));
        ports_->out8(data_port, static_cast<uint8_t>(v));
    }

  private:
    P* ports_;
};

/// What the registers hold at one moment, undecoded.
struct Raw {
    std::array<uint8_t, 7> digits{}; // second, minute, hour, day, month, year, century
    uint8_t status_b{};
    friend constexpr bool operator==(const Raw&, const Raw&) = default;
};

/// errors   malformed (no decimal digits, no such hour)
constexpr Result<Date> decode(Raw raw) {
    const StatusB::Value mode{raw.status_b};
    const Hours::Value hours{raw.digits[2]};
    const bool twelve = !mode.get<StatusB::Hours24>();
    const bool afternoon = twelve && hours.get<Hours::Afternoon>();
    if (twelve) raw.digits[2] = hours.with(Hours::Afternoon{false}).raw;
    std::array<uint32_t, 7> n{};
    for (size_t i = 0; i < n.size(); ++i) {
        const uint32_t high = raw.digits[i] >> 4, low = raw.digits[i] & 15;
        const bool decimal = high <= 9 && low <= 9;
        if (mode.get<StatusB::Binary>())
            n[i] = raw.digits[i];
        else if (decimal)
            n[i] = high * 10 + low;
        else if (i < 6)
            return fail(Err::malformed);
    }
    if (twelve && (n[2] < 1 || n[2] > 12)) return fail(Err::malformed);
    if (twelve) n[2] = n[2] % 12 + (afternoon ? 12 : 0);
    if (n[5] > 99) return fail(Err::malformed);
    // Not every machine has a century there; a year below 70 is then one of this century's.
    const bool century_known = n[6] >= 19 && n[6] <= 99;
    const uint32_t century = century_known ? n[6] : n[5] < 70 ? 20 : 19;
    return Date{century * 100 + n[5], n[4], n[3], n[2], n[1], n[0]};
}

/// Reads the clock, seconds since 1970. `delay(Duration)` returns after at least that time.
///   errors   device_fault (always updating, or never twice the same); malformed
template <hw::PortIo P, class Delay>
Result<int64_t> read(P& ports, Delay&& delay) {
    hw::Block<ChipIo<P>> chip{ChipIo<P>{ports}};
    // An update can fall between two reads: only what reads the same twice is believed. It takes
    // 2 ms at most (data sheet, "update cycle").
    const auto snapshot = [&chip] {
        return Raw{
            {chip.template read<Seconds>().raw,
             chip.template read<Minutes>().raw,
             chip.template read<Hours>().raw,
             chip.template read<Day>().raw,
             chip.template read<Month>().raw,
             chip.template read<Year>().raw,
             chip.template read<Century>().raw},
            chip.template read<StatusB>().raw
        };
    };
    for (unsigned tries = 0; tries < 100; ++tries) {
        if (!chip.template read<StatusA>().template get<StatusA::Updating>()) {
            const Raw first = snapshot();
            if (first == snapshot()) return unix_seconds(TRY(decode(first)));
        }
        delay(microseconds(250));
    }
    return fail(Err::device_fault);
}

} // namespace rtc
