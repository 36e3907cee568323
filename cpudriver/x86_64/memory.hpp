// Copying and clearing memory in ring 0; memory.cpp has them for the compiler's own calls as well.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpudriver/x86_64/instructions.hpp"

namespace cpu {

inline void copy_bytes(void* to, const void* from, size_t bytes) {
    const size_t words = bytes / 8;
    auto* out = static_cast<std::byte*>(to);
    const auto* in = static_cast<const std::byte*>(from);
    repeat_move_words(out, in, words);
    repeat_move_bytes(out + words * 8, in + words * 8, bytes % 8);
}

inline void fill_bytes(void* to, uint8_t value, size_t bytes) {
    const size_t words = bytes / 8;
    auto* out = static_cast<std::byte*>(to);
    repeat_store_words(out, value * uint64_t{0x0101'0101'0101'0101}, words);
    repeat_store_bytes(out + words * 8, value, bytes % 8);
}

} // namespace cpu
