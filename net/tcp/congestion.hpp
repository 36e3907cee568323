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
};

class CongestionControl {
  public:
    /// The connection is established: begins afresh. `lost_syn` when the handshake needed a
    /// retransmission.
    virtual void start(Congestion& state, uint32_t mss_bytes, bool lost_syn) const = 0;
    /// New data were acknowledged outside of recovery.
    virtual void acknowledged(Congestion& state, uint32_t bytes, Instant now) const = 0;
    /// A segment is lost by the sign of duplicate acknowledgements: sets the threshold, and the
    /// window for the time of recovery's beginning.
    virtual void lost(Congestion& state, uint32_t in_flight_bytes, Instant now) const = 0;
    /// All that was lost is acknowledged.
    virtual void recovered(Congestion& state, uint32_t in_flight_bytes) const = 0;
    /// The retransmission timer ran out; `again`: for the same segment.
    virtual void timed_out(Congestion& state, uint32_t in_flight_bytes, bool again) const = 0;
    /// Nothing was sent for longer than the retransmission time-out.
    virtual void idle(Congestion& state) const = 0;

  protected:
    ~CongestionControl() = default;
};

/// Slow start and congestion avoidance of RFC 5681, to be used with NewReno (RFC 6582).
const CongestionControl& new_reno();

} // namespace net::tcp
