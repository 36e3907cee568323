// SipHash-2-4, the keyed function behind sequence numbers, ports and identifiers.
// Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace net {

using SecretKey = std::array<uint64_t, 2>;

/// Of whole 64-bit words; the length in bytes goes into the last block as in the paper.
uint64_t siphash(const SecretKey& key, std::span<const uint64_t> words);

/// Numbers that an outsider cannot guess: SipHash of a counter.
class Random {
  public:
    explicit Random(const SecretKey& key) : key_{key} {}

    uint64_t next() {
        const uint64_t word = counter_++;
        return siphash(key_, {&word, 1});
    }

  private:
    SecretKey key_;
    uint64_t counter_{};
};

} // namespace net
