// The environment of a domain while it is put together: words NAME=VALUE, each name once.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "lib/base/result.hpp"
#include "lib/os/manifest.hpp"

namespace spawn {

class Environment {
  public:
    static constexpr size_t capacity = 256;

    /// Another value of that name goes. Errors: bad_argument (no NAME=VALUE), no_space (nothing
    /// has changed then).
    Result<> set(std::string_view variable) {
        if (!os::is_variable(variable)) return fail(Err::bad_argument);
        const std::string_view old = find(name_of(variable));
        const size_t left = size_ - (old.empty() ? 0 : old.size() + 1);
        if (left + variable.size() + 1 > capacity) return fail(Err::no_space);
        if (!old.empty()) erase(old);
        std::ranges::copy(variable, text_.begin() + static_cast<ptrdiff_t>(size_));
        size_ += variable.size();
        text_[size_++] = ' ';
        return {};
    }

    /// "A=1 B=2".
    Result<> set_all(std::string_view words) {
        for (auto word = os::take_word(words); !word.empty(); word = os::take_word(words))
            TRY_VOID(set(word));
        return {};
    }

    /// All of it, separated by blanks.
    std::string_view view() const { return {text_.data(), size_ == 0 ? 0 : size_ - 1}; }

  private:
    static std::string_view name_of(std::string_view variable) {
        return first_of(variable, index_of(variable, '='));
    }

    std::string_view find(std::string_view name) const {
        std::string_view rest = view();
        for (auto word = os::take_word(rest); !word.empty(); word = os::take_word(rest))
            if (name_of(word) == name) return word;
        return {};
    }

    /// A word of text_, with the blank behind it.
    void erase(std::string_view word) {
        const auto begin = text_.begin() + (word.data() - text_.data());
        const auto end = begin + static_cast<ptrdiff_t>(word.size()) + 1;
        std::copy(end, text_.begin() + static_cast<ptrdiff_t>(size_), begin);
        size_ -= word.size() + 1;
    }

    std::array<char, capacity> text_{};
    size_t size_{}; // with a blank behind each word
};

/// What a caller says beside the manifest: "quota=KIB restart=on-fault/3/60 A=1 B=2".
struct Wishes {
    uint64_t quota{}; // bytes; 0: nothing was said
    std::optional<os::RestartPolicy> restart;
    Environment variables;

    /// Errors: malformed, bad_argument (no NAME=VALUE), no_space.
    static Result<Wishes> parse(std::string_view words) {
        constexpr std::string_view quota = "quota=", restart = "restart=";
        constexpr uint64_t most_kib = uint64_t{1} << 30;
        Wishes wishes;
        for (auto word = os::take_word(words); !word.empty(); word = os::take_word(words)) {
            if (word.starts_with(quota)) {
                const auto kib = parse_number(word.substr(quota.size()), most_kib);
                if (!kib || *kib == 0) return fail(Err::malformed);
                wishes.quota = *kib * 1024;
            } else if (word.starts_with(restart)) {
                wishes.restart = TRY(os::parse_restart(word.substr(restart.size())));
            } else {
                TRY_VOID(wishes.variables.set(word));
            }
        }
        return wishes;
    }
};

} // namespace spawn
