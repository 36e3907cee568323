#include "net/tcp/congestion.hpp"

namespace net::tcp {
namespace {

/// RFC 6928 2.
uint32_t initial_window(uint32_t mss_bytes) {
    return std::min(10 * mss_bytes, std::max(2 * mss_bytes, 14600u));
}

/// RFC 5681 equation 4.
uint32_t half_of(const Congestion& state, uint32_t in_flight_bytes) {
    return std::max(in_flight_bytes / 2, 2 * state.mss_bytes);
}

class NewReno final : public CongestionControl {
  public:
    void start(Congestion& state, uint32_t mss_bytes, bool lost_syn) const override {
        state = {};
        state.mss_bytes = mss_bytes;
        state.window_bytes = lost_syn ? mss_bytes : initial_window(mss_bytes);
    }

    void acknowledged(Congestion& state, uint32_t bytes, Instant) const override {
        if (state.window_bytes < state.threshold_bytes) {
            // Appropriate byte counting with L = 2 (RFC 3465 2.2).
            state.window_bytes += std::min(bytes, 2 * state.mss_bytes);
        } else {
            state.counted_bytes += bytes;
            if (state.counted_bytes >= state.window_bytes) {
                state.counted_bytes -= state.window_bytes;
                state.window_bytes += state.mss_bytes;
            }
        }
        state.window_bytes = std::min(state.window_bytes, most_window_bytes);
    }

    void lost(Congestion& state, uint32_t in_flight_bytes, Instant) const override {
        state.threshold_bytes = half_of(state, in_flight_bytes);
        state.window_bytes = state.threshold_bytes + 3 * state.mss_bytes;
        state.counted_bytes = 0;
    }

    void recovered(Congestion& state, uint32_t in_flight_bytes) const override {
        // RFC 6582 3.2 step 3 (1): no burst of what recovery has let pile up.
        const uint32_t gentle = std::max(in_flight_bytes, state.mss_bytes) + state.mss_bytes;
        state.window_bytes = std::min(state.threshold_bytes, gentle);
    }

    void timed_out(Congestion& state, uint32_t in_flight_bytes, bool again) const override {
        if (!again) state.threshold_bytes = half_of(state, in_flight_bytes);
        state.window_bytes = state.mss_bytes;
        state.counted_bytes = 0;
    }

    void idle(Congestion& state) const override { // RFC 5681 4.1
        state.window_bytes = std::min(state.window_bytes, initial_window(state.mss_bytes));
    }

  private:
    static constexpr uint32_t most_window_bytes = 1u << 30;
};

constexpr NewReno the_new_reno;

} // namespace

const CongestionControl& new_reno() {
    return the_new_reno;
}

} // namespace net::tcp
