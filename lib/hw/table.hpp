// A table of bounded length without allocation, and little-endian reads with bounds: what parsers
// of firmware tables fill and what they read with.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "lib/base/bytes.hpp"
#include "lib/base/result.hpp"

namespace hw {

/// At most N entries; what does not fit is counted, so that a report can say so.
template <class T, size_t N>
class Table {
  public:
    void add(const T& entry) {
        if (size_ == N)
            ++dropped_;
        else
            entries_[size_++] = entry;
    }

    constexpr size_t size() const { return size_; }

    constexpr bool empty() const { return size_ == 0; }

    constexpr uint32_t dropped() const { return dropped_; }

    constexpr const T& operator[](size_t i) const { return entries()[i]; }

    constexpr std::span<const T> entries() const { return std::span{entries_}.first(size_); }

    constexpr std::span<T> entries() { return std::span{entries_}.first(size_); }

    constexpr auto begin() const { return entries_.begin(); }

    constexpr auto end() const { return entries_.begin() + static_cast<std::ptrdiff_t>(size_); }

  private:
    std::array<T, N> entries_{};
    size_t size_{};
    uint32_t dropped_{};
};

/// The little-endian number at `offset`, of any alignment.
template <std::unsigned_integral T>
constexpr Result<T> read_le(Bytes bytes, size_t offset) {
    if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return fail(Err::truncated);
    std::array<std::byte, sizeof(T)> raw;
    for (size_t i = 0; i < sizeof(T); ++i)
        raw[i] = bytes[offset + i];
    return std::bit_cast<T>(raw); // x86-64 is little-endian
}

/// `bytes[offset, offset + count)`, or Err::truncated.
constexpr Result<Bytes> slice(Bytes bytes, size_t offset, size_t count) {
    if (offset > bytes.size() || bytes.size() - offset < count) return fail(Err::truncated);
    return bytes.subspan(offset, count);
}

} // namespace hw
