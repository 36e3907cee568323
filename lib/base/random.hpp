// Random numbers from a seed: the same seed, the same run. Fast, and well spread from the first one
// on, also for seeds that follow each other; no secrets (lib/os/entropy.hpp has those).
#pragma once

#include <cstdint>
#include <span>

/// One step of splitmix64 (Steele, Lea, Flood 2014): spreads any state over all bits.
constexpr uint64_t split_mix(uint64_t& state) {
    state += 0x9e37'79b9'7f4a'7c15;
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xbf58'476d'1ce4'e5b9;
    z = (z ^ z >> 27) * 0x94d0'49bb'1331'11eb;
    return z ^ z >> 31;
}

class Random {
  public:
    constexpr explicit Random(uint64_t seed) : state_{seed} {}

    constexpr uint64_t next() { return split_mix(state_); }

    /// 0 .. below - 1.
    constexpr uint32_t draw(uint32_t below) {
        return static_cast<uint32_t>((next() >> 32) * below >> 32);
    }

    constexpr bool one_in(uint32_t n) { return draw(n) == 0; }

    template <class T>
    constexpr const T& one_of(std::span<const T> all) {
        return all[draw(static_cast<uint32_t>(all.size()))];
    }

  private:
    uint64_t state_;
};
