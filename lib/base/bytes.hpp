// Byte spans and big-endian fields: how wire formats are read without casts or alignment traps.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "lib/base/result.hpp"

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

/// Big-endian in memory, host order outside; alignment 1, so headers need no `packed`.
template <std::unsigned_integral T>
class Be {
  public:
    constexpr Be() = default;

    constexpr Be(T v) : bytes_{std::bit_cast<Raw>(std::byteswap(v))} {}

    constexpr operator T() const { return std::byteswap(std::bit_cast<T>(bytes_)); }

  private:
    using Raw = std::array<std::byte, sizeof(T)>;
    Raw bytes_{};
};

/// What may be laid over a packet: any alignment, no invariants of its own.
template <class H>
concept Header = alignof(H) == 1 && std::is_trivially_copyable_v<H>;

/// Copies a header off the front of `bytes`; on Err::truncated `bytes` is unchanged.
template <class H>
    requires std::is_trivially_copyable_v<H>
constexpr Result<H> peel(Bytes& bytes) {
    if (bytes.size() < sizeof(H)) return fail(Err::truncated);
    std::array<std::byte, sizeof(H)> raw;
    for (size_t i = 0; i < sizeof(H); ++i)
        raw[i] = bytes[i];
    bytes = bytes.subspan(sizeof(H));
    return std::bit_cast<H>(raw);
}

/// The same bytes to be filled with text. Characters may alias anything.
inline std::span<char> text_room(MutableBytes bytes) {
    return {static_cast<char*>(static_cast<void*>(bytes.data())), bytes.size()};
}
