#include "lib/os/address_map.hpp"

#include <algorithm>

#include "lib/base/invariant.hpp"

// Of an AddressMap: the pieces of a range, each one Mapping; how they are made, split and dropped.

namespace os {
namespace {

constexpr Extent overlap(Extent a, Extent b) {
    const uint64_t begin = std::max(a.begin, b.begin), end = std::min(a.end, b.end);
    return begin < end ? Extent{begin, end} : Extent{};
}

/// Calls `stretch(begin, end, level)` for every Mapping that maps `part`, which begins at
/// `physical`, with the largest pages that fit. Ends with the first error.
template <class Stretch>
Result<> for_each_stretch(Extent part, uint64_t physical, unsigned highest, Stretch&& stretch) {
    const uint64_t shift = physical - part.begin; // wraps: only differences count
    for (uint64_t at = part.begin; at < part.end;) {
        unsigned level = highest;
        for (; level > 1; --level) {
            const uint64_t size = Paging::entry_bytes(level);
            if (at % size == 0 && (at + shift) % size == 0 && part.end - at >= size) break;
        }
        // A table ends where the pages of the next level would begin.
        const uint64_t table_end =
            round_down(at, Paging::entry_bytes(level + 1)) + Paging::entry_bytes(level + 1);
        const uint64_t whole = round_down(part.end, Paging::entry_bytes(level));
        const uint64_t end = std::min(table_end, whole);
        TRY_VOID(stretch(at, end, level));
        at = end;
    }
    return {};
}

} // namespace

AddressMap::Piece* AddressMap::covering(const Range& range, uint64_t at) const {
    for (Piece* piece = range.pieces; piece != nullptr; piece = piece->next)
        if (at >= piece->at && at - piece->at < piece->pages * page_bytes) return piece;
    return nullptr;
}

uint64_t AddressMap::covered(const Range& range, Extent part) const {
    uint64_t sum = 0;
    for (const Piece* piece = range.pieces; piece != nullptr; piece = piece->next)
        sum += overlap(part, {piece->at, piece->at + piece->pages * page_bytes}).bytes();
    return sum;
}

Result<> AddressMap::map(Id id, uint64_t at, const Run& run, bool is_own) {
    const Busy busy;
    Range& range = room_->ranges[id - 1];
    const Extent part = TRY(part_of(range, at, run.bytes));
    if (run.offset % page_bytes != 0) return fail(Err::misaligned);
    if (range.granule != 0) return fail(Err::bad_state);
    if (range.pieces != nullptr && covered(range, part) != 0) return fail(Err::exists);
    // What is smaller than a large page needs no physical address.
    const bool is_small = run.bytes < large_page_bytes;
    const auto facts =
        is_own && is_small ? FrameFacts{.own = true} : TRY(source_->look_at(run.frame));
    const unsigned highest = is_small ? 1 : source_->highest_page_level();
    const auto mapped = map_all(range, part, run, facts, highest);
    if (!mapped) drop_from(range, part.begin, part.end);
    return mapped;
}

/// Of one level, in one table.
Result<> AddressMap::map_one(Range& range, uint64_t at, const Run& run) {
    const CapSlot slot = TRY(source_->mapping_slot());
    const auto mapped = map_piece(range, at, run, slot);
    if (!mapped) source_->drop_mapping_slot(slot);
    return mapped;
}

Result<> AddressMap::map_all(
    Range& range, Extent part, const Run& run, const FrameFacts& facts, unsigned highest
) {
    if (highest == 1 &&
        round_down(part.begin, large_page_bytes) == round_down(part.end - 1, large_page_bytes)) {
        if (!growing_) TRY_VOID(prepare(1, 0));
        if (!facts.own) TRY_VOID(graves_.stock(1));
        Run one = run;
        one.bytes = part.bytes();
        return map_one(range, part.begin, one);
    }
    const uint64_t physical = facts.base + run.offset;
    size_t pieces = 0;
    unsigned largest = 1;
    TRY_VOID(for_each_stretch(part, physical, highest, [&](uint64_t, uint64_t, unsigned level) {
        ++pieces;
        largest = std::max(largest, level);
        return Result<>{};
    }));
    if (!growing_) TRY_VOID(prepare(pieces, 0));
    if (!facts.own) TRY_VOID(graves_.stock(largest));
    return for_each_stretch(
        part,
        physical,
        highest,
        [&](uint64_t begin, uint64_t end, unsigned level) -> Result<> {
            Run stretch = run;
            stretch.offset += begin - part.begin;
            stretch.bytes = end - begin;
            stretch.level = level;
            // An emptied table may still hang where a large page goes.
            if (level > 1) paging_.retire(begin, end);
            return map_one(range, begin, stretch);
        }
    );
}

Result<> AddressMap::map_piece(Range& range, uint64_t at, const Run& run, CapSlot slot) {
    Piece* const piece = cells_.take<Piece>();
    if (piece == nullptr) return fail(Err::no_space);
    if (const auto mapped = paging_.map_part(virt(at), run, 0, run.bytes, slot); !mapped) {
        cells_.give(piece);
        return mapped;
    }
    note(range, *piece, at, run, slot);
    return {};
}

void AddressMap::note(Range& range, Piece& piece, uint64_t at, const Run& run, CapSlot slot) {
    piece = {
        .next = range.pieces,
        .at = at,
        .mapping = slot,
        .frame = run.frame,
        .pages = static_cast<uint32_t>(run.bytes / page_bytes),
        .frame_page = static_cast<uint32_t>(run.offset / page_bytes),
        .rights = run.rights,
        .level = static_cast<uint8_t>(run.level),
        .flags = static_cast<uint8_t>(run.flags),
    };
    range.pieces = &piece;
}

void AddressMap::drop_piece(Range& range, Piece** link) {
    Piece* const piece = *link;
    *link = piece->next;
    source_->unmap_entries(piece->mapping);
    source_->drop_mapping_slot(piece->mapping);
    if (range.granule != 0) {
        // A granule that was split goes back with its first part.
        const Granule granule{piece->frame, piece->frame_page * page_bytes};
        if (granule.offset % granules_of(range).bytes() == 0) granules_of(range).give_back(granule);
    }
    cells_.give(piece);
}

/// Pieces that lie wholly in [begin, end).
void AddressMap::drop_from(Range& range, uint64_t begin, uint64_t end) {
    for (Piece** link = &range.pieces; *link != nullptr;) {
        const Piece& piece = **link;
        if (piece.at >= begin && piece.at + piece.pages * page_bytes <= end)
            drop_piece(range, link);
        else
            link = &(*link)->next;
    }
}

/// Makes `at` a border between two pieces, if it lies within one: unmaps that and maps both parts.
/// All that this takes is there before anything is unmapped.
Result<> AddressMap::split(Range& range, uint64_t at) {
    Piece* const whole = covering(range, at);
    if (whole == nullptr || whole->at == at) return {};
    TRY_VOID(prepare(most_parts, 0));
    if (at % Paging::entry_bytes(whole->level) != 0) TRY_VOID(paging_.stock(whole->level - 1));
    const auto mapped = source_->look_at(whole->mapping);
    if (!mapped) return split_dead(range, *whole, at);
    const FrameFacts facts = TRY(source_->look_at(whole->frame));
    const uint64_t offset = whole->frame_page * page_bytes, bytes = whole->pages * page_bytes;
    // The frame's slot is whoever's the frame is: it may hold something else by now.
    const bool is_there = facts.base + offset == mapped->base && offset + bytes <= facts.bytes &&
                          facts.rights.has(whole->rights);
    if (!is_there) return fail(Err::bad_state);
    if (!facts.own) TRY_VOID(graves_.stock(whole->level));

    std::array<Part, most_parts> parts;
    size_t count = 0;
    const auto add = [&](uint64_t begin, uint64_t end, unsigned level) -> Result<> {
        parts[count++] = {{begin, end}, level};
        return {};
    };
    for (Extent half : {Extent{whole->at, at}, Extent{at, whole->at + bytes}})
        TRY_VOID(for_each_stretch(half, mapped->base + (half.begin - whole->at), whole->level, add)
        );
    TRY_VOID(take_for(std::span{parts}.first(count), *whole));
    replace(range, *whole, std::span{parts}.first(count), facts.own);
    return {};
}

/// The first of the parts gets what the whole has. What fails takes nothing.
Result<> AddressMap::take_for(std::span<Part> parts, Piece& whole) {
    parts[0].piece = &whole;
    parts[0].slot = whole.mapping;
    for (size_t i = 1; i < parts.size(); ++i) {
        const auto slot = source_->mapping_slot();
        if (!slot) {
            for (const Part& taken : parts.subspan(1, i - 1)) {
                source_->drop_mapping_slot(taken.slot);
                cells_.give(taken.piece);
            }
            return fail(slot.error());
        }
        parts[i].slot = *slot;
        parts[i].piece = cells_.take<Piece>();
        INVARIANT(parts[i].piece != nullptr, "split has prepared for it");
    }
    return {};
}

void AddressMap::replace(Range& range, Piece& whole, std::span<const Part> parts, bool is_own) {
    const Piece old = whole;
    Piece** link = &range.pieces;
    while (*link != &whole)
        link = &(*link)->next;
    *link = whole.next;
    source_->unmap_entries(old.mapping);
    for (const Part& part : parts) {
        const Run run{
            .frame = old.frame,
            .offset = old.frame_page * page_bytes + (part.extent.begin - old.at),
            .bytes = part.extent.bytes(),
            .rights = old.rights,
            .flags = abi::MapFlags(old.flags),
            .level = part.level,
        };
        const VirtAddr at = virt(part.extent.begin);
        if (part.level > 1) paging_.retire(at.raw, part.extent.end);
        // Who takes back what is his at this moment leaves it as in split_dead.
        const auto mapped = paging_.map_part(at, run, 0, run.bytes, part.slot);
        INVARIANT(mapped || !is_own, "all that it needs was there before");
        note(range, *part.piece, at.raw, run, part.slot);
    }
}

/// Its mapping has gone with the memory: only the books are split.
Result<> AddressMap::split_dead(Range& range, Piece& whole, uint64_t at) {
    const CapSlot slot = TRY(source_->mapping_slot());
    Piece* const rest = cells_.take<Piece>();
    INVARIANT(rest != nullptr, "split has prepared for it");
    *rest = whole;
    const auto before = static_cast<uint32_t>((at - whole.at) / page_bytes);
    rest->next = range.pieces;
    rest->at = at;
    rest->mapping = slot;
    rest->pages -= before;
    rest->frame_page += before;
    whole.pages = before;
    range.pieces = rest;
    return {};
}

Result<> AddressMap::protect(Id id, uint64_t at, uint64_t bytes, Rights rights) {
    const Busy busy;
    Range& range = room_->ranges[id - 1];
    const Extent part = TRY(part_of(range, at, bytes));
    if (range.granule != 0) TRY_VOID(commit(id, at, bytes));
    if (covered(range, part) != part.bytes()) return fail(Err::not_mapped);
    for (const Piece* piece = range.pieces; piece != nullptr; piece = piece->next) {
        if (overlap(part, {piece->at, piece->at + piece->pages * page_bytes}).bytes() == 0)
            continue;
        const auto frame = source_->look_at(piece->frame);
        if (frame && !frame->rights.has(rights)) return fail(Err::cap_rights);
    }
    TRY_VOID(split(range, part.begin));
    TRY_VOID(split(range, part.end));
    for (Piece* piece = range.pieces; piece != nullptr; piece = piece->next) {
        if (piece->at < part.begin || piece->at >= part.end) continue;
        const auto done = source_->protect_entries(piece->mapping, rights);
        const bool is_gone = !done && done.error().top() == Err::cap_empty;
        if (!done && !is_gone) return done;
        piece->rights = rights;
    }
    return {};
}

Result<> AddressMap::unmap(Id id, uint64_t at, uint64_t bytes) {
    const Busy busy;
    Range& range = room_->ranges[id - 1];
    const Extent part = TRY(part_of(range, at, bytes));
    if (range.granule != 0) {
        const uint64_t granule = granules_of(range).bytes();
        if (part.begin % granule != 0 || part.end % granule != 0) return fail(Err::misaligned);
    }
    TRY_VOID(split(range, part.begin));
    TRY_VOID(split(range, part.end));
    drop_from(range, part.begin, part.end);
    graves_.leave(part.begin, part.end);
    return {};
}

} // namespace os
