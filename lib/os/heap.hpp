// First fit over chunks of memory that are added as needed; neighbours are joined when freed. For
// the few objects that have no pool: sessions of a server, its task memory. Pure.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/base/bytes.hpp"

namespace os {

class Heap {
  public:
    static constexpr size_t unit = 16; // granule and alignment

    constexpr Heap() = default;
    Heap(const Heap&) = delete;

    /// Memory to hand out: 16-byte aligned, never taken back.
    void add(MutableBytes chunk);

    /// Null when nothing fits.
    void* allocate(size_t bytes);
    void release(void* memory);

    size_t free_bytes() const;

  private:
    struct Block { // free; lies in the memory itself, sorted by address
        size_t bytes;
        Block* next;
    };

    struct Header { // before what was handed out
        size_t bytes;
        uint64_t mark;
    };

    static_assert(sizeof(Block) == unit && sizeof(Header) == unit);
    static constexpr uint64_t in_use = 0x6573'7520'6e69'2021;

    void insert(std::byte* at, size_t bytes);

    Block* free_{};
};

} // namespace os
