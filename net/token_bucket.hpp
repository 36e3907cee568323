// So many a second, with a burst of as many: for errors and challenges that an attacker could
// otherwise make us send at will.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lib/base/time.hpp"

namespace net {

class TokenBucket {
  public:
    TokenBucket(uint32_t a_second, Instant now) : a_second_{a_second}, full_at_{now} {}

    /// False: not now.
    bool take(Instant now) {
        if (a_second_ == 0) return false;
        // The bucket as one instant: when it will be full again if nothing more is taken.
        const Duration price = seconds(1) / a_second_;
        const Instant after = std::max(full_at_, now) + price;
        if (after - now > seconds(1)) return false;
        full_at_ = after;
        return true;
    }

  private:
    int64_t a_second_;
    Instant full_at_;
};

} // namespace net
