// The functions that a freestanding compiler and its headers call by themselves. Linked into the
// CPU driver and the boot program.
#include <cstddef>
#include <cstdint>

#include "cpudriver/x86_64/memory.hpp"

extern "C" {

void* memcpy(void* to, const void* from, size_t bytes) {
    cpu::copy_bytes(to, from, bytes);
    return to;
}

void* memset(void* to, int value, size_t bytes) {
    cpu::fill_bytes(to, static_cast<uint8_t>(value), bytes);
    return to;
}

void* memmove(void* to, const void* from, size_t bytes) {
    auto* out = static_cast<std::byte*>(to);
    const auto* in = static_cast<const std::byte*>(from);
    if (out <= in || out >= in + bytes) return memcpy(to, from, bytes);
    for (size_t i = bytes; i-- > 0;)
        out[i] = in[i];
    return to;
}

int memcmp(const void* a, const void* b, size_t bytes) {
    const auto* x = static_cast<const unsigned char*>(a);
    const auto* y = static_cast<const unsigned char*>(b);
    for (size_t i = 0; i < bytes; ++i)
        if (const int difference = x[i] - y[i]) return difference;
    return 0;
}

// As in the C library: the result is not const although the argument is.
void* memchr(const void* bytes, int wanted, size_t count) {
    const auto* at = static_cast<const unsigned char*>(bytes);
    for (size_t i = 0; i < count; ++i)
        if (at[i] == static_cast<unsigned char>(wanted)) return const_cast<unsigned char*>(at + i);
    return nullptr;
}

size_t strlen(const char* text) {
    const char* at = text;
    while (*at != 0)
        ++at;
    return static_cast<size_t>(at - text);
}
}
