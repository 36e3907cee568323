#include "lib/os/entropy.hpp"

#include "lib/base/log.hpp"
#include "lib/base/random.hpp"
#include "lib/os/instructions.hpp"

namespace os {

namespace {

bool has_rdrand() {
    return (cpuid(1).ecx >> 30 & 1) != 0; // SDM vol. 2, CPUID leaf 1
}

std::optional<uint64_t> from_processor() {
    constexpr int tries = 10; // SDM vol. 1, 7.3.17.1: ten in a row do not fail by chance
    for (int i = 0; i < tries; ++i)
        if (uint64_t value{}; read_random(value)) return value;
    return std::nullopt;
}

/// The low bits of how long a chain of dependent loads and divisions takes.
uint64_t from_jitter() {
    uint64_t pool = read_tsc();
    for (int i = 0; i < 256; ++i) {
        const uint64_t before = read_tsc();
        for (int j = 0; j < 7; ++j)
            pool = (pool << 1 | pool >> 63) ^ (pool % 1021);
        pool ^= (read_tsc() - before) << (i % 57);
        pool = split_mix(pool);
    }
    return pool;
}

constinit uint64_t seeded_state = 0;
constinit bool told = false;

uint64_t word(std::optional<uint64_t> seed) {
    if (seed) {
        if (!told) {
            log::warn("secrets come from seed={}: repeatable, not secret", *seed);
            seeded_state = *seed;
        }
        told = true;
        return split_mix(seeded_state);
    }
    if (has_rdrand())
        if (const auto value = from_processor()) return *value;
    if (!told) log::warn("secrets come from clock jitter: the processor has no RDRAND");
    told = true;
    return from_jitter();
}

} // namespace

std::array<uint64_t, 2> secret(std::optional<uint64_t> seed) {
    const uint64_t first = word(seed);
    return {first, word(seed)};
}

} // namespace os
