// Whether a domain that has ended is started again: its policy, and how often that happened lately.
#pragma once

#include <array>

#include "lib/base/time.hpp"
#include "lib/os/manifest.hpp"

namespace spawn {

/// Does the policy want it at all?
constexpr bool wants_restart(const os::RestartPolicy& policy, bool faulted, int64_t code) {
    using When = os::RestartPolicy::When;
    if (policy.when == When::always) return true;
    return policy.when == When::on_fault && (faulted || code != 0);
}

class RestartHistory {
  public:
    /// One more restart now? Only one that is granted counts.
    bool grant(const os::RestartPolicy& policy, Instant now) {
        // The oldest of the last `times`: were that many within the span?
        const size_t oldest = (next_ + times_.size() - policy.times) % times_.size();
        if (total_ >= policy.times && now < times_[oldest] + policy.within) return false;
        times_[next_] = now;
        next_ = (next_ + 1) % times_.size();
        ++total_;
        return true;
    }

  private:
    std::array<Instant, os::RestartPolicy::most_times> times_{};
    size_t next_{};
    uint32_t total_{};
};

} // namespace spawn
