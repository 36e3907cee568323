// Lines that arrive in pieces, put together again. A line that is too long is shown as it comes.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>

namespace os {

class LineJoiner {
  public:
    static constexpr size_t longest = 160;

    /// Calls line(text) for each line that ends in `piece`, without the newline.
    template <std::invocable<std::string_view> Line>
    constexpr void add(std::string_view piece, Line&& line) {
        for (char c : piece) {
            if (c == '\n' || used_ == text_.size()) flush(line);
            if (c != '\n') text_[used_++] = c;
        }
    }

    /// What has no end yet, if there is any.
    template <std::invocable<std::string_view> Line>
    constexpr void flush(Line&& line) {
        if (used_ != 0) line(std::string_view{text_.data(), used_});
        used_ = 0;
    }

  private:
    std::array<char, longest> text_{};
    size_t used_{};
};

} // namespace os
