// A name as it travels: up to 16 printable characters, NUL-padded, so that comparing and copying
// are two words.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "lib/abi/startup.hpp"
#include "lib/base/result.hpp"

namespace monitor {

struct Name {
    std::array<char, abi::name_bytes> text{};

    /// Errors: name_too_long; bad_argument (empty, or not printable ASCII without spaces).
    static constexpr Result<Name> from(std::string_view text) {
        if (text.size() > abi::name_bytes) return fail(Err::name_too_long);
        if (text.empty()) return fail(Err::bad_argument);
        if (!std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; }))
            return fail(Err::bad_argument);
        Name name;
        std::ranges::copy(text, name.text.begin());
        return name;
    }

    constexpr std::string_view view() const {
        const auto end = std::ranges::find(text, '\0');
        return {text.data(), static_cast<size_t>(end - text.begin())};
    }

    friend constexpr bool operator==(const Name&, const Name&) = default;
};

} // namespace monitor
