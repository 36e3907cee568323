// Free ranges of a number line (bytes of a quota, virtual addresses), sorted, neighbours joined.
// Pure; of fixed capacity: a release that finds no entry forgets the range and counts it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"

namespace os {

struct Extent { // half-open
    uint64_t begin{}, end{};

    constexpr uint64_t bytes() const { return end - begin; }

    friend constexpr bool operator==(Extent, Extent) = default;
};

template <size_t Capacity>
class Extents {
  public:
    constexpr Extents() = default;

    constexpr explicit Extents(Extent all) { release(all); }

    /// First fit. `align` is a power of two. Errors: no_space.
    constexpr Result<Extent> take(uint64_t bytes, uint64_t align) {
        if (bytes == 0) return fail(Err::bad_argument);
        for (size_t i = 0; i < count_; ++i) {
            const Extent free = free_[i];
            const uint64_t begin = round_up(free.begin, align);
            if (begin < free.begin || begin >= free.end || free.end - begin < bytes) continue;
            const Extent taken{begin, begin + bytes};
            if (splits(free, taken) && count_ == Capacity) continue;
            cut(i, taken);
            return taken;
        }
        return fail(Err::no_space);
    }

    /// `range` is not free now.
    constexpr void release(Extent range) {
        if (range.bytes() == 0) return;
        size_t at = 0;
        while (at < count_ && free_[at].end < range.begin)
            ++at;
        const bool joins = at < count_ && free_[at].begin <= range.end;
        if (!joins && count_ == Capacity) {
            forgotten_ += range.bytes();
            return;
        }
        if (!joins) {
            insert(at, range);
            return;
        }
        free_[at].begin = free_[at].begin < range.begin ? free_[at].begin : range.begin;
        free_[at].end = free_[at].end > range.end ? free_[at].end : range.end;
        if (at + 1 < count_ && free_[at + 1].begin == free_[at].end) {
            free_[at].end = free_[at + 1].end;
            erase(at + 1);
        }
    }

    constexpr uint64_t free_bytes() const {
        uint64_t sum = 0;
        for (const Extent& e : std::span{free_}.first(count_))
            sum += e.bytes();
        return sum;
    }

    constexpr uint64_t forgotten_bytes() const { return forgotten_; }

    constexpr size_t pieces() const { return count_; }

  private:
    static constexpr bool splits(Extent free, Extent taken) {
        return taken.begin != free.begin && taken.end != free.end;
    }

    constexpr void cut(size_t at, Extent taken) {
        const Extent free = free_[at];
        if (taken == free) {
            erase(at);
        } else if (taken.begin == free.begin) {
            free_[at].begin = taken.end;
        } else {
            free_[at].end = taken.begin;
            if (taken.end != free.end) insert(at + 1, {taken.end, free.end});
        }
    }

    constexpr void insert(size_t at, Extent range) {
        for (size_t i = count_; i > at; --i)
            free_[i] = free_[i - 1];
        free_[at] = range;
        ++count_;
    }

    constexpr void erase(size_t at) {
        for (size_t i = at; i + 1 < count_; ++i)
            free_[i] = free_[i + 1];
        --count_;
    }

    std::array<Extent, Capacity> free_{};
    size_t count_{};
    uint64_t forgotten_{};
};

} // namespace os
