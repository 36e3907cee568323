// A stretch of physical memory.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "lib/base/result.hpp"

namespace monitor {

struct Range {
    uint64_t base{}, bytes{};

    constexpr uint64_t end() const { return base + bytes; }

    constexpr bool contains(const Range& other) const {
        return base <= other.base && other.base - base <= bytes &&
               other.bytes <= bytes - (other.base - base);
    }

    friend constexpr bool operator==(const Range&, const Range&) = default;
};

} // namespace monitor
