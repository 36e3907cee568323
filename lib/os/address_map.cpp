#include "lib/os/address_map.hpp"

#include <algorithm>

#include "lib/abi/startup.hpp"
#include "lib/base/invariant.hpp"

namespace os {
namespace {

constexpr uint64_t window_bytes = uint64_t{1} << 38; // half of one level-4 entry
constexpr std::array<uint64_t, 3> granule_sizes{page_bytes, 64 * 1024, large_page_bytes};
constexpr size_t cell_growth_bytes = 4 * page_bytes;

} // namespace

// -- ranges --

void AddressMap::start() {
    if (started_) return;
    started_ = true;
    addresses_.release({abi::views_at.raw, abi::views_at.raw + window_bytes});
    cells_.add(room_->first_cells);
}

AddressMap::Range* AddressMap::find(VirtAddr at) {
    return const_cast<Range*>(std::as_const(*this).find(at));
}

const AddressMap::Range* AddressMap::find(VirtAddr at) const {
    const auto used = std::span{room_->order}.first(used_);
    const auto after = std::ranges::upper_bound(used, at.raw, {}, [&](uint8_t i) {
        return room_->ranges[i].begin;
    });
    if (after == used.begin()) return nullptr;
    const Range& range = room_->ranges[*std::prev(after)];
    return at.raw < range.end ? &range : nullptr;
}

Result<AddressMap::Id> AddressMap::reserve(uint64_t bytes, uint64_t align, uint64_t lead) {
    start();
    const Busy busy;
    const uint64_t rounded = round_up(bytes, page_bytes);
    if (rounded == 0 || rounded > window_bytes) return fail(Err::bad_argument);
    const Extent reserved = TRY(addresses_.take(lead + rounded + page_bytes, align));
    const uint64_t begin = reserved.begin + lead;
    const auto id = add_range(reserved, begin, begin + rounded);
    if (!id) addresses_.release(reserved);
    return id;
}

Result<AddressMap::Id> AddressMap::add_range(Extent reserved, uint64_t begin, uint64_t end) {
    const auto unused =
        std::ranges::find_if(room_->ranges, [](const Range& r) { return r.reserved.bytes() == 0; });
    if (unused == room_->ranges.end()) return fail(Err::no_space);
    const auto index = static_cast<uint8_t>(unused - room_->ranges.begin());
    const auto used = std::span{room_->order}.first(used_);
    const auto at = std::ranges::upper_bound(used, begin, {}, [&](uint8_t i) {
        return room_->ranges[i].begin;
    });
    std::move_backward(at, used.end(), used.end() + 1);
    *at = index;
    ++used_;
    *unused = {.begin = begin, .end = end, .reserved = reserved};
    return index + 1u;
}

void AddressMap::remove(Id id) {
    const Busy busy;
    Range& range = room_->ranges[id - 1];
    drop_from(range, range.begin, range.end);
    graves_.leave(range.begin, range.end);
    if (range.end - range.begin >= large_page_bytes)
        paging_.retire(range.reserved.begin, range.reserved.end);
    addresses_.release(range.reserved);
    const auto used = std::span{room_->order}.first(used_);
    const auto at = std::ranges::find(used, static_cast<uint8_t>(id - 1));
    std::move(at + 1, used.end(), at);
    --used_;
    range = {};
}

Result<Extent> AddressMap::part_of(const Range& range, uint64_t at, uint64_t bytes) const {
    if (at % page_bytes != 0 || bytes % page_bytes != 0) return fail(Err::misaligned);
    const uint64_t size = range.end - range.begin;
    if (bytes == 0 || at > size || bytes > size - at) return fail(Err::range_bounds);
    return Extent{range.begin + at, range.begin + at + bytes};
}

// -- what lies ready --

Result<> AddressMap::grow_cells() {
    if (growing_) return {};
    growing_ = true;
    const auto grown = grow_cells_by(cell_growth_bytes);
    growing_ = false;
    return grown;
}

Result<> AddressMap::grow_cells_by(uint64_t bytes) {
    const Id id = TRY(reserve(bytes, page_bytes));
    const auto frame = source_->make_frame(bytes, page_bytes);
    if (!frame) {
        remove(id);
        return fail(frame.error());
    }
    const auto mapped = map(id, 0, {frame->slot, 0, bytes, abi::read | abi::write}, true);
    if (!mapped) {
        remove(id);
        source_->unmake_frame(*frame);
        return mapped;
    }
    cells_.add(source_->memory(begin_of(id), bytes));
    return {};
}

Result<> AddressMap::prepare(size_t cells, size_t slots) {
    // The growth itself takes some; it is never asked for with fewer left than it needs.
    constexpr size_t for_growth = 4;
    while (!growing_ && cells_.count() < cells + for_growth)
        TRY_VOID(grow_cells());
    for (; slot_count_ < slots; ++slot_count_)
        slots_[slot_count_] = TRY(source_->mapping_slot());
    return {};
}

/// After a fault, when nobody's books are open. What fails here is missed at the next fault.
void AddressMap::restock() {
    if (cells_.count() < spare_cells || slot_count_ <= spare_slots / 2) {
        if (const auto done = prepare(spare_cells, spare_slots); !done)
            trouble_ = done.error().top();
    }
    if (!paging_.is_stocked())
        if (const auto done = paging_.stock(); !done) trouble_ = done.error().top();
    for (Granules& granules : granules_)
        if (granules.is_low())
            if (const auto done = granules.stock(); !done) trouble_ = done.error().top();
}

Result<Backing> AddressMap::backing_of(VirtAddr at) const {
    const Range* const range = find(at);
    const Piece* const piece = range != nullptr ? covering(*range, at.raw) : nullptr;
    if (piece == nullptr) return fail(Err::not_mapped);
    const uint64_t into = at.raw - piece->at;
    return Backing{
        .frame = piece->frame,
        .offset = piece->frame_page * page_bytes + into,
        .rest = piece->pages * page_bytes - into,
        .rights = piece->rights,
        .flags = abi::MapFlags(piece->flags),
    };
}

// -- on demand --

Result<> AddressMap::begin_granules(Granules& granules, uint64_t bytes) {
    const unsigned level = bytes >= large_page_bytes ? 2 : 1;
    const Id id = TRY(reserve(bytes, bytes));
    const VirtAddr at = begin_of(id);
    const CapSlot table = TRY(paging_.table(level, at));
    const CapSlot slot = TRY(source_->mapping_slot());
    granules.begin(bytes, {table, Paging::entry_of(level, at), at, slot});
    return {};
}

Result<> AddressMap::make_on_demand(Id id, uint64_t granule, Rights rights) {
    const Busy busy;
    Range& range = room_->ranges[id - 1];
    const auto size = std::ranges::find(granule_sizes, granule);
    const bool is_legal = rights.has(abi::read) && !rights.has(abi::write | abi::execute);
    if (size == granule_sizes.end() || !is_legal) return fail(Err::bad_argument);
    if (range.begin % granule != 0 || range.end % granule != 0) return fail(Err::misaligned);
    if (range.pieces != nullptr || range.granule != 0) return fail(Err::bad_state);
    const auto index = static_cast<size_t>(size - granule_sizes.begin());
    TRY_VOID(prepare(spare_cells, spare_slots));
    TRY_VOID(paging_.stock());
    if (!granules_[index].begun()) TRY_VOID(begin_granules(granules_[index], granule));
    TRY_VOID(granules_[index].stock());
    range.rights = rights;
    range.granule = static_cast<uint8_t>(index + 1);
    return {};
}

/// Takes only what lies ready.
bool AddressMap::bring_in(Range& range, uint64_t at) {
    Granules& granules = granules_of(range);
    if (slot_count_ == 0) return false;
    const auto granule = granules.take();
    if (!granule) return false;
    const Run run{
        .frame = granule->frame,
        .offset = granule->offset,
        .bytes = granules.bytes(),
        .rights = range.rights,
        .level = granules.bytes() >= large_page_bytes ? 2u : 1u,
    };
    const CapSlot slot = slots_[slot_count_ - 1];
    if (const auto done = map_piece(range, round_down(at, run.bytes), run, slot); !done) {
        trouble_ = done.error().top();
        granules.give_back(*granule);
        return false;
    }
    --slot_count_;
    return true;
}

Result<> AddressMap::commit(Id id, uint64_t at, uint64_t bytes) {
    const Busy busy;
    Range& range = room_->ranges[id - 1];
    const Extent part = TRY(part_of(range, at, bytes));
    if (range.granule == 0) return fail(Err::bad_state);
    const uint64_t step = granules_of(range).bytes();
    for (uint64_t here = round_down(part.begin, step); here < part.end; here += step) {
        if (covering(range, here) != nullptr) continue;
        TRY_VOID(prepare(spare_cells, 2));
        TRY_VOID(paging_.stock());
        TRY_VOID(granules_of(range).stock());
        if (!bring_in(range, here)) return fail(trouble_);
    }
    return {};
}

bool AddressMap::on_fault(VirtAddr at) {
    Range* const range = find(at);
    if (range == nullptr) return false;
    if (range->granule != 0) {
        const bool at_leisure = !Busy::now();
        bool in = bring_in(*range, at.raw);
        if (at_leisure) restock();
        if (!in && at_leisure) in = bring_in(*range, at.raw); // memory came back meanwhile
        return in;
    }
    const Piece* const piece = covering(*range, at.raw);
    if (piece == nullptr) return false;
    if (!graves_.bury(at, piece->level, piece->rights)) return false;
    range->dead = true;
    return true;
}

} // namespace os
