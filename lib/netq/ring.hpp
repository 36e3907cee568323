// A ring of descriptors from one domain to another. The sender writes slots, the receiver writes
// one line that says how many it has taken: each line has one writer for ever. A slot carries the
// number of its turn, so that no head or tail is shared. What comes out is outside input: bounds
// are checked, a bad descriptor is counted and skipped, a bad turn ends the ring.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "lib/base/invariant.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"

namespace netq {

constexpr uint32_t buffer_bytes = 2048;

/// What a descriptor says besides where the data is (docs/netq.md).
enum class Flag : uint16_t {
    not_sent = 1,     // tx_return: the frame did not leave (too long, or the device refused it)
    more = 2,         // tx_provide: the frame goes on in the next descriptor
    sum_tcp = 4,      // tx_provide: the device fills in the checksum of TCP,
    sum_udp = 8,      //             or of UDP
    segment = 16,     // tx_provide: the device cuts it into segments; with sum_tcp
    sums_checked = 32 // rx_return: the device found the checksums of IP and TCP or UDP right
};

constexpr uint16_t operator|(Flag a, Flag b) {
    return static_cast<uint16_t>(std::to_underlying(a) | std::to_underlying(b));
}

constexpr uint16_t operator|(uint16_t flags, Flag b) {
    return static_cast<uint16_t>(flags | std::to_underlying(b));
}

/// A buffer that changes its owner: its number in the pool, and where in it the data is.
struct Descriptor {
    uint32_t buffer{};
    uint16_t offset{};
    uint16_t bytes{}; // 0: an empty buffer
    uint16_t flags{}; // see Flag
    // Of the first descriptor of a frame whose flags ask for something:
    uint8_t transport_at{};   // where in the frame the header of TCP or UDP begins
    uint8_t header_bytes{};   // all headers together, which each segment gets
    uint16_t segment_bytes{}; // of data in each segment

    constexpr bool has(Flag flag) const { return (flags & std::to_underlying(flag)) != 0; }

    friend constexpr bool operator==(const Descriptor&, const Descriptor&) = default;
};

/// In shared memory. `turn` is written last and publishes `what`.
struct alignas(16) Slot {
    std::atomic<uint64_t> what; // buffer 16, transport_at 8, header_bytes 8, offset 16, bytes 16
    std::atomic<uint64_t> turn; // number of the descriptor from 1, 32 bits; flags, segment_bytes
};

/// In shared memory, written by the receiver alone.
struct alignas(line_bytes) Ack {
    std::atomic<uint64_t> taken;
};

static_assert(sizeof(Slot) == 16 && sizeof(Ack) == line_bytes);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

constexpr size_t slots_min = 4, slots_max = 32768;
static_assert(slots_max <= 1 << 16, "a slot has 16 bits for the number of a buffer");

/// The sending end. Touched by one core only; the memory is zeroed before either end exists.
class Producer {
  public:
    Producer(std::span<Slot> ring, const Ack& ack) : ring_{ring}, ack_{&ack} {
        INVARIANT(std::has_single_bit(ring.size()), "Layout makes rings of a power of two");
    }

    /// Hands the buffer over. The other side may sleep: see take_published.
    ///   errors   no_space; protocol (the receiver acknowledged what was never sent)
    Result<> push(const Descriptor& d) {
        if (sent_ - taken_ == ring_.size()) {
            TRY_VOID(read_ack());
            if (sent_ - taken_ == ring_.size()) return fail(Err::no_space);
        }
        Slot& slot = ring_[sent_ & (ring_.size() - 1)];
        ++sent_;
        const uint64_t what = uint64_t{d.bytes} << 48 | uint64_t{d.offset} << 32 |
                              uint64_t{d.header_bytes} << 24 | uint64_t{d.transport_at} << 16 |
                              (d.buffer & 0xffff);
        const uint64_t turn = uint64_t{d.segment_bytes} << 48 | uint64_t{d.flags} << 32 |
                              static_cast<uint32_t>(sent_);
        // relaxed: published by the next store
        slot.what.store(what, std::memory_order_relaxed);
        // release: publishes `what` and the buffer's data; pairs with the acquire in Consumer::take
        slot.turn.store(turn, std::memory_order_release);
        published_ = true;
        return {};
    }

    /// Slots that are surely free; reads the receiver's line.
    ///   errors   protocol
    Result<size_t> room() {
        TRY_VOID(read_ack());
        return ring_.size() - static_cast<size_t>(sent_ - taken_);
    }

    /// True once after something was published: the caller then fences once for the batch, looks
    /// whether the other side sleeps, and rings at most once an epoch (docs/netq.md).
    bool take_published() {
        const bool was = published_;
        published_ = false;
        return was;
    }

    /// How many the receiver has not said that it has taken; at least as many as it has not. Every
    /// buffer in the queue has a slot, so nobody waits for room: a ring is worth it only for a
    /// receiver that waits for what is sent here.
    ///   errors   protocol
    Result<size_t> untaken() {
        TRY_VOID(read_ack());
        return static_cast<size_t>(sent_ - taken_);
    }

    uint64_t sent() const { return sent_; }

  private:
    Result<> read_ack() {
        // acquire: pairs with the release in Consumer::acknowledge; the slots may be written again
        const uint64_t taken = ack_->taken.load(std::memory_order_acquire);
        if (taken < taken_ || taken > sent_) return fail(Err::protocol);
        taken_ = taken;
        return {};
    }

    std::span<Slot> ring_;
    const Ack* ack_;
    uint64_t sent_{}, taken_{};
    bool published_{};
};

/// The receiving end. Touched by one core only.
class Consumer {
  public:
    /// `buffers` is the size of the pool that descriptors may name.
    Consumer(std::span<const Slot> ring, Ack& ack, uint32_t buffers)
        : ring_{ring}, ack_{&ack}, buffers_{buffers},
          owed_max_{ring.size() > buffers ? (ring.size() - buffers) / 2 : 0} {
        INVARIANT(std::has_single_bit(ring.size()), "Layout makes rings of a power of two");
    }

    /// The next descriptor, or none yet.
    ///   errors   protocol: this one names no buffer of the pool, or leaves it; it is counted and
    ///            gone, go on. When broken(), nothing will come any more.
    Result<std::optional<Descriptor>> take() {
        const Slot& slot = ring_[taken_ & (ring_.size() - 1)];
        // acquire: pairs with the release in Producer::push; `what` and the data are then seen
        const uint64_t turn = slot.turn.load(std::memory_order_acquire);
        if (static_cast<uint32_t>(turn) != static_cast<uint32_t>(taken_ + 1)) return not_yet(turn);
        const uint64_t what = slot.what.load(std::memory_order_relaxed); // copied once, then judged
        ++taken_;
        // Every buffer unread and so many untold together still fit: the ring is never full.
        if (taken_ - told_ > owed_max_) tell();
        const Descriptor d{
            .buffer = static_cast<uint16_t>(what),
            .offset = static_cast<uint16_t>(what >> 32),
            .bytes = static_cast<uint16_t>(what >> 48),
            .flags = static_cast<uint16_t>(turn >> 32),
            .transport_at = static_cast<uint8_t>(what >> 16),
            .header_bytes = static_cast<uint8_t>(what >> 24),
            .segment_bytes = static_cast<uint16_t>(turn >> 48),
        };
        if (d.buffer >= buffers_ || uint32_t{d.offset} + d.bytes > buffer_bytes) {
            ++bad_;
            return fail(Err::protocol);
        }
        return d;
    }

    /// Is there something to take? The last look before going to sleep.
    bool has_any() const {
        const Slot& slot = ring_[taken_ & (ring_.size() - 1)];
        // relaxed: take() looks again before it believes anything
        return static_cast<uint32_t>(slot.turn.load(std::memory_order_relaxed)) ==
               static_cast<uint32_t>(taken_ + 1);
    }

    /// Tells the sender what was taken; once a batch. It does not sleep for that: no ring.
    void acknowledge() {
        if (told_ != taken_) tell();
    }

    uint64_t taken() const { return taken_; }

    uint64_t bad() const { return bad_; }

    bool broken() const { return broken_; }

  private:
    void tell() {
        told_ = taken_;
        // release: our reads of those slots are over; pairs with the acquire in Producer
        ack_->taken.store(taken_, std::memory_order_release);
    }

    /// A slot that is not ours yet still has the turn of the lap before, 0 in the first lap.
    Result<std::optional<Descriptor>> not_yet(uint64_t turn) {
        const uint64_t size = ring_.size();
        const uint64_t before = taken_ < size ? 0 : taken_ + 1 - size;
        if (static_cast<uint32_t>(turn) == static_cast<uint32_t>(before))
            return std::optional<Descriptor>{};
        if (!broken_) ++bad_;
        broken_ = true;
        return fail(Err::protocol);
    }

    std::span<const Slot> ring_;
    Ack* ack_;
    uint32_t buffers_;
    uint64_t owed_max_; // descriptors taken, but not yet told
    uint64_t taken_{}, told_{};
    uint64_t bad_{};
    bool broken_{};
};

} // namespace netq
