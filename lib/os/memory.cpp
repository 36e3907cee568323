#include "lib/os/memory.hpp"

#include <algorithm>

#include "lib/base/invariant.hpp"
#include "lib/os/address_space.hpp"
#include "lib/os/fault.hpp"

namespace os {
namespace {

constexpr uint64_t window_bytes = uint64_t{1} << 38; // half of one level-4 entry
constexpr size_t max_regions = 128;
constexpr size_t max_pieces = 512;
constexpr size_t max_tables = 160;
constexpr size_t graves = 32; // pages that may be replaced between two View::make

struct Piece { // one Mapping of a region
    CapSlot mapping;
    uint16_t next;
};

struct Region {
    VirtAddr at;
    uint64_t bytes;
    Use use;
    bool dead;
    uint16_t first; // index + 1 into pieces, 0 none
};

class OwnSource final : public PagingSource {
  public:
    Result<CapSlot> make_table(Kind kind) override {
        const CapSlot slot = TRY(slots().take());
        const auto made = quota().make(place_of(slot), kind, abi::bytes_of(kind));
        if (!made) {
            slots().release(slot);
            return fail(made.error());
        }
        return slot;
    }

    Result<CapSlot> mapping_slot() override { return slots().take(); }

    void drop_mapping_slot(CapSlot slot) override { slots().release(slot); }

    Place place(CapSlot slot) const override { return place_of(slot); }
};

constinit OwnSource own_source;
constinit Quota the_quota;

/// Everything this domain has mapped since it started.
class OwnSpace {
  public:
    Result<uint32_t> add(VirtAddr at, const Run& run, Use use);
    void remove(uint32_t region);

    Result<Extent> addresses(uint64_t bytes, uint64_t align) {
        if (!begun_) {
            addresses_.release({abi::views_at.raw, abi::views_at.raw + window_bytes});
            begun_ = true;
        }
        return addresses_.take(bytes, align);
    }

    void release_addresses(Extent e) { addresses_.release(e); }

    bool is_dead(uint32_t region) const { return regions_[region - 1].dead; }

    bool bury(VirtAddr at);
    Result<> stock_graves();

  private:
    void add_piece(Region& region, CapSlot mapping);
    void drop_pieces(Region& region);

    std::array<TableRecord, max_tables> tables_{};
    Paging paging_{abi::slot_at(0, abi::slot::address_space), own_source, tables_};
    bool begun_{};
    Extents<64> addresses_{};
    std::array<Region, max_regions> regions_{};
    std::array<Piece, max_pieces> pieces_{};
    uint16_t free_piece_{};  // index + 1 of the first that was given back
    uint16_t pieces_ever_{}; // the rest of pieces_ was never used
    uint16_t pieces_live_{};
    CapSlot grave_{}; // the reserved private page
    std::array<CapSlot, graves> grave_slots_{};
};

constinit OwnSpace own;

void OwnSpace::add_piece(Region& region, CapSlot mapping) {
    uint16_t index = free_piece_;
    if (index != 0)
        free_piece_ = pieces_[index - 1u].next;
    else
        index = ++pieces_ever_;
    INVARIANT(index <= max_pieces, "the sum over regions was checked before");
    ++pieces_live_;
    pieces_[index - 1u] = {mapping, region.first};
    region.first = index;
}

void OwnSpace::drop_pieces(Region& region) {
    while (region.first != 0) {
        const uint16_t index = region.first;
        Piece& piece = pieces_[index - 1u];
        (void)slots().remove(piece.mapping);
        region.first = piece.next;
        piece.next = free_piece_;
        free_piece_ = index;
        --pieces_live_;
    }
}

Result<uint32_t> OwnSpace::add(VirtAddr at, const Run& run, Use use) {
    const auto it = std::ranges::find(regions_, uint64_t{0}, &Region::bytes);
    if (it == regions_.end()) return fail(Err::no_space);
    // A region takes at most a piece for each 2 MiB, and one more.
    if (pieces_live_ + run.bytes / large_page_bytes + 2 > max_pieces - graves)
        return fail(Err::no_space);
    Region& region = *it;
    region = {at, run.bytes, use, false, 0};
    const auto mapped = paging_.map(at, run, [&](CapSlot m) { add_piece(region, m); });
    if (!mapped) {
        drop_pieces(region);
        region = {};
        return fail(mapped.error());
    }
    return static_cast<uint32_t>(it - regions_.begin()) + 1;
}

void OwnSpace::remove(uint32_t index) {
    Region& region = regions_[index - 1];
    drop_pieces(region);
    release_addresses({region.at.raw, region.at.raw + region.bytes});
    region = {};
}

Result<> OwnSpace::stock_graves() {
    if (grave_ == abi::null_slot) {
        const CapSlot slot = TRY(slots().take());
        const auto made = quota().make(place_of(slot), Kind::frame, page_bytes);
        if (!made) {
            slots().release(slot);
            return fail(made.error());
        }
        grave_ = slot;
    }
    for (CapSlot& slot : grave_slots_)
        if (slot == abi::null_slot) slot = TRY(slots().take());
    return {};
}

/// In the page-fault upcall: nothing here may allocate.
bool OwnSpace::bury(VirtAddr at) {
    for (Region& region : regions_) {
        if (region.use != Use::channel || at < region.at || at - region.at >= region.bytes)
            continue;
        const auto spare =
            std::ranges::find_if(grave_slots_, [](CapSlot s) { return s != abi::null_slot; });
        if (spare == grave_slots_.end()) return false;
        const VirtAddr page = virt(round_down(at.raw, page_bytes));
        if (!paging_.map_page(page, grave_, *spare)) return false;
        region.dead = true;
        add_piece(region, *spare);
        *spare = abi::null_slot;
        return true;
    }
    return false;
}

} // namespace

bool bury(VirtAddr at) {
    return own.bury(at);
}

Quota& quota() {
    return the_quota;
}

void Quota::begin(CapSlot ram, uint64_t bytes, uint64_t used) {
    ram_ = ram;
    free_.release({used, bytes});
}

Result<Extent> Quota::take(uint64_t bytes, uint64_t align) {
    const auto taken = free_.take(bytes, align);
    if (!taken) return fail(taken.error().because(Err::quota));
    return *taken;
}

void Quota::release(Extent extent) {
    free_.release(extent);
}

Result<Extent> Quota::make(Place to, Kind kind, uint64_t bytes, uint64_t align) {
    const Extent extent = TRY(take(bytes, align));
    const auto made = CNode{{to.cnode}}.retype(to.index, ram_, kind, extent.begin, bytes);
    if (!made) {
        release(extent);
        return fail(made.error());
    }
    return extent;
}

Result<Frame> Frame::make(uint64_t bytes, uint64_t align) {
    const uint64_t rounded = round_up(bytes, page_bytes);
    if (rounded < bytes || rounded == 0) return fail(Err::bad_argument);
    const CapSlot slot = TRY(slots().take());
    const auto extent = quota().make(place_of(slot), Kind::frame, rounded, align);
    if (!extent) {
        slots().release(slot);
        return fail(extent.error());
    }
    return Frame{slot, *extent};
}

Frame::Frame(Frame&& other) noexcept
    : slot_{std::exchange(other.slot_, abi::null_slot)},
      extent_{std::exchange(other.extent_, Extent{})} {}

Frame& Frame::operator=(Frame&& other) noexcept {
    std::swap(slot_, other.slot_);
    std::swap(extent_, other.extent_);
    return *this;
}

Frame::~Frame() {
    if (slot_ == abi::null_slot) return;
    // Copies that peers hold die first, or the memory could not be used again. What is lent to
    // another core stays lent: the memory is then never used again.
    const Place at = place_of(slot_);
    if (!CNode{{at.cnode}}.revoke(at.index)) return;
    if (slots().remove(slot_)) quota().release(extent_);
}

Result<PhysAddr> Frame::base() const {
    return phys(TRY(describe(slot_)).base);
}

Result<View> View::make(
    CapSlot frame, uint64_t offset, uint64_t bytes, Rights rights, abi::MapFlags flags, Use use
) {
    const uint64_t rounded = round_up(bytes, page_bytes);
    if (rounded == 0 || offset % page_bytes != 0) return fail(Err::bad_argument);
    if (use == Use::channel) TRY_VOID(own.stock_graves());
    const Description what = TRY(describe(frame));
    const bool large = use == Use::plain && (what.base + offset) % large_page_bytes == 0 &&
                       rounded % large_page_bytes == 0;
    const uint64_t align = large ? large_page_bytes : page_bytes;
    const Extent range = TRY(own.addresses(rounded, align));
    const VirtAddr at = virt(range.begin);
    const auto region = own.add(at, {frame, offset, rounded, rights, flags, large}, use);
    if (!region) {
        own.release_addresses(range);
        return fail(region.error());
    }
    return View{at, rounded, *region};
}

View::View(View&& other) noexcept
    : at_{other.at_}, bytes_{std::exchange(other.bytes_, 0)},
      region_{std::exchange(other.region_, 0)} {}

View& View::operator=(View&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(bytes_, other.bytes_);
    std::swap(region_, other.region_);
    return *this;
}

View::~View() {
    if (region_ != 0) own.remove(region_);
}

bool View::is_dead() const {
    return region_ != 0 && own.is_dead(region_);
}

Result<Memory> Memory::make(uint64_t bytes, uint64_t align) {
    Frame frame = TRY(Frame::make(bytes, align));
    View view = TRY(View::make(frame));
    return Memory{std::move(frame), std::move(view)};
}

} // namespace os
