// Memory of all streams, in blocks of powers of two that are split and joined as buddies (Knowlton
// 1965): what comes or is to go takes one when it needs it, and a larger one when the path and its
// application make use of it.
#pragma once

#include <algorithm>
#include <bit>
#include <span>

#include "lib/base/bytes.hpp"
#include "lib/base/invariant.hpp"
#include "net/arena.hpp"

namespace net::tcp {

class BufferPool {
  public:
    static constexpr size_t least_bytes = 2048;

    /// `bytes` is a multiple of `most_bytes`, a power of two from least_bytes on.
    BufferPool(Arena& arena, size_t bytes, size_t most_bytes)
        : marks_{arena.make<Mark>(bytes / least_bytes)}, memory_{arena.bytes(bytes)},
          orders_{order_of(most_bytes) + 1} {
        if (memory_.empty()) return;
        for (size_t at = bytes; at != 0; at -= most_bytes)
            put(at - most_bytes, orders_ - 1);
        free_bytes_ = bytes;
    }

    size_t free_bytes() const { return free_bytes_; }

    size_t bytes() const { return memory_.size(); }

    /// A block of exactly `bytes`, a power of two; empty when there is none.
    MutableBytes take(size_t bytes) {
        const size_t wanted = order_of(bytes);
        size_t order = wanted;
        while (order < orders_ && first_[order] == nullptr)
            ++order;
        if (order >= orders_) return {};
        const size_t at = size_t(std::bit_cast<std::byte*>(first_[order]) - memory_.data());
        unlink(at, order);
        for (; order > wanted; --order)
            put(at + (least_bytes << (order - 1)), order - 1);
        free_bytes_ -= bytes;
        return memory_.subspan(at, bytes);
    }

    void give(MutableBytes block) {
        free_bytes_ += block.size();
        size_t at = size_t(block.data() - memory_.data());
        size_t order = order_of(block.size());
        for (; order + 1 < orders_; ++order) {
            const size_t buddy = at ^ (least_bytes << order);
            if (mark(buddy).free_order != order) break;
            unlink(buddy, order);
            at = std::min(at, buddy);
        }
        put(at, order);
    }

  private:
    static constexpr uint8_t not_free = 0xff;
    static constexpr size_t most_orders = 16;

    /// Of the first small block of a free one.
    struct Mark {
        uint8_t free_order = not_free;
    };

    /// Lies in the free memory itself.
    struct Links {
        Links *next, *previous;
    };

    static size_t order_of(size_t bytes) {
        return size_t(std::countr_zero(bytes)) - size_t(std::countr_zero(least_bytes));
    }

    Mark& mark(size_t at) { return marks_[at / least_bytes]; }

    void put(size_t at, size_t order) {
        auto* links = ::new (static_cast<void*>(&memory_[at])) Links{first_[order], nullptr};
        if (links->next != nullptr) links->next->previous = links;
        first_[order] = links;
        mark(at).free_order = uint8_t(order);
    }

    void unlink(size_t at, size_t order) {
        const auto* links = std::bit_cast<Links*>(&memory_[at]);
        if (links->next != nullptr) links->next->previous = links->previous;
        (links->previous != nullptr ? links->previous->next : first_[order]) = links->next;
        mark(at).free_order = not_free;
    }

    std::span<Mark> marks_;
    MutableBytes memory_;
    size_t orders_;
    size_t free_bytes_{};
    std::array<Links*, most_orders> first_{};
};

} // namespace net::tcp
