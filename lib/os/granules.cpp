#include "lib/os/granules.hpp"

#include <algorithm>
#include <bit>

namespace os {
namespace {

constexpr uint32_t bit(uint64_t i) {
    return uint32_t{1} << i;
}

/// As many ready ones as cost little: 16 pages of 4 KiB, 4 of 64 KiB, one of 2 MiB.
constexpr size_t ready_for(uint64_t granule_bytes) {
    constexpr uint64_t worth = 256 * 1024;
    return std::clamp<uint64_t>(worth / granule_bytes, 1, 16);
}

} // namespace

void Granules::begin(uint64_t bytes, const Scratch& scratch) {
    bytes_ = bytes;
    scratch_ = scratch;
    wanted_ = ready_for(bytes);
}

Result<> Granules::stock() {
    while (ready_count_ < wanted_) {
        Chunk& chunk = *TRY(with_free_one());
        // Clean ones first: they cost nothing.
        const uint32_t clean_ones = chunk.free & ~chunk.dirty;
        const uint32_t from = clean_ones != 0 ? clean_ones : chunk.free;
        const auto index = static_cast<uint64_t>(std::countr_zero(from));
        const Granule granule{chunk.frame.slot, index * bytes_};
        if (clean_ones == 0) TRY_VOID(clean(granule));
        chunk.free &= ~bit(index);
        chunk.dirty &= ~bit(index);
        ready_[ready_count_++] = granule;
    }
    return {};
}

Result<Granules::Chunk*> Granules::with_free_one() {
    for (Chunk* chunk = chunks_; chunk != nullptr; chunk = chunk->next)
        if (chunk->free != 0) return chunk;
    return grow();
}

/// Chunks grow with the whole, so that there are few; a quota that is nearly used up gives less.
Result<Granules::Chunk*> Granules::grow() {
    const uint64_t now = frames_bytes_ / bytes_;
    const uint64_t most = bytes_ >= large_page_bytes ? 1 : most_in_chunk;
    auto granules = static_cast<uint32_t>(std::clamp<uint64_t>(std::bit_ceil(now), 1, most));
    if (most > 1) granules = std::max<uint32_t>(granules, 4);
    for (;; granules /= 2) {
        const auto made = grow_by(granules);
        if (made || granules == 1) return made;
    }
}

Result<Granules::Chunk*> Granules::grow_by(uint32_t granules) {
    Chunk* const chunk = cells_->take<Chunk>();
    if (chunk == nullptr) return fail(Err::no_space);
    const auto frame = source_->make_frame(granules * bytes_, std::min(bytes_, large_page_bytes));
    if (!frame) {
        cells_->give(chunk);
        return fail(frame.error());
    }
    chunk->frame = *frame;
    chunk->free = granules == 32 ? ~uint32_t{0} : bit(granules) - 1;
    chunk->dirty = frame->zeroed ? 0 : chunk->free;
    chunk->next = chunks_;
    chunks_ = chunk;
    frames_bytes_ += granules * bytes_;
    return chunk;
}

Result<> Granules::clean(const Granule& granule) {
    const bool large = bytes_ >= large_page_bytes;
    const uint64_t page = large ? large_page_bytes : page_bytes;
    TRY_VOID(source_->map_entries(
        scratch_.table,
        scratch_.entry,
        granule.frame,
        granule.offset,
        abi::read | abi::write,
        large ? abi::MapFlags::large : abi::MapFlags::cached,
        bytes_ / page,
        scratch_.mapping
    ));
    source_->zero(scratch_.at, bytes_);
    source_->unmap_entries(scratch_.mapping);
    return {};
}

void Granules::give_back(const Granule& granule) {
    Chunk** link = &chunks_;
    while (*link != nullptr && (*link)->frame.slot != granule.frame)
        link = &(*link)->next;
    Chunk* const chunk = *link;
    if (chunk == nullptr) return; // not one of ours: nothing to give
    chunk->free |= bit(granule.offset / bytes_);
    chunk->dirty |= bit(granule.offset / bytes_);
    const uint32_t count = count_of(*chunk);
    const uint32_t all = count == 32 ? ~uint32_t{0} : bit(count) - 1;
    if (chunk->free != all) return;
    *link = chunk->next;
    frames_bytes_ -= chunk->frame.extent.bytes();
    source_->unmake_frame(chunk->frame);
    cells_->give(chunk);
}

} // namespace os
