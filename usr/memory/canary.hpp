// What free memory holds with `memory=checked`: a word that follows from its address, so that a
// write by whoever had the memory before, a device or a core, is found when it is granted again.
#pragma once

#include <cstdint>
#include <span>

namespace memory {

constexpr uint64_t canary_of(uint64_t address) {
    return address * 0x9e37'79b9'7f4a'7c15 ^ 0x5ca1'ab1e'0ddb'a11f;
}

/// `words` lie at physical address `at`.
constexpr void fill_canaries(std::span<uint64_t> words, uint64_t at) {
    for (uint64_t& word : words) {
        word = canary_of(at);
        at += sizeof(uint64_t);
    }
}

struct Damage {
    uint64_t words{};
    uint64_t first{}; // its address
    uint64_t value{}; // what is there now
};

constexpr Damage find_damage(std::span<const uint64_t> words, uint64_t at) {
    Damage damage;
    for (uint64_t word : words) {
        if (word != canary_of(at) && damage.words++ == 0) {
            damage.first = at;
            damage.value = word;
        }
        at += sizeof(uint64_t);
    }
    return damage;
}

} // namespace memory
