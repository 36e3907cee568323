#include "usr/memory/buddy.hpp"

#include <algorithm>

namespace memory {
namespace {

/// The largest naturally aligned power of two that starts at `base` and ends by `end`.
uint64_t aligned_part(uint64_t base, uint64_t end) {
    const uint64_t fits = std::bit_floor(end - base);
    const uint64_t aligned = base == 0 ? largest_block : base & (0 - base);
    return std::min({fits, aligned, largest_block});
}

} // namespace

Result<> Buddy::add(PhysAddr base, uint64_t bytes, uint16_t root) {
    if (!base.aligned(page_bytes) || bytes % page_bytes != 0) return fail(Err::misaligned);
    const uint64_t end = base.raw + bytes;
    size_t parts = 0;
    for (uint64_t at = base.raw; at < end; at += aligned_part(at, end))
        ++parts;
    if (parts > max_blocks - count_) return fail(Err::no_space);
    for (uint64_t at = base.raw; at < end;) {
        const uint64_t part = aligned_part(at, end);
        insert(index_of(phys(at)), {phys(at), part, root, Use::free});
        at += part;
    }
    return {};
}

Result<Block> Buddy::allocate(uint64_t bytes) {
    return allocate_within(bytes, phys(0), phys(~uint64_t{0}));
}

Result<Block> Buddy::allocate_within(uint64_t bytes, PhysAddr begin, PhysAddr end) {
    if (!std::has_single_bit(bytes) || bytes < page_bytes) return fail(Err::bad_argument);
    std::optional<size_t> best;
    uint64_t best_base = 0;
    for (size_t i = 0; i < count_; ++i) {
        const Block& b = blocks_[i];
        if (b.use != Use::free || b.bytes < bytes) continue;
        if (best && b.bytes >= blocks_[*best].bytes) continue;
        // The first aligned place in the block and the range, if it ends in both.
        const uint64_t low = std::max(b.base.raw, begin.raw);
        const uint64_t high = std::min(b.base.raw + b.bytes, end.raw);
        if (low > ~uint64_t{0} - bytes) continue;
        const uint64_t base = round_up(low, bytes);
        if (base >= high || high - base < bytes) continue;
        best = i;
        best_base = base;
    }
    if (!best) return fail(Err::no_memory);
    return cut_out(*best, best_base, bytes);
}

/// Splits a free block until [base, base + bytes) is one of its own, and grants that.
Result<Block> Buddy::cut_out(size_t at, uint64_t base, uint64_t bytes) {
    const auto steps =
        static_cast<size_t>(std::countr_zero(blocks_[at].bytes) - std::countr_zero(bytes));
    if (steps > max_blocks - count_) return fail(Err::no_memory);
    while (blocks_[at].bytes > bytes) {
        split(at);
        if (base >= blocks_[at + 1].base.raw) ++at;
    }
    blocks_[at].use = Use::granted;
    return blocks_[at];
}

void Buddy::goes_away(PhysAddr base) {
    blocks_[index_of(base)].use = Use::away;
}

Result<> Buddy::release(PhysAddr base, uint64_t bytes) {
    size_t at = TRY(granted(base, bytes));
    blocks_[at].use = Use::free;
    while (const auto lower = merge(at))
        at = *lower;
    return {};
}

Result<Block> Buddy::allocate_run(uint64_t bytes, size_t count) {
    if (!std::has_single_bit(bytes) || bytes < page_bytes || !std::has_single_bit(count))
        return fail(Err::bad_argument);
    // The splits on the way to the block, and within it.
    if (count - 1 + 64 > max_blocks - count_) return fail(Err::no_memory);
    const Block whole = TRY(allocate(bytes * count));
    const size_t at = index_of(whole.base);
    blocks_[at].bytes = bytes;
    open_gap(at + 1, count - 1);
    for (size_t i = 1; i < count; ++i) {
        blocks_[at + i] = blocks_[at];
        blocks_[at + i].base = whole.base + i * bytes;
    }
    return blocks_[at];
}

Result<> Buddy::remove(uint16_t root) {
    const auto of_root = [&](const Block& b) { return b.root == root; };
    if (std::ranges::none_of(blocks(), of_root)) return fail(Err::not_found);
    const auto in_use = [&](const Block& b) { return of_root(b) && b.use != Use::free; };
    if (std::ranges::any_of(blocks(), in_use)) return fail(Err::bad_state);
    const auto all = std::span{blocks_}.first(count_);
    count_ -= std::ranges::remove_if(all, of_root).size();
    return {};
}

std::optional<Block> Buddy::find(PhysAddr base) const {
    const size_t at = index_of(base);
    if (at == count_ || blocks_[at].base != base) return std::nullopt;
    return blocks_[at];
}

Sums Buddy::sums() const {
    Sums sums{};
    for (const Block& b : blocks()) {
        if (b.use != Use::away) sums.total += b.bytes;
        if (b.use != Use::free) continue;
        sums.free += b.bytes;
        sums.largest = std::max(sums.largest, b.bytes);
    }
    return sums;
}

/// Of the first block at or above `base`.
size_t Buddy::index_of(PhysAddr base) const {
    const auto it = std::ranges::lower_bound(blocks(), base, {}, &Block::base);
    return static_cast<size_t>(it - blocks().begin());
}

Result<size_t> Buddy::granted(PhysAddr base, uint64_t bytes) const {
    const size_t at = index_of(base);
    if (at == count_ || blocks_[at].base != base || blocks_[at].bytes != bytes)
        return fail(Err::not_found);
    if (blocks_[at].use == Use::free) return fail(Err::bad_state);
    return at;
}

void Buddy::open_gap(size_t at, size_t count) {
    const auto begin = blocks_.begin() + static_cast<ptrdiff_t>(at);
    const auto end = blocks_.begin() + static_cast<ptrdiff_t>(count_);
    std::copy_backward(begin, end, end + static_cast<ptrdiff_t>(count));
    count_ += count;
}

void Buddy::insert(size_t at, const Block& block) {
    open_gap(at, 1);
    blocks_[at] = block;
}

void Buddy::erase(size_t at) {
    std::copy(
        blocks_.begin() + static_cast<ptrdiff_t>(at) + 1,
        blocks_.begin() + static_cast<ptrdiff_t>(count_),
        blocks_.begin() + static_cast<ptrdiff_t>(at)
    );
    --count_;
}

/// The lower half stays at `at`.
void Buddy::split(size_t at) {
    Block& lower = blocks_[at];
    lower.bytes /= 2;
    Block upper = lower;
    upper.base = lower.base + lower.bytes;
    insert(at + 1, upper);
}

/// Joins the block with its buddy if that is free and of the same region: where they are then.
std::optional<size_t> Buddy::merge(size_t at) {
    const Block block = blocks_[at];
    if (block.bytes == largest_block) return std::nullopt;
    const PhysAddr base = phys(block.base.raw ^ block.bytes);
    const size_t other = index_of(base);
    if (other == count_) return std::nullopt;
    const Block& buddy = blocks_[other];
    const bool joins = buddy.base == base && buddy.bytes == block.bytes && buddy.use == Use::free &&
                       buddy.root == block.root;
    if (!joins) return std::nullopt;
    const size_t lower = std::min(at, other);
    blocks_[lower].bytes *= 2;
    erase(lower + 1);
    return lower;
}

} // namespace memory
