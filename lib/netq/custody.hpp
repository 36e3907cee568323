// Which buffers the side has that was lent them, in private memory: one that arrives twice, or
// leaves without having come, is noticed. The side that owns the pool has lender.hpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "lib/base/result.hpp"

namespace netq {

/// The buffers, out of at most N, that this side holds now.
template <size_t N>
class Custody {
  public:
    /// A buffer comes. errors: protocol (we have it already, or it cannot be)
    Result<> enter(uint32_t buffer) {
        if (buffer >= N || has(buffer)) return fail(Err::protocol);
        words_[buffer / 64] |= bit(buffer);
        ++held_;
        return {};
    }

    /// A buffer goes. errors: protocol (we do not have it)
    Result<> leave(uint32_t buffer) {
        if (buffer >= N || !has(buffer)) return fail(Err::protocol);
        words_[buffer / 64] &= ~bit(buffer);
        --held_;
        return {};
    }

    bool has(uint32_t buffer) const {
        return buffer < N && (words_[buffer / 64] & bit(buffer)) != 0;
    }

    size_t held() const { return held_; }

  private:
    static constexpr uint64_t bit(uint32_t buffer) { return uint64_t{1} << (buffer % 64); }

    std::array<uint64_t, (N + 63) / 64> words_{};
    size_t held_{};
};

} // namespace netq
