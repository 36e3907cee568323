// How much may be in flight: a policy behind an interface, so that an experiment can add one.
// The algorithm object has no state; what belongs to a connection is in Congestion.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lib/base/time.hpp"

namespace net::tcp {

struct Congestion {
    uint32_t window_bytes{};
    uint32_t threshold_bytes{0x7fff'ffff}; // slow start below (RFC 5681 3.1: arbitrarily high)
    uint32_t mss_bytes{};
    uint32_t counted_bytes{}; // acknowledged since the window last grew, in avoidance

    /// Of CUBIC (RFC 9438 4.1.2), or what another policy makes of them.
    struct Memory {
        uint32_t plateau_bytes{}; // W_max
        uint32_t reno_bytes{};    // W_est
        uint32_t prior_bytes{};   // cwnd_prior
        uint32_t plateau_ms{};    // K
        Instant epoch;            // none yet while zero
    } memory;
};

class CongestionControl {
  public:
    /// The connection is established: begins afresh. `lost_syn` when the handshake needed a
    /// retransmission.
    virtual void start(Congestion& state, uint32_t mss_bytes, bool lost_syn) const = 0;
    /// New data were acknowledged outside of recovery, and the window had been used.
    virtual void
    acknowledged(Congestion& state, uint32_t bytes, Duration round_trip, Instant now) const = 0;
    /// A segment is lost by the sign of duplicate acknowledgements or blocks: sets threshold and
    /// window.
    virtual void lost(Congestion& state, uint32_t in_flight_bytes, Instant now) const = 0;
    /// The retransmission timer ran out; `again`: for the same segment.
    virtual void timed_out(Congestion& state, uint32_t in_flight_bytes, bool again) const = 0;
    /// Nothing was sent for longer than the retransmission time-out.
    virtual void idle(Congestion& state) const = 0;

  protected:
    ~CongestionControl() = default;
};

/// Slow start and congestion avoidance of RFC 5681.
const CongestionControl& reno();
/// RFC 9438: the window as a cubic function of the time since the last loss.
const CongestionControl& cubic();

} // namespace net::tcp
