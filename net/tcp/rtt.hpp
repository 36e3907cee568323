// Round-trip time and the retransmission time-out (RFC 6298), in nanoseconds inside.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lib/base/time.hpp"

namespace net::tcp {

class RttEstimator {
  public:
    explicit RttEstimator(Duration minimum = milliseconds(200)) : minimum_{minimum} {}

    /// Never of a segment that was retransmitted (Karn, section 3).
    void sample(Duration rtt) {
        if (smoothed_.ns == 0) { // (2.2)
            smoothed_ = std::max(rtt, Duration{1});
            variation_ = rtt / 2;
        } else { // (2.3)
            const Duration error{rtt < smoothed_ ? smoothed_.ns - rtt.ns : rtt.ns - smoothed_.ns};
            variation_ = Duration{(3 * variation_.ns + error.ns) / 4};
            smoothed_ = Duration{(7 * smoothed_.ns + rtt.ns) / 8};
        }
        backoff_ = 0;
        base_ = smoothed_ + std::max(granularity, variation_ * 4);
    }

    Duration timeout() const {
        const Duration rto = std::max(base_, minimum_);
        return std::min(rto * (int64_t{1} << backoff_), maximum);
    }

    void back_off() { // (5.5)
        if (backoff_ < most_backoff) ++backoff_;
    }

    /// For the window's probes, which were answered all along. Otherwise the back-off stays until
    /// a sample: a time-out below the round trip would never learn of it (Karn).
    void forget_backoff() { backoff_ = 0; }

    /// (5.7): the SYN's timer had run out.
    void after_lost_syn() {
        backoff_ = 0;
        if (smoothed_.ns == 0) base_ = seconds(3);
    }

    Duration smoothed() const { return smoothed_; }

    Duration variation() const { return variation_; }

  private:
    static constexpr uint8_t most_backoff = 12;
    static constexpr Duration granularity = milliseconds(1);
    static constexpr Duration maximum = seconds(60); // (2.5)

    Duration smoothed_, variation_;
    Duration base_ = seconds(1); // (2.1)
    Duration minimum_;
    uint8_t backoff_{};
};

} // namespace net::tcp
