// How messages lie in lines. The tag of a line: bit 15 "more lines follow", bits 13..14 the kind,
// below it the id of a call or the number of a one-way message. A request begins with a byte that
// is its number, a reply with its status: 0, or 1 and then the chain of the error.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/ump/line.hpp"

namespace rpc {

/// What both sides must agree on before anything else is believed.
struct Contract {
    uint32_t interface{}; // sum over its name
    uint16_t version{};
};

enum class Kind : uint16_t { request, reply, one_way, control };

constexpr uint16_t more_follows = 0x8000;
constexpr uint16_t low_mask = 0x1fff;

// Control messages; the close of lib/ump has kind 3 too.
constexpr uint16_t greeting = 0;
constexpr uint16_t withdrawn = 1; // instead of a message's next line: it is as if never begun
constexpr uint16_t recalled = 2;  // a token: the message of this capability does not come

// What a client stores beside the messages, so that it overtakes calls that are not read yet: which
// ids nobody waits for any more, as a bit map from the second word on, and before that how often
// one was added.
constexpr size_t aside_count = 0, aside_ids = 1;

constexpr uint16_t make_tag(Kind kind, uint16_t low) {
    return static_cast<uint16_t>(static_cast<unsigned>(kind) << 13 | (low & low_mask));
}

constexpr Kind kind_of(uint16_t tag) {
    return Kind(tag >> 13 & 3);
}

static_assert(kind_of(ump::close_tag) == Kind::control && (ump::close_tag & low_mask) > recalled);

constexpr size_t line_payload = sizeof(ump::Body);
constexpr size_t max_message = 1024; // of arguments; tools/gen.py refuses longer ones
constexpr size_t max_lines = (max_message + 1 + line_payload - 1) / line_payload;

constexpr uint32_t lines_for(size_t bytes) {
    return bytes == 0 ? 1 : static_cast<uint32_t>((bytes + line_payload - 1) / line_payload);
}

constexpr std::byte status_done{0}, status_failed{1};

} // namespace rpc
