// Of a table of news, up to which place each peer has heard all: nobody looks through the whole
// table for each message.
#pragma once

#include <algorithm>

#include "monitor/core_set.hpp"

namespace monitor {

class Heard {
  public:
    /// At `place` is something that the peers of `untold` have yet to hear.
    void news(size_t place, CoreSet untold) {
        while (!untold.empty()) {
            const CoreId peer = untold.first();
            untold.erase(peer);
            all_below_[peer.raw] = std::min(all_below_[peer.raw], place);
        }
    }

    /// Nothing below that place is news to `peer`.
    size_t& all_below(CoreId peer) { return all_below_[peer.raw]; }

  private:
    std::array<size_t, max_cores> all_below_{};
};

} // namespace monitor
