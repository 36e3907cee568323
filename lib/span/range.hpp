// The words of a domain that spans cores: ranges of its one address space, what is mapped in them,
// and the home's versions, by which an answer that is older than an unmap is known.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lib/abi/capability.hpp"
#include "lib/base/strong.hpp"

namespace span {

/// How often the home has taken something away; a fill carries the number of its moment.
struct Version : Strong<Version, uint64_t> {
    constexpr Version next() const { return {{raw + 1}}; }
};

/// Half-open, whole pages.
struct Range {
    VirtAddr begin{}, end{};

    constexpr uint64_t bytes() const { return end - begin; }

    constexpr bool empty() const { return begin >= end; }

    constexpr bool contains(VirtAddr at) const { return at >= begin && at < end; }

    constexpr bool covers(const Range& r) const { return r.begin >= begin && r.end <= end; }

    constexpr bool overlaps(const Range& r) const { return begin < r.end && r.begin < end; }

    /// What both have; empty when they have nothing in common.
    constexpr Range common(const Range& r) const {
        const Range both{std::max(begin, r.begin), std::min(end, r.end)};
        return both.empty() ? Range{} : both;
    }

    /// The smallest range with both in it.
    constexpr Range hull(const Range& r) const {
        if (empty()) return r;
        return r.empty() ? *this : Range{std::min(begin, r.begin), std::max(end, r.end)};
    }

    friend constexpr bool operator==(const Range&, const Range&) = default;
};

/// Memory that the home has given a place. `frame` is the home's number for a frame, never used
/// again for another.
struct Region {
    Range range{};
    uint32_t frame{};
    uint64_t offset{}; // of range.begin in the frame
    abi::Rights rights{};

    /// The part of it that lies in `r`, which it overlaps.
    constexpr Region part(const Range& r) const {
        const Range both = range.common(r);
        return {both, frame, offset + (both.begin - range.begin), rights};
    }
};

/// The home's answer to a page fault of a replica.
struct Fill {
    Region region{};
    Version version{};
};

/// A set of workers by number. A domain has at most 64.
struct Workers {
    static constexpr uint32_t most = 64;

    uint64_t mask{};

    constexpr bool has(uint32_t worker) const { return (mask >> worker & 1) != 0; }

    constexpr bool empty() const { return mask == 0; }

    constexpr void add(uint32_t worker) { mask |= uint64_t{1} << worker; }

    constexpr void remove(uint32_t worker) { mask &= ~(uint64_t{1} << worker); }
};

} // namespace span
