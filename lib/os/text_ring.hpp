// Bytes that wait to be written somewhere, whole lines in a ring: when it is full the oldest lines
// go, and their number is remembered. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace os {

template <size_t Capacity>
class TextRing {
  public:
    static constexpr size_t capacity = Capacity;

    /// `line` ends in a newline. One that is longer than the ring is not kept.
    constexpr void add(std::string_view line) {
        if (line.size() > Capacity) {
            ++lost_;
            return;
        }
        while (Capacity - used() < line.size())
            drop_line();
        for (char c : line)
            text_[end_++ % Capacity] = c;
    }

    constexpr bool empty() const { return begin_ == end_; }

    constexpr size_t used() const { return end_ - begin_; }

    /// Takes the oldest bytes, up to the end of a line if one ends within `out`.
    constexpr std::span<char> take(std::span<char> out) {
        size_t n = 0;
        size_t last_end = 0;
        while (n < out.size() && n < used()) {
            out[n] = text_[(begin_ + n) % Capacity];
            ++n;
            if (out[n - 1] == '\n') last_end = n;
        }
        const size_t taken = last_end != 0 ? last_end : n;
        begin_ += taken;
        return out.first(taken);
    }

    /// Lines that were not kept, since the last time this was asked.
    constexpr uint64_t take_lost() {
        const uint64_t lost = lost_;
        lost_ = 0;
        return lost;
    }

  private:
    constexpr void drop_line() {
        ++lost_;
        while (begin_ != end_)
            if (text_[begin_++ % Capacity] == '\n') return;
    }

    std::array<char, Capacity> text_{};
    size_t begin_{}, end_{}; // never wrap: 64 bits of bytes
    uint64_t lost_{};
};

} // namespace os
