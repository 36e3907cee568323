// The address space of a domain: which addresses are reserved, what is mapped there, what appears
// when it is touched. Pure: kernel and quota are behind a SpaceSource, so tests run it on a model.
//
// A range is in one of three states, page by page: nothing (a touch ends the domain: so every range
// is followed by a guard page), mapped, or on demand. Addresses of one range are never split.
#pragma once

#include "lib/os/busy.hpp"
#include "lib/os/granules.hpp"
#include "lib/os/graves.hpp"

namespace os {

/// What a page of this space is a page of.
struct Backing {
    CapSlot frame{};
    uint64_t offset{}; // of the byte asked for
    uint64_t rest{};   // bytes from there that follow each other in the frame as here
    Rights rights{};
    abi::MapFlags flags{};
};

class AddressMap {
  public:
    /// Which range, as it is known to its owner. 0: none.
    using Id = uint32_t;

    struct Room;

    constexpr AddressMap(CapSlot root, SpaceSource& source, Room& room);

    AddressMap(const AddressMap&) = delete;

    /// Reserves whole pages, and one more as a guard. The address is `lead` more than a multiple of
    /// `align`. Errors: no_space, bad_argument.
    Result<Id> reserve(uint64_t bytes, uint64_t align, uint64_t lead = 0);
    void remove(Id id);

    /// Maps `run`, of a frame or device frame, at `at` of a range, with the largest pages that fit.
    /// `is_own`: it is known to be a frame of this quota.
    /// Errors: cap_type, cap_rights, range_bounds, misaligned, exists (something is there), quota,
    /// no_slots, no_space; then nothing has changed.
    Result<> map(Id id, uint64_t at, const Run& run, bool is_own = false);

    /// The range is on demand from now on: zeroed memory of the quota, `granule` bytes at a touch
    /// (4 KiB, 64 KiB or 2 MiB). Errors: bad_argument, bad_state, quota, no_slots.
    Result<> make_on_demand(Id id, uint64_t granule, Rights rights);
    /// What is on demand there is brought in now. Errors: quota, no_slots, bad_state.
    Result<> commit(Id id, uint64_t at, uint64_t bytes);

    /// Pages that are mapped get these rights, at most those of their frame; what is on demand is
    /// brought in first. Errors: cap_rights, not_mapped (not all of it is), quota, no_slots.
    Result<> protect(Id id, uint64_t at, uint64_t bytes, Rights rights);
    /// What was on demand goes back to the quota, in whole granules, and is on demand again.
    /// Errors: misaligned, quota, no_slots.
    Result<> unmap(Id id, uint64_t at, uint64_t bytes);

    VirtAddr begin_of(Id id) const;

    /// Memory of others was mapped in it, and is not there any more.
    bool is_dead(Id id) const;

    /// A page that is not there was touched. In the upcall, disabled: neither waits nor fails but
    /// for lack of quota, which trouble() then says. False: nothing belongs there.
    bool on_fault(VirtAddr at);

    /// Why memory on demand last was not to be had.
    Err trouble() const { return trouble_; }

    bool is_on_demand(VirtAddr at) const {
        const Range* const range = find(at);
        return range != nullptr && range->granule != 0;
    }

    /// Errors: not_mapped.
    Result<Backing> backing_of(VirtAddr at) const;

  private:
    static constexpr size_t most_ranges = 192, most_tables = 256, first_cells = 40;
    static constexpr size_t spare_slots = 16, spare_cells = 16, classes = 3;

    struct Piece { // one Mapping
        Piece* next;
        uint64_t at;
        CapSlot mapping, frame;
        uint32_t pages, frame_page;
        Rights rights;
        uint8_t level, flags;
    };

    static_assert(sizeof(Piece) <= Cells::cell_bytes);

    struct Part { // of a piece that is split
        Extent extent;
        unsigned level;
        CapSlot slot{};
        Piece* piece{};
    };

    static constexpr size_t most_parts = 6; // two halves, each of pages of all three sizes

    struct Range {
        uint64_t begin{}, end{};
        Extent reserved; // empty: this entry is unused
        Piece* pieces{};
        Rights rights{};   // of what is on demand
        uint8_t granule{}; // index + 1 into granules_, 0: not on demand
        bool dead{};
    };

    void start();
    Result<Id> add_range(Extent reserved, uint64_t begin, uint64_t end);
    Range* find(VirtAddr at);
    const Range* find(VirtAddr at) const;
    Result<Extent> part_of(const Range& range, uint64_t at, uint64_t bytes) const;

    Result<> prepare(size_t cells, size_t slots);
    Result<> grow_cells();
    Result<> grow_cells_by(uint64_t bytes);
    void restock();

    Result<>
    map_all(Range& range, Extent part, const Run& run, const FrameFacts& facts, unsigned highest);
    Result<> map_one(Range& range, uint64_t at, const Run& run);
    Result<> map_piece(Range& range, uint64_t at, const Run& run, CapSlot slot);
    void note(Range& range, Piece& piece, uint64_t at, const Run& run, CapSlot slot);
    void drop_piece(Range& range, Piece** link);
    void drop_from(Range& range, uint64_t begin, uint64_t end);
    Result<> split(Range& range, uint64_t at);
    Result<> take_for(std::span<Part> parts, Piece& whole);
    void replace(Range& range, Piece& whole, std::span<const Part> parts, bool is_own);
    Result<> split_dead(Range& range, Piece& whole, uint64_t at);
    Piece* covering(const Range& range, uint64_t at) const;
    uint64_t covered(const Range& range, Extent part) const;

    Result<> begin_granules(Granules& granules, uint64_t bytes);
    bool bring_in(Range& range, uint64_t at);

    Granules& granules_of(const Range& range) { return granules_[range.granule - 1u]; }

    SpaceSource* source_;
    Room* room_;
    Paging paging_;
    Graves graves_;
    Cells cells_;
    std::array<Granules, classes> granules_;
    Extents<64> addresses_;
    size_t used_{};
    std::array<CapSlot, spare_slots> slots_{};
    size_t slot_count_{};
    Err trouble_{};
    bool started_{}, growing_{};
};

/// What is large in a map and begins with zeroes: apart from the rest, or each image would carry it
/// as data.
struct AddressMap::Room {
    std::array<TableRecord, most_tables> tables{};
    std::array<Range, most_ranges> ranges{};
    std::array<uint8_t, most_ranges> order{}; // indices of the used ones, by address
    alignas(8) std::array<std::byte, first_cells * Cells::cell_bytes> first_cells{};
};

constexpr AddressMap::AddressMap(CapSlot root, SpaceSource& source, Room& room)
    : source_{&source}, room_{&room}, paging_{root, source, room.tables}, graves_{source, paging_},
      granules_{Granules{source, cells_}, Granules{source, cells_}, Granules{source, cells_}} {}

inline VirtAddr AddressMap::begin_of(Id id) const {
    return virt(room_->ranges[id - 1].begin);
}

inline bool AddressMap::is_dead(Id id) const {
    return room_->ranges[id - 1].dead;
}

} // namespace os
