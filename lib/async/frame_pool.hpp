// Memory for coroutine frames: a domain has one pool, and a binding may bring its own, so that no
// client can take another's. Frames come in a few sizes; a freed one serves the next of its size,
// and only when nothing fits any more are free neighbours joined and cut anew.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <new>
#include <span>
#include <utility>

#include "lib/base/bytes.hpp"
#include "lib/base/invariant.hpp"

namespace async {

class FramePool {
  public:
    static constexpr size_t smallest = 128, largest = 8192;

    explicit FramePool(MutableBytes memory) : all_{aligned(memory)}, rest_{all_} {}

    FramePool(const FramePool&) = delete; // frames hold its address

    ~FramePool() { INVARIANT(used() == 0, "tasks end before their memory goes"); }

    /// Null when there is no room, or for a frame over `largest`.
    [[gnu::always_inline]] void* allocate(size_t bytes) {
        const size_t whole = bytes + sizeof(Header);
        if (whole > largest) return nullptr;
        const size_t kind = index(std::bit_ceil(std::max(whole, smallest)));
        Free* const block = free_[kind];
        if (block == nullptr) [[unlikely]]
            return cut(kind);
        free_[kind] = block->next;
        ++allocated_;
        return new (static_cast<void*>(block)) Header{this, kind} + 1;
    }

    [[gnu::always_inline]] static void release(void* frame) {
        Header* const header = static_cast<Header*>(frame) - 1;
        FramePool& pool = *header->pool;
        Free** const list = pool.free_.data() + header->kind;
        *list = new (static_cast<void*>(header)) Free{*list, header->kind};
        ++pool.released_;
    }

    size_t used() const { return allocated_ - released_; }

    /// Where a new task takes its frame: the pool of the task that runs now.
    static inline constinit FramePool* current = nullptr;

  private:
    struct alignas(16) Header {
        FramePool* pool;
        size_t kind; // index into free_
    };

    struct alignas(16) Free {
        Free* next;
        size_t kind; // as in the Header, until join() looks for free ones
    };

    static_assert(sizeof(Free) == sizeof(Header));

    static constexpr size_t sizes = std::countr_zero(largest / smallest) + 1;

    static constexpr size_t index(size_t size) {
        return static_cast<size_t>(std::countr_zero(size) - std::countr_zero(smallest));
    }

    static MutableBytes aligned(MutableBytes memory) {
        const size_t off = std::bit_cast<uintptr_t>(memory.data()) % alignof(Header);
        const size_t skip = off == 0 ? 0 : alignof(Header) - off;
        return memory.subspan(std::min(skip, memory.size()));
    }

    [[gnu::noinline]] void* cut(size_t kind) {
        if (void* const block = from_rest(kind)) return block;
        if (void* const part = from_lists(kind)) return part;
        if (released_ == released_when_joined_) return nullptr; // so that asking again is cheap
        released_when_joined_ = released_;
        join();
        void* const joined = from_lists(kind);
        return joined != nullptr ? joined : from_rest(kind);
    }

    void* from_rest(size_t kind) {
        const size_t size = smallest << kind;
        if (rest_.size() < size) return nullptr;
        void* const block = rest_.data();
        rest_ = rest_.subspan(size);
        ++allocated_;
        return new (block) Header{this, kind} + 1;
    }

    /// A free one, or the first part of a larger one.
    void* from_lists(size_t kind) {
        for (size_t found = kind; found < sizes; ++found) {
            Free* const block = free_[found];
            if (block == nullptr) continue;
            free_[found] = block->next;
            const size_t at = static_cast<size_t>(std::bit_cast<std::byte*>(block) - all_.data());
            cut_range(at + (smallest << kind), at + (smallest << found));
            ++allocated_;
            return new (static_cast<void*>(block)) Header{this, kind} + 1;
        }
        return nullptr;
    }

    /// Joins free neighbours, and cuts what they make into the largest blocks there are.
    void join() {
        constexpr size_t is_free = sizes; // added to the kind of a free one
        for (Free*& list : free_)
            for (Free* block = std::exchange(list, nullptr); block != nullptr; block = block->next)
                block->kind += is_free;
        const size_t cut_up = all_.size() - rest_.size();
        size_t begin = 0; // of the free ones before `at`
        for (size_t at = 0; at < cut_up;) {
            const size_t kind = std::bit_cast<Free*>(&all_[at])->kind;
            const bool in_use = kind < is_free;
            if (in_use) cut_range(begin, at);
            at += smallest << (in_use ? kind : kind - is_free);
            if (in_use) begin = at;
        }
        rest_ = all_.subspan(begin);
    }

    void cut_range(size_t begin, size_t end) {
        while (begin < end) {
            const size_t kind = std::min(index(std::bit_floor(end - begin)), sizes - 1);
            free_[kind] = new (static_cast<void*>(&all_[begin])) Free{free_[kind], kind};
            begin += smallest << kind;
        }
    }

    MutableBytes all_;
    MutableBytes rest_;
    std::array<Free*, sizes> free_{};
    size_t allocated_{}, released_{}; // ever
    size_t released_when_joined_{~size_t{}};
};

/// The number that follows a request from domain to domain, so that a trace shows causes; a task
/// has that of the task (or message) that made it. 0: none.
inline constinit uint16_t current_flow = 0;

class UseFlow {
  public:
    explicit UseFlow(uint16_t flow) : before_{current_flow} { current_flow = flow; }

    UseFlow(const UseFlow&) = delete;

    ~UseFlow() { current_flow = before_; }

  private:
    uint16_t before_;
};

/// Tasks that are made while this lives take their frames from `pool`.
class UsePool {
  public:
    explicit UsePool(FramePool* pool) : before_{FramePool::current} { FramePool::current = pool; }

    UsePool(const UsePool&) = delete;

    ~UsePool() { FramePool::current = before_; }

  private:
    FramePool* before_;
};

} // namespace async
