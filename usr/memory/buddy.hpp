// Which memory of this core is free: power-of-two blocks, naturally aligned, split and merged with
// their buddies. Pure bookkeeping on addresses; capabilities are main.cpp's affair.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"

namespace memory {

enum class Use : uint8_t { free, granted, away }; // away: granted to be another core's

struct Block {
    PhysAddr base;
    uint64_t bytes; // a power of two from page_bytes to largest_block
    uint16_t root;  // of which region it is a part
    Use use;
};

constexpr uint64_t largest_block = uint64_t{1} << 30;
constexpr size_t max_blocks = 2048;

struct Sums {
    uint64_t total, free, largest; // total: without what is away
};

class Buddy {
  public:
    /// A region [base, base + bytes), whole pages, that does not overlap any other.
    /// Errors: misaligned; no_space (too many blocks; nothing was added).
    Result<> add(PhysAddr base, uint64_t bytes, uint16_t root);

    /// The smallest free block that fits, split as needed, the lowest address first. The block is
    /// granted then.
    /// Errors: bad_argument (not a power of two of pages), no_memory.
    Result<Block> allocate(uint64_t bytes);

    /// The same, wholly within [begin, end).
    Result<Block> allocate_within(uint64_t bytes, PhysAddr begin, PhysAddr end);

    /// A granted block will be another core's until it is released.
    void goes_away(PhysAddr base);

    /// A granted block comes back. Errors: not_found (no such block), bad_state (not granted).
    Result<> release(PhysAddr base, uint64_t bytes);

    /// One block of `count * bytes`, granted as `count` blocks: `bytes` each, side by side; the
    /// first. Errors: as allocate.
    Result<Block> allocate_run(uint64_t bytes, size_t count);

    /// A region with nothing granted leaves. Errors: not_found, bad_state (something is granted).
    Result<> remove(uint16_t root);

    /// The block that starts there.
    std::optional<Block> find(PhysAddr base) const;

    Sums sums() const;

    std::span<const Block> blocks() const { return std::span{blocks_}.first(count_); }

  private:
    size_t index_of(PhysAddr base) const;
    Result<size_t> granted(PhysAddr base, uint64_t bytes) const;
    void open_gap(size_t at, size_t count);
    void insert(size_t at, const Block& block);
    void erase(size_t at);
    void split(size_t at);
    Result<Block> cut_out(size_t at, uint64_t base, uint64_t bytes);
    std::optional<size_t> merge(size_t at);

    std::array<Block, max_blocks> blocks_{}; // sorted by address
    size_t count_{};
};

} // namespace memory
