// Sequence numbers (RFC 9293 3.4): they wrap, so they have before(), not an order.
#pragma once

#include <cstdint>

namespace net::tcp {

class SeqNumber {
  public:
    constexpr SeqNumber() = default;

    constexpr explicit SeqNumber(uint32_t value) : value_{value} {}

    constexpr uint32_t number() const { return value_; }

    friend constexpr SeqNumber operator+(SeqNumber a, uint32_t bytes) {
        return SeqNumber{a.value_ + bytes};
    }

    friend constexpr SeqNumber operator-(SeqNumber a, uint32_t bytes) {
        return SeqNumber{a.value_ - bytes};
    }

    /// The distance from b to a, modulo 2^32: meaningful when a is not before b.
    friend constexpr uint32_t operator-(SeqNumber a, SeqNumber b) { return a.value_ - b.value_; }

    friend constexpr bool operator==(SeqNumber, SeqNumber) = default;

  private:
    uint32_t value_{};
};

constexpr bool before(SeqNumber a, SeqNumber b) {
    return int32_t(a - b) < 0;
}

constexpr bool after(SeqNumber a, SeqNumber b) {
    return before(b, a);
}

constexpr SeqNumber later(SeqNumber a, SeqNumber b) {
    return before(a, b) ? b : a;
}

constexpr SeqNumber earlier(SeqNumber a, SeqNumber b) {
    return before(a, b) ? a : b;
}

/// first <= x <= last.
constexpr bool within(SeqNumber first, SeqNumber x, SeqNumber last) {
    return !before(x, first) && !after(x, last);
}

} // namespace net::tcp
