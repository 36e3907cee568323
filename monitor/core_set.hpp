// A set of cores: 256 bits.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "lib/base/strong.hpp"

namespace monitor {

constexpr size_t max_cores = 256; // what a CoreId can say

class CoreSet {
  public:
    using Words = std::array<uint64_t, max_cores / 64>;

    constexpr CoreSet() = default;

    constexpr explicit CoreSet(const Words& words) : words_{words} {}

    constexpr const Words& words() const { return words_; }

    constexpr void insert(CoreId core) { words_[core.raw / 64] |= bit(core); }

    constexpr void erase(CoreId core) { words_[core.raw / 64] &= ~bit(core); }

    constexpr bool contains(CoreId core) const { return (words_[core.raw / 64] & bit(core)) != 0; }

    constexpr bool empty() const { return (words_[0] | words_[1] | words_[2] | words_[3]) == 0; }

    /// The lowest of a set that is not empty.
    constexpr CoreId first() const {
        size_t word = 0;
        while (words_[word] == 0)
            ++word;
        const auto bit = static_cast<size_t>(std::countr_zero(words_[word]));
        return CoreId{{static_cast<uint8_t>(word * 64 + bit)}};
    }

    constexpr unsigned size() const {
        unsigned count = 0;
        for (uint64_t word : words_)
            count += static_cast<unsigned>(std::popcount(word));
        return count;
    }

    template <class Visit>
    constexpr void each(Visit&& visit) const {
        for (CoreSet rest = *this; !rest.empty();) {
            const CoreId core = rest.first();
            rest.erase(core);
            visit(core);
        }
    }

    constexpr void erase_all(const CoreSet& other) {
        for (size_t i = 0; i < words_.size(); ++i)
            words_[i] &= ~other.words_[i];
    }

    constexpr void insert_all(const CoreSet& other) {
        for (size_t i = 0; i < words_.size(); ++i)
            words_[i] |= other.words_[i];
    }

    constexpr bool contains_all(const CoreSet& other) const {
        CoreSet rest = other;
        rest.erase_all(*this);
        return rest.empty();
    }

    friend constexpr bool operator==(const CoreSet&, const CoreSet&) = default;

  private:
    static constexpr uint64_t bit(CoreId core) { return uint64_t{1} << (core.raw % 64); }

    Words words_{};
};

} // namespace monitor
