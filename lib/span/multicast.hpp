// One message to each worker of a set: the one place that knows how. A flat loop now; a tree can
// take its place without any caller noticing.
#pragma once

#include <bit>

#include "lib/span/range.hpp"

namespace span {

/// Calls `send(worker)` once for each; answers how many messages that were.
template <class Send>
uint32_t multicast(Workers to, Send&& send) {
    uint32_t sent = 0;
    for (; !to.empty(); ++sent) {
        const auto worker = static_cast<uint32_t>(std::countr_zero(to.mask));
        to.remove(worker);
        send(worker);
    }
    return sent;
}

} // namespace span
