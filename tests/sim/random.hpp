// All chance of a run comes from one seed. Small and fast: it is asked several times a step.
#pragma once

#include <cstdint>

namespace sim {

class Random {
  public:
    explicit Random(uint64_t seed) : state_{seed * 0x9e37'79b9'7f4a'7c15 + 0x1234'5678'9abc'def1} {
        for (int i = 0; i < 4; ++i)
            (void)next();
    }

    /// splitmix64 (Steele, Lea, Flood 2014).
    uint64_t next() {
        state_ += 0x9e37'79b9'7f4a'7c15;
        uint64_t z = state_;
        z = (z ^ z >> 30) * 0xbf58'476d'1ce4'e5b9;
        z = (z ^ z >> 27) * 0x94d0'49bb'1331'11eb;
        return z ^ z >> 31;
    }

    /// 0 .. below - 1.
    uint32_t draw(uint32_t below) { return static_cast<uint32_t>((next() >> 32) * below >> 32); }

    bool one_in(uint32_t n) { return draw(n) == 0; }

  private:
    uint64_t state_;
};

} // namespace sim
