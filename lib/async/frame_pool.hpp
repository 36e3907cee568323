// Memory for coroutine frames: a domain has one pool, and a binding may bring its own, so that no
// client can take another's. Frames come in a few sizes; a freed one serves the next of its size.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <new>
#include <span>

#include "lib/base/bytes.hpp"
#include "lib/base/invariant.hpp"

namespace async {

class FramePool {
  public:
    static constexpr size_t smallest = 128, largest = 8192;

    explicit FramePool(MutableBytes memory) : rest_{aligned(memory)} {}

    FramePool(const FramePool&) = delete; // frames hold its address

    ~FramePool() { INVARIANT(used_ == 0, "tasks end before their memory goes"); }

    /// Null when there is no room, or for a frame over `largest`.
    [[gnu::always_inline]] void* allocate(size_t bytes) {
        const size_t whole = bytes + sizeof(Header);
        if (whole > largest) return nullptr;
        const size_t kind = index(std::bit_ceil(std::max(whole, smallest)));
        Free* const block = free_[kind];
        if (block == nullptr) [[unlikely]]
            return cut(kind);
        free_[kind] = block->next;
        ++used_;
        return new (static_cast<void*>(block)) Header{this, kind} + 1;
    }

    [[gnu::always_inline]] static void release(void* frame) {
        Header* const header = static_cast<Header*>(frame) - 1;
        FramePool& pool = *header->pool;
        Free** const list = pool.free_.data() + header->kind;
        *list = new (static_cast<void*>(header)) Free{*list};
        --pool.used_;
    }

    size_t used() const { return used_; }

    /// Where a new task takes its frame: the pool of the task that runs now.
    static inline constinit FramePool* current = nullptr;

  private:
    struct alignas(16) Header {
        FramePool* pool;
        size_t kind; // index into free_
    };

    struct Free {
        Free* next;
    };

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
        const size_t size = smallest << kind;
        if (rest_.size() < size) return kind + 1 < sizes ? larger(kind + 1) : nullptr;
        void* const block = rest_.data();
        rest_ = rest_.subspan(size);
        ++used_;
        return new (block) Header{this, kind} + 1;
    }

    /// All was cut up: a freed one that is larger than needed, then.
    void* larger(size_t kind) {
        for (; kind < sizes; ++kind) {
            Free* const block = free_[kind];
            if (block == nullptr) continue;
            free_[kind] = block->next;
            ++used_;
            return new (static_cast<void*>(block)) Header{this, kind} + 1;
        }
        return nullptr;
    }

    MutableBytes rest_;
    std::array<Free*, sizes> free_{};
    size_t used_{};
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
