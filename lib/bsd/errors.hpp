// How an error of a socket is called, and numbered, on Linux.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "lib/base/result.hpp"

namespace bsd {

struct ErrorWord {
    Err error;
    uint16_t number;
    std::string_view name;
};

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

} // namespace bsd
