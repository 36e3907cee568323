// What several commands print: columns, and numbers as words.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "lib/base/format.hpp"
#include "usr/shell/table.hpp"

namespace shell {

using Column = std::pair<std::string_view, Align>;

template <size_t N>
std::string_view word_of(const std::array<std::string_view, N>& words, uint32_t number) {
    return number < N ? words[number] : "?";
}

/// Milliseconds with three decimals.
struct Milliseconds {
    uint64_t ns;
};

inline void format_value(TextWriter& out, const Milliseconds& ms) {
    format(out, "{}.{:03}", ms.ns / 1'000'000, ms.ns / 1000 % 1000);
}

} // namespace shell
