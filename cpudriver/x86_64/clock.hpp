// This core's clock: nanoseconds from its time stamp counter, and the local APIC's timer as a
// one-shot alarm. Frequencies are found once, against the 8254 timer, or given.
#pragma once

#include <cstdint>

#include "cpudriver/x86_64/apic.hpp"
#include "cpudriver/x86_64/instructions.hpp"
#include "lib/base/time.hpp"

namespace cpu {

/// Ticks to nanoseconds and back, by a multiplication and a shift.
struct Rate {
    uint64_t ns_per_tick{};  // 32.32 fixed point
    uint64_t ticks_per_ns{}; // the same

    static constexpr Rate of_khz(uint64_t khz) {
        constexpr uint64_t khz_of_ns = 1'000'000;
        return {(khz_of_ns << 32) / khz, (khz << 32) / khz_of_ns};
    }

    constexpr uint64_t ns(uint64_t ticks) const { return scaled(ticks, ns_per_tick); }

    constexpr uint64_t ticks(uint64_t ns) const { return scaled(ns, ticks_per_ns); }

  private:
    static constexpr uint64_t scaled(uint64_t v, uint64_t factor) {
        return static_cast<uint64_t>(static_cast<unsigned __int128>(v) * factor >> 32);
    }
};

static_assert(Rate::of_khz(1'000'000).ns(123'456) == 123'456);
static_assert(Rate::of_khz(62'500).ticks(16'000) == 1'000);

class Clock {
  public:
    /// Instant{0} is now. 0 kHz: measured.
    void start(uint64_t tsc_khz);

    Instant now() const { return {duration(read_tsc() - tsc_at_start_).ns}; }

    Duration duration(uint64_t ticks) const { return {static_cast<int64_t>(rate_.ns(ticks))}; }

    uint64_t tsc_khz() const { return tsc_khz_; }

    uint64_t tsc_at_start() const { return tsc_at_start_; }

  private:
    uint64_t tsc_khz_{}, tsc_at_start_{};
    Rate rate_{};
};

/// Rings at the deadline or earlier, never later than the hardware can: who is woken looks at the
/// clock. Re-armed only for an earlier deadline, since writing the device costs more than looking.
class Alarm {
  public:
    Alarm(LocalApic& apic, const Clock& clock);

    void set(Instant deadline) {
        if (deadline < armed_) arm(deadline);
    }

    void has_rung() { armed_ = never; }

    uint64_t timer_khz() const { return timer_khz_; }

  private:
    void arm(Instant deadline);

    LocalApic& apic_;
    const Clock& clock_;
    Instant armed_{never};
    uint64_t timer_khz_{};
    Rate rate_{};
};

} // namespace cpu
