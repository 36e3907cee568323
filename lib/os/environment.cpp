// The environment of this domain, as the argument page has it.
#include <algorithm>
#include <span>

#include "lib/os/domain.hpp"

namespace os {
namespace {

std::span<const char> environment_page() {
    return reinterpret_cast<const abi::ArgumentPage*>(abi::arguments_at.raw)->environment;
}

} // namespace

Result<std::string_view> Domain::variable(size_t index) const {
    const std::span<const char> all = environment_page();
    for (size_t at = 0; at < all.size() && all[at] != '\0';) {
        const std::string_view rest{all.data() + at, all.size() - at};
        const std::string_view text = first_of(rest, index_of(rest, '\0'));
        if (index-- == 0) return text;
        at += text.size() + 1;
    }
    return fail(Err::not_found);
}

std::optional<std::string_view> Domain::environment(std::string_view name) const {
    for (size_t i = 0;; ++i) {
        const auto entry = variable(i);
        if (!entry) return std::nullopt;
        std::string_view value = *entry;
        if (take_until(value, '=') == name) return value;
    }
}

} // namespace os
