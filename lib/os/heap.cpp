#include "lib/os/heap.hpp"

#include <new>

#include "lib/base/invariant.hpp"
#include "lib/base/strong.hpp"

namespace os {

void Heap::add(MutableBytes chunk) {
    insert(chunk.data(), round_down(chunk.size(), unit));
}

void* Heap::allocate(size_t bytes) {
    if (bytes > size_t{1} << 40) return nullptr;
    const size_t whole = round_up(bytes + sizeof(Header), unit);
    for (Block** at = &free_; *at != nullptr; at = &(*at)->next) {
        Block* const block = *at;
        if (block->bytes < whole) continue;
        const size_t rest = block->bytes - whole;
        Block* const next = block->next;
        void* const start = block;
        if (rest == 0)
            *at = next;
        else
            *at = new (static_cast<std::byte*>(start) + whole) Block{rest, next};
        return new (start) Header{whole, in_use} + 1;
    }
    return nullptr;
}

void Heap::release(void* memory) {
    if (memory == nullptr) return;
    Header* const header = static_cast<Header*>(memory) - 1;
    INVARIANT(header->mark == in_use, "memory is given back once, by who got it");
    header->mark = 0;
    void* const start = header;
    insert(static_cast<std::byte*>(start), header->bytes);
}

size_t Heap::free_bytes() const {
    size_t sum = 0;
    for (const Block* b = free_; b != nullptr; b = b->next)
        sum += b->bytes;
    return sum;
}

void Heap::insert(std::byte* at, size_t bytes) {
    if (bytes < unit) return;
    const auto end_of = [](Block* b) {
        void* const start = b;
        return static_cast<std::byte*>(start) + b->bytes;
    };
    void* const start = at;
    Block* before = nullptr;
    Block* after = free_;
    while (after != nullptr && static_cast<void*>(after) < start) {
        before = after;
        after = after->next;
    }
    Block* block = new (start) Block{bytes, after};
    if (before == nullptr) {
        free_ = block;
    } else if (end_of(before) == at) {
        before->bytes += bytes;
        block = before;
    } else {
        before->next = block;
    }
    void* const end = end_of(block);
    if (after == nullptr || end != after) return;
    block->bytes += after->bytes;
    block->next = after->next;
}

} // namespace os
