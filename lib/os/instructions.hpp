// The few instructions a domain needs that C++ has no word for.
#pragma once

#include <cstddef>
#include <cstdint>

namespace os {

inline uint64_t read_tsc() {
    uint32_t low;
    uint32_t high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return uint64_t{high} << 32 | low;
}

/// The same, when everything before has happened and nothing after has begun (SDM vol. 2, RDTSC).
inline uint64_t read_tsc_in_order() {
    asm volatile("lfence" ::: "memory");
    const uint64_t now = read_tsc();
    asm volatile("lfence" ::: "memory");
    return now;
}

/// Random bits of the processor; false when it had none ready (SDM vol. 1, 7.3.17). Only where
/// CPUID says so.
inline bool read_random(uint64_t& value) {
    bool there;
    asm volatile("rdrand %0" : "=r"(value), "=@ccc"(there));
    return there;
}

struct CpuidLeaf {
    uint32_t eax, ebx, ecx, edx;
};

inline CpuidLeaf cpuid(uint32_t leaf) {
    CpuidLeaf r{leaf, 0, 0, 0};
    asm volatile("cpuid" : "+a"(r.eax), "=b"(r.ebx), "+c"(r.ecx), "=d"(r.edx));
    return r;
}

/// Forwards, byte for byte.
inline void copy_bytes(void* to, const void* from, size_t bytes) {
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

inline void copy_bytes_backwards(std::byte* to, const std::byte* from, size_t bytes) {
    to += bytes - 1;
    from += bytes - 1;
    asm volatile("std\n\trep movsb\n\tcld" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

inline void copy_words(void* to, const void* from, size_t words) {
    asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

inline void copy_words_backwards(std::byte* to, const std::byte* from, size_t words) {
    to += (words - 1) * sizeof(uint64_t);
    from += (words - 1) * sizeof(uint64_t);
    asm volatile("std\n\trep movsq\n\tcld" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

inline void fill_bytes(void* to, int value, size_t bytes) {
    asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
}

inline void fill_words(void* to, uint64_t value, size_t words) {
    asm volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(value) : "memory");
}

} // namespace os
