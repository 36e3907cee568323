// operator new for a domain: a heap that takes memory from the quota when it runs out. Where a
// domain spans cores each part has one of its own, and threads the one they share
// (shared_heap.hpp).
#include <algorithm>
#include <new>

#include "lib/os/heap.hpp"
#include "lib/os/memory.hpp"
#include "lib/os/shared_heap.hpp"
#include "lib/os/threads/scheduler.hpp"

namespace os {
namespace {

constexpr size_t chunk_bytes = 64 * 1024;
constinit Heap heap;
constinit SharedHeap* shared = nullptr;

void* allocate(size_t bytes) {
    if (shared != nullptr && os_current_thread != nullptr) return shared->allocate(bytes);
    if (void* const memory = heap.allocate(bytes)) return memory;
    auto chunk = Memory::make(std::max(chunk_bytes, bytes + page_bytes));
    if (!chunk) return nullptr;
    const MutableBytes fresh = chunk->span();
    // It belongs to the heap for good.
    chunk->view.keep();
    chunk->frame.keep();
    heap.add(fresh);
    return heap.allocate(bytes);
}

void release(void* memory) {
    if (shared != nullptr && shared->owns(memory)) return shared->release(memory);
    heap.release(memory);
}

} // namespace

void use_shared_heap(SharedHeap& of_threads) {
    shared = &of_threads;
}

} // namespace os

void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
    return os::allocate(bytes);
}

void operator delete(void* memory) noexcept {
    os::release(memory);
}

void operator delete(void* memory, size_t) noexcept {
    os::release(memory);
}

void operator delete(void* memory, const std::nothrow_t&) noexcept {
    os::release(memory);
}

const std::nothrow_t std::nothrow{};
