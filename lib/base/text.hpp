// Text and bytes of bounded length, held by value: what travels in messages and tables.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "lib/base/bytes.hpp"
#include "lib/base/result.hpp"

/// Up to N characters, NUL-padded, so that comparing and copying need no length.
template <size_t N>
class Text {
  public:
    static constexpr size_t capacity = N;

    constexpr Text() = default;

    /// Errors: name_too_long; bad_argument (a NUL inside).
    static constexpr Result<Text> from(std::string_view text) {
        if (text.size() > N) return fail(Err::name_too_long);
        if (std::ranges::find(text, '\0') != text.end()) return fail(Err::bad_argument);
        return cut(text);
    }

    /// As much of `text` as fits, up to its first NUL.
    static constexpr Text cut(std::string_view text) {
        Text result;
        for (size_t i = 0; i < std::min(text.size(), N) && text[i] != '\0'; ++i)
            result.raw_[i] = text[i];
        return result;
    }

    constexpr std::string_view view() const {
        return {raw_.data(), static_cast<size_t>(std::ranges::find(raw_, '\0') - raw_.begin())};
    }

    constexpr bool empty() const { return raw_[0] == '\0'; }

    friend constexpr bool operator==(const Text&, const Text&) = default;

  private:
    std::array<char, N> raw_{};
};

/// Up to N bytes.
template <size_t N>
class Blob {
  public:
    static constexpr size_t capacity = N;

    constexpr Blob() = default;

    /// Errors: message_too_long.
    static constexpr Result<Blob> from(Bytes bytes) {
        if (bytes.size() > N) return fail(Err::message_too_long);
        Blob result;
        std::ranges::copy(bytes, result.raw_.begin());
        result.size_ = static_cast<uint16_t>(bytes.size());
        return result;
    }

    constexpr Bytes span() const { return {raw_.data(), size_}; }

    constexpr size_t size() const { return size_; }

  private:
    static_assert(N < 65536);
    std::array<std::byte, N> raw_{};
    uint16_t size_{};
};
