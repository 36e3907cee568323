// How the memory between a network driver and a stack is divided: four acknowledgement lines, four
// rings, the pool. Both sides map the same frame and compute the same division from its size; the
// driver gets addresses for its device as base of the frame + offset.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"
#include "lib/netq/ring.hpp"

namespace netq {

/// The rings, named from the stack's view; the first word says for which direction of frames.
enum class Which : uint8_t {
    rx_provide, // stack to driver: empty buffers to receive into
    rx_return,  // driver to stack: frames that arrived
    tx_provide, // stack to driver: frames to be sent
    tx_return,  // driver to stack: buffers whose frames have left
};
constexpr size_t rings = 4;

/// Offsets in an area. A ring has a slot for every buffer: while each buffer is in one place, no
/// ring can be full.
struct Layout {
    uint32_t slots{}; // of each ring
    uint32_t buffers{};
    size_t rings_at{};
    size_t pool_at{};
    size_t bytes{}; // used, from the start of the area

    /// errors   no_space (fewer than 8 buffers)
    static constexpr Result<Layout> fit(size_t area_bytes) {
        const size_t most = std::min(area_bytes / buffer_bytes, slots_max);
        if (most < 8) return fail(Err::no_space);
        Layout l;
        l.slots = static_cast<uint32_t>(std::bit_ceil(most));
        l.rings_at = rings * sizeof(Ack);
        l.pool_at = round_up(l.rings_at + rings * l.slots * sizeof(Slot), buffer_bytes);
        if (l.pool_at >= area_bytes) return fail(Err::no_space);
        const size_t left = (area_bytes - l.pool_at) / buffer_bytes;
        if (left < 8) return fail(Err::no_space);
        l.buffers = static_cast<uint32_t>(std::min<size_t>(left, l.slots));
        l.bytes = l.pool_at + size_t{l.buffers} * buffer_bytes;
        return l;
    }

    constexpr size_t ring_at(Which which) const {
        return rings_at + static_cast<size_t>(which) * slots * sizeof(Slot);
    }

    static constexpr size_t ack_at(Which which) { return static_cast<size_t>(which) * sizeof(Ack); }

    /// Where a buffer's byte is, from the start of the area.
    constexpr size_t offset_of(uint32_t buffer, uint16_t offset = 0) const {
        return pool_at + size_t{buffer} * buffer_bytes + offset;
    }
};

struct DriverSide {
    Consumer rx_provide;
    Producer rx_return;
    Consumer tx_provide;
    Producer tx_return;
};

struct StackSide {
    Producer rx_provide;
    Consumer rx_return;
    Producer tx_provide;
    Consumer tx_return;
};

/// A mapped area. Zeroed before its first use.
class Area {
  public:
    /// errors   misaligned (to a line); no_space
    static Result<Area> over(std::span<std::byte> memory) {
        if (std::bit_cast<uintptr_t>(memory.data()) % line_bytes != 0) return fail(Err::misaligned);
        return Area{memory.data(), TRY(Layout::fit(memory.size()))};
    }

    const Layout& layout() const { return layout_; }

    /// The bytes of a buffer that a descriptor names. Both come from Consumer::take or from us.
    std::span<std::byte> data(const Descriptor& d) const {
        INVARIANT(d.buffer < layout_.buffers, "descriptors are judged when they are taken");
        INVARIANT(d.offset + d.bytes <= buffer_bytes, "descriptors are judged when they are taken");
        return {base_ + layout_.offset_of(d.buffer, d.offset), d.bytes};
    }

    std::span<std::byte> buffer(uint32_t i) const {
        INVARIANT(i < layout_.buffers, "descriptors are judged when they are taken");
        return {base_ + layout_.offset_of(i), buffer_bytes};
    }

    DriverSide driver() const {
        return {
            consumer(Which::rx_provide),
            producer(Which::rx_return),
            consumer(Which::tx_provide),
            producer(Which::tx_return)
        };
    }

    StackSide stack() const {
        return {
            producer(Which::rx_provide),
            consumer(Which::rx_return),
            producer(Which::tx_provide),
            consumer(Which::tx_return)
        };
    }

  private:
    Area(std::byte* base, const Layout& layout) : base_{base}, layout_{layout} {}

    template <class T>
    T* at(size_t offset) const {
        return static_cast<T*>(static_cast<void*>(base_ + offset));
    }

    std::span<Slot> ring(Which which) const {
        return {at<Slot>(layout_.ring_at(which)), layout_.slots};
    }

    Ack& ack(Which which) const { return *at<Ack>(Layout::ack_at(which)); }

    Producer producer(Which which) const { return {ring(which), ack(which)}; }

    Consumer consumer(Which which) const { return {ring(which), ack(which), layout_.buffers}; }

    std::byte* base_;
    Layout layout_;
};

} // namespace netq
