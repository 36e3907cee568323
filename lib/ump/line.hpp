// What lies in the memory that two domains share: message lines, and one control line for each
// side. Every line has one writer for ever, so the only rule about order is the one of x86: a
// core's stores are seen in order, but its loads may overtake its own stores.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ump {

constexpr size_t payload_words = 7;
using Body = std::array<uint64_t, payload_words>;

/// How the protocol touches shared memory. The interleaving checker has another one, with a store
/// buffer for each core; the protocol itself is the same code for both.
struct RealMemory {
    using Word = std::atomic<uint64_t>;
    using Payload = Body;
    static_assert(Word::is_always_lock_free);

    // acquire: pairs with the release in `store`; what was written before it is seen after
    static uint64_t load(const Word& word) { return word.load(std::memory_order_acquire); }

    // release: publishes all that this core wrote before
    static void store(Word& word, uint64_t value) { word.store(value, std::memory_order_release); }

    static void write(Payload& to, const Body& from) { to = from; }

    static void read(const Payload& from, Body& to) {
        to = from;
        // The compiler may not go back to memory that the peer can change meanwhile.
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }

    /// Between publishing lines and reading whether the peer sleeps; pairs with fence_after_arm.
    static void fence_after_publish() { std::atomic_thread_fence(std::memory_order_seq_cst); }

    /// Between saying "I sleep" and the last look; pairs with fence_after_publish.
    static void fence_after_arm() { std::atomic_thread_fence(std::memory_order_seq_cst); }
};

/// One message. The control word is written last and publishes the payload.
template <class Memory>
struct alignas(64) BasicLine {
    typename Memory::Payload payload;
    typename Memory::Word control;
};

/// One side's words to the other that are not messages.
template <class Memory>
struct alignas(64) BasicControlLine {
    typename Memory::Word credit; // see Credit
    typename Memory::Word epoch;  // nonzero: asleep, or about to be, in that epoch of sleeping
    std::array<typename Memory::Word, 6> aside; // their meaning is the user's
};

using Line = BasicLine<RealMemory>;
using ControlLine = BasicControlLine<RealMemory>;
static_assert(sizeof(Line) == 64 && offsetof(Line, control) == 56);
static_assert(sizeof(ControlLine) == 64 && offsetof(ControlLine, epoch) == 8);

/// The control word of a line. `sequence` is the number of the message in its direction, from 1:
/// a line that still has the number of the lap before is not there yet.
struct Control {
    uint16_t sequence, ack, tag, flow;

    static constexpr Control unpack(uint64_t word) {
        return {
            static_cast<uint16_t>(word),
            static_cast<uint16_t>(word >> 16),
            static_cast<uint16_t>(word >> 32),
            static_cast<uint16_t>(word >> 48)
        };
    }

    static constexpr uint64_t pack(uint64_t sequence, uint64_t ack, uint16_t tag, uint16_t flow) {
        return (sequence & 0xffff) | (ack & 0xffff) << 16 | uint64_t{tag} << 32 |
               uint64_t{flow} << 48;
    }
};

/// The credit word of a control line: messages received, and how many messages the writer had sent
/// by then. The second says which lines under way carry an older acknowledgement than this one.
struct Credit {
    uint64_t received; // 48 bits: at 10^7 a second they last for 325 days of one channel
    uint16_t sent;

    static constexpr Credit unpack(uint64_t word) {
        return {word >> 16, static_cast<uint16_t>(word)};
    }

    static constexpr uint64_t pack(uint64_t received, uint64_t sent) {
        return received << 16 | (sent & 0xffff);
    }
};

struct Message {
    Body body;
    uint64_t control{};

    uint16_t tag() const { return Control::unpack(control).tag; }

    /// Follows a request from domain to domain.
    uint16_t flow() const { return Control::unpack(control).flow; }
};

/// The tag of the last message in a direction; body[0] is the reason, an Err.
constexpr uint16_t close_tag = 0xffff;

constexpr size_t max_ring_lines = 1u << 15; // so that 16 bits of a counter are never ambiguous
constexpr size_t min_ring_lines = 4;

} // namespace ump
