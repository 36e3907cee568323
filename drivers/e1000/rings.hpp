// The two descriptor rings in memory shared with the device. A buffer is owned by its descriptor
// from provide/send until take/reclaim hands its tag back. What the device wrote is outside input:
// lengths are held against the buffer, a descriptor it never got is never believed.
// Source: 317453 rev 4.0, sections 3.2 (receive) and 3.3, 3.4 (transmit).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "drivers/e1000/regs.hpp"
#include "lib/base/invariant.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"
#include "lib/hw/mmio.hpp"

namespace e1000 {

constexpr uint32_t ring_slots = 256;
constexpr uint32_t buffer_bytes = 2048;
constexpr uint32_t frame_bytes_max = 1514; // without FCS
constexpr uint32_t frame_bytes_min = 14;   // a header; the device pads to 60

struct alignas(16) Descriptor {
    uint64_t address;
    uint64_t word; // an Rx or Tx value
};

static_assert(sizeof(Descriptor) == 16);

using DescriptorRing = std::span<Descriptor, ring_slots>;
constexpr uint64_t ring_bytes = ring_slots * sizeof(Descriptor);

namespace detail {

/// Slots in use lie in [head, tail); one stays empty, since head == tail means none.
class Cursor {
  public:
    bool empty() const { return head_ == tail_; }

    bool full() const { return next(tail_) == head_; }

    uint32_t used() const { return (tail_ - head_) % ring_slots; }

    uint32_t room() const { return ring_slots - 1 - used(); }

    uint32_t head() const { return head_; }

    uint32_t tail() const { return tail_; }

    void advance_head() { head_ = next(head_); }

    void advance_tail() { tail_ = next(tail_); }

  private:
    static uint32_t next(uint32_t i) { return (i + 1) % ring_slots; }

    uint32_t head_{}, tail_{};
};

static_assert((ring_slots & (ring_slots - 1)) == 0, "used() relies on wrapping");

inline uint64_t load_word(const Descriptor& d) {
    return hw::mmio_load64(&d.word);
}

inline void store(Descriptor& d, PhysAddr address, uint64_t word) {
    hw::mmio_store64(&d.address, address.raw);
    hw::mmio_store64(&d.word, word);
}

} // namespace detail

/// A frame that arrived, or a buffer that comes back without one (`bytes` 0).
struct Received {
    uint32_t tag{};
    uint16_t bytes{};
};

class RxRing {
  public:
    struct Counters {
        uint64_t frames{}, bytes{};
        uint64_t bad_frames{};  // the device reported an error
        uint64_t bad_lengths{}; // none, or more than the buffer holds
        uint64_t too_long{};    // buffers of frames that did not fit into one
    };

    RxRing(DescriptorRing ring, PhysAddr base) : ring_{ring}, base_{base} {
        for (Descriptor& d : ring_)
            detail::store(d, phys(0), 0);
    }

    PhysAddr base() const { return base_; }

    uint32_t room() const { return cursor_.room(); }

    uint32_t head() const { return cursor_.head(); }

    uint32_t tail() const { return cursor_.tail(); }

    const Counters& counters() const { return counters_; }

    /// Gives the device a buffer of buffer_bytes; `tag` comes back with it.
    ///   errors   no_space
    Result<> provide(PhysAddr buffer, uint32_t tag) {
        if (cursor_.full()) return fail(Err::no_space);
        const uint32_t slot = cursor_.tail();
        tags_[slot] = tag;
        detail::store(ring_[slot], buffer, 0);
        cursor_.advance_tail();
        return {};
    }

    /// The next buffer that the device has finished with, in order.
    std::optional<Received> take() {
        if (cursor_.empty()) return std::nullopt;
        const uint32_t slot = cursor_.head();
        const Rx::Value word{detail::load_word(ring_[slot])}; // one load: checked is what is used
        if (!word.get<Rx::Done>()) return std::nullopt;
        cursor_.advance_head();
        return Received{tags_[slot], judge(word)};
    }

  private:
    uint16_t judge(Rx::Value word) {
        const uint16_t bytes = word.get<Rx::Length>();
        const bool last = word.get<Rx::EndOfPacket>();
        if (!last || in_long_frame_) { // long frames are off: only a confused device does this
            in_long_frame_ = !last;
            ++counters_.too_long;
            return 0;
        }
        if ((word.get<Rx::Errors>() & rx_frame_errors) != 0) {
            ++counters_.bad_frames;
            return 0;
        }
        if (bytes < frame_bytes_min || bytes > buffer_bytes) {
            ++counters_.bad_lengths;
            return 0;
        }
        ++counters_.frames;
        counters_.bytes += bytes;
        return bytes;
    }

    DescriptorRing ring_;
    PhysAddr base_;
    detail::Cursor cursor_;
    std::array<uint32_t, ring_slots> tags_{};
    Counters counters_;
    bool in_long_frame_{};
};

class TxRing {
  public:
    struct Counters {
        uint64_t frames{}, bytes{};
        uint64_t collisions{}; // not sent: excess or late
        uint64_t full{};       // refused for want of room
        uint64_t refused{};    // too long, or not even a header
    };

    TxRing(DescriptorRing ring, PhysAddr base) : ring_{ring}, base_{base} {
        for (Descriptor& d : ring_)
            detail::store(d, phys(0), 0);
    }

    PhysAddr base() const { return base_; }

    uint32_t room() const { return cursor_.room(); }

    uint32_t head() const { return cursor_.head(); }

    uint32_t tail() const { return cursor_.tail(); }

    bool empty() const { return cursor_.empty(); }

    const Counters& counters() const { return counters_; }

    /// Queues one frame without FCS; Device::publish tells the device, once a batch.
    ///   errors   no_space; message_too_long; bad_argument (shorter than a header)
    Result<> send(PhysAddr frame, uint32_t bytes, uint32_t tag) {
        if (bytes > frame_bytes_max) return refuse(Err::message_too_long);
        if (bytes < frame_bytes_min) return refuse(Err::bad_argument);
        if (cursor_.full()) {
            ++counters_.full;
            return fail(Err::no_space);
        }
        const uint32_t slot = cursor_.tail();
        tags_[slot] = tag;
        const auto word = Tx::of(
            Tx::Length{static_cast<uint16_t>(bytes)},
            Tx::EndOfPacket{true},
            Tx::InsertCrc{true},
            Tx::Report{true}
        );
        detail::store(ring_[slot], frame, word.raw);
        cursor_.advance_tail();
        ++counters_.frames;
        counters_.bytes += bytes;
        return {};
    }

    /// The tag of the next buffer whose frame has left, in order.
    std::optional<uint32_t> reclaim() {
        if (cursor_.empty()) return std::nullopt;
        const uint32_t slot = cursor_.head();
        const Tx::Value word{detail::load_word(ring_[slot])};
        if (!word.get<Tx::Done>()) return std::nullopt;
        if (word.get<Tx::Collisions>() != 0) ++counters_.collisions;
        cursor_.advance_head();
        return tags_[slot];
    }

  private:
    Result<> refuse(Err why) {
        ++counters_.refused;
        return fail(why);
    }

    DescriptorRing ring_;
    PhysAddr base_;
    detail::Cursor cursor_;
    std::array<uint32_t, ring_slots> tags_{};
    Counters counters_;
};

} // namespace e1000
