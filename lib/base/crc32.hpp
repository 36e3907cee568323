// The CRC of zlib, gzip and Ethernet: polynomial 0x04c11db7 reflected, all ones before and after
// (ISO 3309; RFC 1952 section 8).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "lib/base/bytes.hpp"

inline constexpr std::array<uint32_t, 256> crc32_table = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; ++bit)
            c = (c >> 1) ^ ((c & 1) != 0 ? 0xedb8'8320u : 0u);
        table[i] = c;
    }
    return table;
}();

/// Continues from `so_far`, so that a stream can be summed piece by piece; 0 starts.
constexpr uint32_t crc32(Bytes bytes, uint32_t so_far = 0) {
    uint32_t c = ~so_far;
    for (std::byte b : bytes)
        c = (c >> 8) ^ crc32_table[(c ^ uint32_t(b)) & 0xff];
    return ~c;
}
