// Who has which buffer, in private memory. Custody notices a buffer that arrives twice or leaves
// without having come; Pool adds the list of free ones for the side that deals them out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "lib/base/invariant.hpp"
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

/// Deals out buffers 0 .. count - 1 of an area. The last one back goes out first: it is warm.
template <size_t N>
class Pool {
  public:
    explicit Pool(uint32_t count) {
        INVARIANT(count <= N, "the pool is declared as large as its area");
        while (count > 0)
            give(--count);
    }

    std::optional<uint32_t> allocate() {
        if (free_.held() == 0) return std::nullopt;
        const uint32_t buffer = stack_[free_.held() - 1];
        INVARIANT(free_.leave(buffer).has_value(), "the list and the map name the same buffers");
        return buffer;
    }

    /// errors   protocol: it is free already, or not of this pool
    Result<> free(uint32_t buffer) {
        TRY_VOID(free_.enter(buffer));
        stack_[free_.held() - 1] = buffer;
        return {};
    }

    size_t available() const { return free_.held(); }

  private:
    void give(uint32_t buffer) { INVARIANT(free(buffer).has_value(), "each number once"); }

    Custody<N> free_;
    std::array<uint32_t, N> stack_{};
};

} // namespace netq
