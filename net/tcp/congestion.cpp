#include "net/tcp/congestion.hpp"

namespace net::tcp {
namespace {

constexpr uint32_t most_window_bytes = 1u << 30;

/// RFC 6928 2.
uint32_t initial_window(uint32_t mss_bytes) {
    return std::min(10 * mss_bytes, std::max(2 * mss_bytes, 14600u));
}

/// What any policy does that grows by slow start.
class SlowStarter : public CongestionControl {
  public:
    void start(Congestion& state, uint32_t mss_bytes, bool lost_syn) const override {
        state = {};
        state.mss_bytes = mss_bytes;
        state.window_bytes = lost_syn ? mss_bytes : initial_window(mss_bytes);
    }

    void idle(Congestion& state) const override { // RFC 5681 4.1
        state.window_bytes = std::min(state.window_bytes, initial_window(state.mss_bytes));
        state.memory.epoch = {};
    }

  protected:
    ~SlowStarter() = default;

    /// True: that was all to be done.
    static bool slow_start(Congestion& state, uint32_t bytes) {
        if (state.window_bytes >= state.threshold_bytes) return false;
        // Appropriate byte counting with L = 2 (RFC 3465 2.2).
        const uint32_t grown = state.window_bytes + std::min(bytes, 2 * state.mss_bytes);
        state.window_bytes = std::min(grown, most_window_bytes);
        return true;
    }
};

class Reno final : public SlowStarter {
  public:
    void acknowledged(Congestion& state, uint32_t bytes, Duration, Instant) const override {
        if (slow_start(state, bytes)) return;
        state.counted_bytes += bytes;
        if (state.counted_bytes < state.window_bytes) return;
        state.counted_bytes -= state.window_bytes;
        state.window_bytes = std::min(state.window_bytes + state.mss_bytes, most_window_bytes);
    }

    void lost(Congestion& state, uint32_t in_flight_bytes, Instant) const override {
        state.threshold_bytes = half_of(state, in_flight_bytes);
        state.window_bytes = state.threshold_bytes;
        state.counted_bytes = 0;
    }

    void timed_out(Congestion& state, uint32_t in_flight_bytes, bool again) const override {
        if (!again) state.threshold_bytes = half_of(state, in_flight_bytes);
        state.window_bytes = state.mss_bytes;
        state.counted_bytes = 0;
    }

  private:
    /// RFC 5681 equation 4.
    static uint32_t half_of(const Congestion& state, uint32_t in_flight_bytes) {
        return std::max(in_flight_bytes / 2, 2 * state.mss_bytes);
    }
};

uint64_t cube_root(uint64_t value) {
    uint64_t root = 0;
    for (uint64_t bit = uint64_t{1} << 20; bit != 0; bit >>= 1) {
        const uint64_t tried = root | bit;
        if (tried * tried * tried <= value) root = tried;
    }
    return root;
}

/// Windows in bytes, times in milliseconds; C = 0.4 segments a second cubed, beta = 0.7.
class Cubic final : public SlowStarter {
  public:
    void acknowledged(Congestion& state, uint32_t bytes, Duration round_trip, Instant now)
        const override {
        if (slow_start(state, bytes)) return;
        Congestion::Memory& memory = state.memory;
        if (memory.epoch == Instant{}) begin_epoch(state, now);
        const int64_t since = (now - memory.epoch).ms();
        const uint32_t window = state.window_bytes;
        const uint32_t ceiling = window + window / 2; // RFC 9438 4.2
        const uint32_t aim = std::clamp(curve(state, since + round_trip.ms()), window, ceiling);
        grow_reno(state, bytes);
        if (curve(state, since) < memory.reno_bytes) { // 4.3: the friendly region
            state.window_bytes = std::max(window, memory.reno_bytes);
        } else {
            state.window_bytes += uint32_t(uint64_t{aim - window} * bytes / window);
        }
        state.window_bytes = std::min(state.window_bytes, most_window_bytes);
    }

    void lost(Congestion& state, uint32_t in_flight_bytes, Instant) const override {
        reduce(state, in_flight_bytes);
        state.window_bytes = state.threshold_bytes;
    }

    void timed_out(Congestion& state, uint32_t in_flight_bytes, bool again) const override {
        if (!again) reduce(state, in_flight_bytes);
        state.window_bytes = state.mss_bytes;
        state.memory.plateau_bytes = 0; // 4.8: the next epoch begins on its plateau
    }

  private:
    static uint32_t seven_tenths(uint32_t bytes) { return uint32_t(uint64_t{bytes} * 7 / 10); }

    /// 4.6 and 4.7.
    static void reduce(Congestion& state, uint32_t in_flight_bytes) {
        Congestion::Memory& memory = state.memory;
        const uint32_t window = state.window_bytes;
        // Fast convergence: who got less than last time leaves room for newcomers.
        memory.plateau_bytes =
            window < memory.plateau_bytes ? uint32_t(uint64_t{window} * 17 / 20) : window;
        memory.prior_bytes = window;
        memory.epoch = {};
        state.threshold_bytes =
            std::max(seven_tenths(std::min(in_flight_bytes, window)), 2 * state.mss_bytes);
    }

    /// 4.2: K is when the curve reaches the plateau.
    static void begin_epoch(Congestion& state, Instant now) {
        Congestion::Memory& memory = state.memory;
        memory.epoch = now;
        memory.reno_bytes = state.window_bytes;
        if (memory.plateau_bytes <= state.window_bytes) {
            memory.plateau_bytes = state.window_bytes;
            memory.plateau_ms = 0;
            return;
        }
        const uint64_t missing = memory.plateau_bytes - state.window_bytes;
        // cube_root(missing / mss / 0.4) seconds, as milliseconds
        memory.plateau_ms =
            uint32_t(cube_root(missing * 2'500'000'000 / std::max(state.mss_bytes, 1u)));
    }

    /// 4.2 equation 1; far away in time the other bounds hold anyway.
    static uint32_t curve(const Congestion& state, int64_t since_ms) {
        constexpr int64_t horizon_ms = 60'000;
        const int64_t away =
            std::clamp(since_ms - int64_t{state.memory.plateau_ms}, -horizon_ms, horizon_ms);
        const int64_t segments_e9 = away * away * away / 5 * 2;
        const int64_t bytes = segments_e9 / 1'000'000 * int64_t{state.mss_bytes} / 1000;
        return uint32_t(
            std::clamp<int64_t>(int64_t{state.memory.plateau_bytes} + bytes, 0, most_window_bytes)
        );
    }

    /// 4.3: what Reno would have with the same mean; alpha is 9/17 until its prior window.
    static void grow_reno(Congestion& state, uint32_t bytes) {
        Congestion::Memory& memory = state.memory;
        uint64_t step = uint64_t{state.mss_bytes} * bytes;
        if (memory.reno_bytes < memory.prior_bytes) step = step * 9 / 17;
        state.counted_bytes += uint32_t(step % state.window_bytes);
        memory.reno_bytes += uint32_t(step / state.window_bytes);
        if (state.counted_bytes >= state.window_bytes) {
            state.counted_bytes -= state.window_bytes;
            ++memory.reno_bytes;
        }
        memory.reno_bytes = std::min(memory.reno_bytes, most_window_bytes);
    }
};

constexpr Reno the_reno;
constexpr Cubic the_cubic;

} // namespace

const CongestionControl& reno() {
    return the_reno;
}

const CongestionControl& cubic() {
    return the_cubic;
}

} // namespace net::tcp
