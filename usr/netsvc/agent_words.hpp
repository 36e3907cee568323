// The text of the socket agent: requests cut into words, Linux's names and numbers of errors, and
// the answers that were given, since a request may come again when its answer was lost.
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

struct ErrorWord {
    Err error;
    uint16_t number;
    std::string_view name;
};

/// How an error of a socket is called on Linux.
inline constexpr std::array error_words = {
    ErrorWord{Err::not_found, 9, "EBADF"},
    ErrorWord{Err::would_block, 11, "EAGAIN"},
    ErrorWord{Err::no_memory, 12, "ENOMEM"},
    ErrorWord{Err::not_permitted, 13, "EACCES"},
    ErrorWord{Err::bad_argument, 22, "EINVAL"},
    ErrorWord{Err::bad_state, 22, "EINVAL"},
    ErrorWord{Err::no_slots, 24, "EMFILE"},
    ErrorWord{Err::broken_pipe, 32, "EPIPE"},
    ErrorWord{Err::destination_missing, 89, "EDESTADDRREQ"},
    ErrorWord{Err::message_too_long, 90, "EMSGSIZE"},
    ErrorWord{Err::unsupported, 92, "ENOPROTOOPT"},
    ErrorWord{Err::bad_operation, 95, "EOPNOTSUPP"},
    ErrorWord{Err::family_unsupported, 97, "EAFNOSUPPORT"},
    ErrorWord{Err::address_in_use, 98, "EADDRINUSE"},
    ErrorWord{Err::address_not_available, 99, "EADDRNOTAVAIL"},
    ErrorWord{Err::link_down, 100, "ENETDOWN"},
    ErrorWord{Err::network_unreachable, 101, "ENETUNREACH"},
    ErrorWord{Err::connection_reset, 104, "ECONNRESET"},
    ErrorWord{Err::no_space, 105, "ENOBUFS"},
    ErrorWord{Err::already_connected, 106, "EISCONN"},
    ErrorWord{Err::not_connected, 107, "ENOTCONN"},
    ErrorWord{Err::timed_out, 110, "ETIMEDOUT"},
    ErrorWord{Err::connection_refused, 111, "ECONNREFUSED"},
    ErrorWord{Err::host_unreachable, 113, "EHOSTUNREACH"},
    ErrorWord{Err::busy, 114, "EALREADY"},
    ErrorWord{Err::in_progress, 115, "EINPROGRESS"},
};

/// Whatever else may go wrong is between us and our own stack.
constexpr ErrorWord word_of(Err error) {
    for (const ErrorWord& word : error_words)
        if (word.error == error) return word;
    return {error, 5, "EIO"};
}

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
