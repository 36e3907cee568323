// The byte pattern that test services send and expect: any offset can be checked without the rest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

/// Byte i: byte i & 3 (little endian) of the 32-bit product (i >> 2) * 2654435761.
constexpr std::byte pattern_at(uint64_t i) {
    const auto word = static_cast<uint32_t>(i >> 2) * 2654435761u;
    return static_cast<std::byte>(word >> (8 * (i & 3)));
}

/// Word by word; the ends byte by byte.
inline void fill_pattern(std::span<std::byte> out, uint64_t start) {
    size_t i = 0;
    for (; i < out.size() && (start + i) % 4 != 0; ++i)
        out[i] = pattern_at(start + i);
    constexpr uint32_t step = 2654435761u;
    auto word = static_cast<uint32_t>((start + i) >> 2) * step;
    for (; out.size() - i >= sizeof word; i += sizeof word, word += step)
        __builtin_memcpy(out.data() + i, &word, sizeof word);
    for (; i < out.size(); ++i)
        out[i] = pattern_at(start + i);
}
