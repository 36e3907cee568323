// operator new for a domain: a heap that takes memory from the quota when it runs out.
#include <algorithm>
#include <new>

#include "lib/os/heap.hpp"
#include "lib/os/memory.hpp"

namespace {

constexpr size_t chunk_bytes = 64 * 1024;
constinit os::Heap heap;

void* allocate(size_t bytes) {
    if (void* const memory = heap.allocate(bytes)) return memory;
    auto chunk = os::Memory::make(std::max(chunk_bytes, bytes + page_bytes));
    if (!chunk) return nullptr;
    const MutableBytes fresh = chunk->span();
    // It belongs to the heap for good.
    chunk->view.keep();
    chunk->frame.keep();
    heap.add(fresh);
    return heap.allocate(bytes);
}

} // namespace

void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
    return allocate(bytes);
}

void operator delete(void* memory) noexcept {
    heap.release(memory);
}

void operator delete(void* memory, size_t) noexcept {
    heap.release(memory);
}

void operator delete(void* memory, const std::nothrow_t&) noexcept {
    heap.release(memory);
}

const std::nothrow_t std::nothrow{};
