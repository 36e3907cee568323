// A list of at most N things, in place.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "lib/base/result.hpp"

namespace routed {

template <class T, size_t N>
class Few {
  public:
    /// errors   no_space
    Result<> add(const T& item) {
        if (count_ == N) return fail(Err::no_space);
        items_[count_++] = item;
        return {};
    }

    /// Takes out all for which `gone(item)` holds; answers whether there was one.
    template <class Gone>
    bool remove_if(Gone&& gone) {
        const size_t before = count_;
        count_ -= std::ranges::remove_if(entries(), gone).size();
        return count_ != before;
    }

    void clear() { count_ = 0; }

    size_t size() const { return count_; }

    std::span<T> entries() { return std::span{items_}.first(count_); }

    std::span<const T> entries() const { return std::span{items_}.first(count_); }

  private:
    std::array<T, N> items_{};
    size_t count_{};
};

} // namespace routed
