// What members say to each other: one line, seven words. Two of them say what it is about, five are
// the operation's own.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "lib/base/result.hpp"
#include "lib/group/members.hpp"

namespace group {

constexpr size_t words_most = 5;
using Words = std::array<uint64_t, words_most>;

enum class Operation : uint8_t {
    broadcast, // all hear it; nobody answers, and a change of the view may swallow it
    collect,   // all do it and answer: one phase, for what may be done in any order
    agree,     // all can do it, or nobody does: two phases
};

/// How answers become one on their way to the root, word by word. `list`: all of them, in no order.
enum class Combine : uint8_t { none, sum, minimum, maximum, any, all, list };

/// A kind that goes down the tree is followed by the one that answers it.
enum class Kind : uint8_t { perform, performed, decide, carried_out, ask, told };

constexpr bool goes_down(Kind k) {
    return k == Kind::perform || k == Kind::decide || k == Kind::ask;
}

constexpr Kind answer_to(Kind k) {
    return static_cast<Kind>(static_cast<uint8_t>(k) + 1);
}

enum class Verdict : uint8_t { none, more, yes, no, prepared, committed, aborted };

struct Message {
    Kind kind{};
    Operation operation{};
    Combine combine{};
    Verdict verdict{};
    MemberId initiator{};
    uint8_t count{};     // words in use
    uint16_t answered{}; // members that an answer is from
    uint32_t number{};   // of the initiator's operation
    uint32_t epoch{};    // of the view that the tree was made of
    Words words{};

    std::span<const uint64_t> content() const { return std::span{words}.first(count); }

    constexpr std::array<uint64_t, 7> pack() const {
        return {
            uint64_t(kind) | uint64_t(operation) << 8 | uint64_t(combine) << 16 |
                uint64_t(verdict) << 24 | uint64_t{number} << 32,
            uint64_t{initiator.raw} | uint64_t{count} << 8 | uint64_t{answered} << 16 |
                uint64_t{epoch} << 32,
            words[0],
            words[1],
            words[2],
            words[3],
            words[4]
        };
    }

    /// Errors: malformed.
    static constexpr Result<Message> unpack(const std::array<uint64_t, 7>& w) {
        const auto byte = [](uint64_t word, unsigned at) {
            return static_cast<uint8_t>(word >> 8 * at);
        };
        if (byte(w[0], 0) > uint8_t(Kind::told) || byte(w[0], 1) > uint8_t(Operation::agree) ||
            byte(w[0], 2) > uint8_t(Combine::list) || byte(w[0], 3) > uint8_t(Verdict::aborted) ||
            byte(w[1], 1) > words_most)
            return fail(Err::malformed);
        return Message{
            .kind = Kind(byte(w[0], 0)),
            .operation = Operation(byte(w[0], 1)),
            .combine = Combine(byte(w[0], 2)),
            .verdict = Verdict(byte(w[0], 3)),
            .initiator = member(byte(w[1], 0)),
            .count = byte(w[1], 1),
            .answered = static_cast<uint16_t>(w[1] >> 16),
            .number = static_cast<uint32_t>(w[0] >> 32),
            .epoch = static_cast<uint32_t>(w[1] >> 32),
            .words = {w[2], w[3], w[4], w[5], w[6]},
        };
    }
};

constexpr uint64_t combined(Combine how, uint64_t a, uint64_t b) {
    switch (how) {
    case Combine::sum: return a + b;
    case Combine::minimum: return std::min(a, b);
    case Combine::maximum: return std::max(a, b);
    case Combine::any: return a | b;
    case Combine::all: return a & b;
    case Combine::none:
    case Combine::list: break;
    }
    return 0;
}

} // namespace group
