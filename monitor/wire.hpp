// Messages of the protocol as the generated structs of intermon.if, which are what travels.
#pragma once

#include <array>

#include "lib/base/bytes.hpp"
#include "monitor/messages.hpp"

namespace monitor {

/// Every message fits one line of a channel.
struct Encoded {
    uint16_t number{};
    std::array<std::byte, 56> storage{};
    size_t size{};

    Bytes bytes() const { return std::span{storage}.first(size); }
};

Encoded encode(const Message& message);

/// Errors: malformed, bad_operation (no such message).
Result<Message> decode(uint16_t number, Bytes bytes);

} // namespace monitor
