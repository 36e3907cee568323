// Who belongs to a group. A view is the set at one time, and views have an order that all members
// agree on: whoever decides who is alive numbers them.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "lib/base/strong.hpp"

namespace group {

struct MemberId : Strong<MemberId, uint8_t> {}; // dense from 0; of cores, the core's own number

constexpr size_t max_members = 256;

constexpr MemberId member(uint64_t raw) {
    return {{static_cast<uint8_t>(raw)}};
}

class MemberSet {
  public:
    constexpr void insert(MemberId m) { words_[m.raw / 64] |= bit(m); }

    constexpr void erase(MemberId m) { words_[m.raw / 64] &= ~bit(m); }

    constexpr bool contains(MemberId m) const { return (words_[m.raw / 64] & bit(m)) != 0; }

    constexpr bool empty() const { return (words_[0] | words_[1] | words_[2] | words_[3]) == 0; }

    constexpr unsigned size() const {
        unsigned count = 0;
        for (const uint64_t word : words_)
            count += static_cast<unsigned>(std::popcount(word));
        return count;
    }

    /// The lowest member; 0 of an empty set.
    constexpr MemberId lowest() const {
        for (size_t i = 0; i < words_.size(); ++i)
            if (words_[i] != 0) return member(i * 64 + unsigned(std::countr_zero(words_[i])));
        return {};
    }

    /// Calls `visit` for each, the lowest first.
    template <class Visit>
    constexpr void each(Visit&& visit) const {
        for (size_t i = 0; i < words_.size(); ++i)
            for (uint64_t rest = words_[i]; rest != 0; rest &= rest - 1)
                visit(member(i * 64 + unsigned(std::countr_zero(rest))));
    }

    static constexpr MemberSet first(unsigned count) {
        MemberSet set;
        for (unsigned i = 0; i < count; ++i)
            set.insert(member(i));
        return set;
    }

    friend constexpr bool operator==(const MemberSet&, const MemberSet&) = default;

  private:
    static constexpr uint64_t bit(MemberId m) { return uint64_t{1} << (m.raw % 64); }

    std::array<uint64_t, max_members / 64> words_{};
};

struct View {
    uint32_t epoch{};
    MemberSet members{};
};

} // namespace group
