// The text of the socket agent: requests cut into words, and the answers that were given, since a
// request may come again when its answer was lost.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "lib/base/cmdline.hpp"
#include "lib/base/format.hpp"
#include "lib/base/result.hpp"
#include "lib/base/text.hpp"

namespace netsvc {

/// Words between spaces; beyond the last one they are empty.
class Words {
  public:
    explicit constexpr Words(std::string_view text) : rest_{text} {}

    constexpr std::string_view next() {
        while (!rest_.empty() && is_space(rest_.front()))
            rest_.remove_prefix(1);
        size_t end = 0;
        while (end < rest_.size() && !is_space(rest_[end]))
            ++end;
        const std::string_view word = first_of(rest_, end);
        rest_.remove_prefix(end);
        return word;
    }

    /// errors   bad_argument
    constexpr Result<uint32_t> number(uint32_t most = 0xffff'ffff) {
        const auto value = parse_number(next(), most);
        if (!value) return fail(Err::bad_argument);
        return static_cast<uint32_t>(*value);
    }

  private:
    static constexpr bool is_space(char c) {
        return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0';
    }

    std::string_view rest_;
};

/// The answers given last; a new one takes the place of the oldest.
class GivenAnswers {
  public:
    static constexpr size_t most = 64;
    static constexpr size_t answer_bytes = 1200; // 512 bytes in hex and what stands before them
    static constexpr size_t id_bytes = 20;

    struct Asker {
        std::array<uint8_t, 4> ip{};
        uint16_t port{};

        friend constexpr bool operator==(const Asker&, const Asker&) = default;
    };

    /// The answer that this request had; empty: it is a new one.
    std::string_view find(const Asker& asker, std::string_view id) const {
        for (const Given& given : given_)
            if (given.length != 0 && given.asker == asker && given.id.view() == id)
                return {given.text.data(), given.length};
        return {};
    }

    void keep(const Asker& asker, std::string_view id, std::string_view answer) {
        Given& given = given_[next_++ % most];
        given.asker = asker;
        given.id = Text<id_bytes>::cut(id);
        const std::string_view kept = first_of(answer, answer_bytes);
        given.length = static_cast<uint16_t>(kept.size());
        std::ranges::copy(kept, given.text.begin());
    }

  private:
    struct Given {
        Asker asker;
        Text<id_bytes> id;
        uint16_t length{};
        std::array<char, answer_bytes> text;
    };

    std::array<Given, most> given_{};
    size_t next_{};
};

} // namespace netsvc
