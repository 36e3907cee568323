#include "cpudriver/x86_64/clock.hpp"

#include "cpudriver/x86_64/panic.hpp"

#include <algorithm>
#include <limits>

namespace cpu {

namespace {

// 8254: channel 2 counts down without interrupting anybody. Source: Intel 231164-005.
constexpr uint64_t pit_hz = 1'193'182;
constexpr uint16_t pit_channel_2 = 0x42, pit_command = 0x43, pit_gate = 0x61;
constexpr uint8_t latch_channel_2 = 0x80, count_from_zero_bytes_both = 0xb0;

/// Both counters at one moment: the device's between two looks at the TSC.
struct Sample {
    uint64_t tsc, spread, count;
};

/// The least spread out of a few: whoever is interrupted by a hypervisor between the looks tries
/// again. `count` reads the device.
template <class Count>
Sample sample(Count count) {
    Sample best{0, std::numeric_limits<uint64_t>::max(), 0};
    for (int i = 0; i < 8; ++i) {
        const uint64_t before = read_tsc();
        const uint64_t c = count();
        const uint64_t after = read_tsc();
        if (after - before < best.spread) best = {before + (after - before) / 2, after - before, c};
    }
    return best;
}

/// kHz of one counter by another, twice the same within 1/256, or the last of several attempts.
template <class Measure>
uint64_t settle(Measure measure) {
    uint64_t last = measure();
    for (int i = 0; i < 8; ++i) {
        const uint64_t next = measure();
        const uint64_t apart = next > last ? next - last : last - next;
        if (apart <= next / 256) return next;
        last = next;
    }
    return last;
}

uint16_t pit_count() {
    out8(pit_command, latch_channel_2);
    const uint8_t low = in8(pit_channel_2);
    return static_cast<uint16_t>(low | in8(pit_channel_2) << 8);
}

void start_pit() {
    out8(pit_gate, static_cast<uint8_t>((in8(pit_gate) & ~2) | 1)); // speaker off, gate open
    out8(pit_command, count_from_zero_bytes_both);
    out8(pit_channel_2, 0xff);
    out8(pit_channel_2, 0xff);
}

uint64_t measure_tsc_khz() {
    constexpr uint64_t wait = pit_hz / 200; // 5 ms, far from the 55 ms at which it wraps
    constexpr uint64_t no_clock_is_so_fast = uint64_t{1} << 32; // cycles in 5 ms
    start_pit();
    const Sample begin = sample(pit_count);
    while (begin.count - pit_count() < wait) {
        if (read_tsc() - begin.tsc > no_clock_is_so_fast)
            panic("the timer 8254 does not count: give tsc_khz=");
        pause();
    }
    const Sample end = sample(pit_count);
    return (end.tsc - begin.tsc) * pit_hz / ((begin.count - end.count) & 0xffff) / 1000;
}

} // namespace

void Clock::start(uint64_t tsc_khz) {
    tsc_khz_ = std::max<uint64_t>(tsc_khz != 0 ? tsc_khz : settle(measure_tsc_khz), 1);
    rate_ = Rate::of_khz(tsc_khz_);
    tsc_at_start_ = read_tsc();
}

Alarm::Alarm(LocalApic& apic, const Clock& clock) : apic_{apic}, clock_{clock} {
    apic_.enable_timer();
    const auto left = [&] { return uint64_t{apic_.timer_ticks_left()}; };
    timer_khz_ = settle([&] {
        const uint64_t wait = clock_.tsc_khz() / 2; // 0.5 ms
        apic_.start_timer(std::numeric_limits<uint32_t>::max());
        const Sample begin = sample(left);
        while (read_tsc() - begin.tsc < wait)
            pause();
        const Sample end = sample(left);
        return (begin.count - end.count) * clock_.tsc_khz() / (end.tsc - begin.tsc);
    });
    apic_.start_timer(0);
    timer_khz_ = std::max<uint64_t>(timer_khz_, 1);
    rate_ = Rate::of_khz(timer_khz_);
}

void Alarm::arm(Instant deadline) {
    const int64_t ns = std::max<int64_t>((deadline - clock_.now()).ns, 0);
    const uint64_t ticks = rate_.ticks(static_cast<uint64_t>(ns)) + 1;
    apic_.start_timer(
        static_cast<uint32_t>(std::min<uint64_t>(ticks, std::numeric_limits<uint32_t>::max()))
    );
    armed_ = deadline;
}

} // namespace cpu
