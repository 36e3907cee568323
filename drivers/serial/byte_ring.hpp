// A first-in first-out queue of bytes, for one owner. What does not fit is refused.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "lib/base/result.hpp"

namespace serial {

template <size_t N>
class ByteRing {
    static_assert((N & (N - 1)) == 0, "the counters run free and wrap");

  public:
    /// errors   no_space
    Result<> push(uint8_t byte) {
        if (size() == N) return fail(Err::no_space);
        bytes_[tail_++ % N] = byte;
        return {};
    }

    std::optional<uint8_t> pop() {
        if (empty()) return std::nullopt;
        return bytes_[head_++ % N];
    }

    bool empty() const { return head_ == tail_; }

    size_t size() const { return tail_ - head_; }

    size_t room() const { return N - size(); }

  private:
    std::array<uint8_t, N> bytes_{};
    size_t head_{}, tail_{};
};

} // namespace serial
