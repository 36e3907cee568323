// Random numbers from a seed (splitmix64): the same seed, the same run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace chaos {

class Random {
  public:
    explicit Random(uint64_t seed) : state_{seed} {}

    uint64_t next() {
        state_ += 0x9e37'79b9'7f4a'7c15;
        uint64_t z = state_;
        z = (z ^ z >> 30) * 0xbf58'476d'1ce4'e5b9;
        z = (z ^ z >> 27) * 0x94d0'49bb'1331'11eb;
        return z ^ z >> 31;
    }

    uint64_t below(uint64_t end) { return next() % end; }

    bool once_in(uint64_t n) { return below(n) == 0; }

    template <class T>
    const T& one_of(std::span<const T> all) {
        return all[below(all.size())];
    }

  private:
    uint64_t state_;
};

} // namespace chaos
