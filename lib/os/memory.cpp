#include "lib/os/memory.hpp"

#include <algorithm>
#include <bit>

#include "lib/os/fault.hpp"
#include "lib/os/instructions.hpp"

namespace os {
namespace {

constexpr uint32_t extended_leaf = 0x8000'0001, huge_pages_bit = 1 << 26; // SDM vol. 2A, CPUID

class OwnSource final : public SpaceSource {
  public:
    Result<CapSlot> make_table(Kind kind) override { return new_table(kind); }

    void drop_table(CapSlot slot) override {
        const auto what = describe(slot);
        if (!what || !slots().remove(slot)) return;
        quota().release_object(what->base, what->bytes);
    }

    Result<CapSlot> mapping_slot() override { return slots().take(); }

    void drop_mapping_slot(CapSlot slot) override { slots().release(slot); }

    Place place(CapSlot slot) const override { return place_of(slot); }

    Result<FrameObject> make_frame(uint64_t bytes, uint64_t align) override {
        const CapSlot slot = TRY(slots().take());
        const auto extent = quota().take(bytes, align);
        if (!extent) {
            slots().release(slot);
            return fail(extent.error());
        }
        const bool zeroed = quota().is_untouched(*extent);
        const Place to = place_of(slot);
        const auto made = CNode{{to.cnode}
        }.retype(to.index, quota().ram(), Kind::frame, extent->begin, extent->bytes());
        if (!made) {
            quota().release(*extent);
            slots().release(slot);
            return fail(made.error());
        }
        return FrameObject{*extent, slot, zeroed};
    }

    void unmake_frame(const FrameObject& frame) override {
        // Copies that peers hold die first, or the memory could not be used again. What is lent to
        // another core stays lent: the memory is then never used again.
        const Place at = place_of(frame.slot);
        if (!CNode{{at.cnode}}.revoke(at.index)) return;
        if (slots().remove(frame.slot)) quota().release(frame.extent);
    }

    Result<FrameFacts> look_at(CapSlot frame) override {
        const Description what = TRY(describe(frame));
        return FrameFacts{what.base, what.bytes, what.rights, quota().holds(what.base)};
    }

    MutableBytes memory(VirtAddr at, uint64_t bytes) override {
        return {reinterpret_cast<std::byte*>(at.raw), bytes};
    }

    void zero(VirtAddr at, uint64_t bytes) override {
        fill_words(reinterpret_cast<void*>(at.raw), 0, bytes / sizeof(uint64_t));
    }

    unsigned highest_page_level() override {
        if (highest_ == 0) highest_ = (cpuid(extended_leaf).edx & huge_pages_bit) != 0 ? 3 : 2;
        return highest_;
    }

  private:
    unsigned highest_{};
};

constinit OwnSource own_source;
constinit Quota the_quota;
constinit AddressMap::Room room;
constinit AddressMap own{abi::slot_at(0, abi::slot::address_space), own_source, room};
static_assert(sizeof(AddressMap) <= 3072); // initialised data of every image

} // namespace

Result<CapSlot> new_table(Kind kind) {
    const CapSlot slot = TRY(slots().take());
    const auto made = quota().make(place_of(slot), kind, abi::bytes_of(kind));
    if (!made) {
        slots().release(slot);
        return fail(made.error());
    }
    return slot;
}

bool on_absent_page(VirtAddr at) {
    return own.on_fault(at);
}

std::optional<Err> lacking_at(VirtAddr at) {
    if (!own.is_on_demand(at)) return std::nullopt;
    return own.trouble();
}

Result<Backing> backing_of(VirtAddr at) {
    return own.backing_of(at);
}

Quota& quota() {
    return the_quota;
}

void Quota::begin(CapSlot ram, uint64_t base, uint64_t bytes, uint64_t used) {
    ram_ = ram;
    base_ = base;
    bytes_ = bytes;
    touched_ = used;
    free_.release({used, bytes});
}

Result<Extent> Quota::take(uint64_t bytes, uint64_t align) {
    const Busy busy;
    const auto taken = free_.take(bytes, align);
    if (!taken) return fail(taken.error().because(Err::quota));
    return *taken;
}

void Quota::release(Extent extent) {
    const Busy busy;
    touched_ = std::max(touched_, extent.end);
    free_.release(extent);
}

void Quota::release_object(uint64_t base, uint64_t bytes) {
    release({base - base_, base - base_ + bytes});
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
    const FrameObject made = TRY(own_source.make_frame(rounded, align));
    return Frame{made.slot, made.extent};
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
    if (slot_ != abi::null_slot) own_source.unmake_frame({extent_, slot_});
}

Result<PhysAddr> Frame::base() const {
    return phys(TRY(describe(slot_)).base);
}

// -- Region --

Result<Region> Region::reserve(uint64_t bytes, uint64_t align) {
    return reserve(bytes, align, 0);
}

Result<Region> Region::reserve(uint64_t bytes, uint64_t align, uint64_t lead) {
    const uint32_t id = TRY(own.reserve(bytes, align, lead));
    return Region{own.begin_of(id), round_up(bytes, page_bytes), id};
}

Result<Region> Region::on_demand(uint64_t bytes, const OnDemand& how) {
    if (!std::has_single_bit(how.granule)) return fail(Err::bad_argument);
    Region region = TRY(reserve(round_up(bytes, how.granule), how.granule));
    TRY_VOID(own.make_on_demand(region.id_, how.granule, how.rights));
    return region;
}

Region::Region(Region&& other) noexcept
    : at_{other.at_}, bytes_{std::exchange(other.bytes_, 0)}, id_{std::exchange(other.id_, 0)} {}

Region& Region::operator=(Region&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(bytes_, other.bytes_);
    std::swap(id_, other.id_);
    return *this;
}

Region::~Region() {
    if (id_ != 0) own.remove(id_);
}

Result<> Region::map(
    uint64_t at, CapSlot frame, uint64_t offset, uint64_t bytes, Rights rights, abi::MapFlags flags
) {
    if (id_ == 0) return fail(Err::bad_state);
    return own.map(id_, at, {frame, offset, bytes, rights, flags});
}

Result<> Region::map_all(const Run& run, bool is_own) {
    return own.map(id_, 0, run, is_own);
}

Result<> Region::protect(uint64_t at, uint64_t bytes, Rights rights) {
    if (id_ == 0) return fail(Err::bad_state);
    return own.protect(id_, at, bytes, rights);
}

Result<> Region::unmap(uint64_t at, uint64_t bytes) {
    if (id_ == 0) return fail(Err::bad_state);
    return own.unmap(id_, at, bytes);
}

Result<> Region::commit(uint64_t at, uint64_t bytes) {
    if (id_ == 0) return fail(Err::bad_state);
    return own.commit(id_, at, bytes);
}

bool Region::is_dead() const {
    return id_ != 0 && own.is_dead(id_);
}

// -- View --

Result<View>
View::make(CapSlot frame, uint64_t offset, uint64_t bytes, Rights rights, abi::MapFlags flags) {
    const uint64_t rounded = round_up(bytes, page_bytes);
    if (rounded == 0 || offset % page_bytes != 0) return fail(Err::bad_argument);
    return make({frame, offset, rounded, rights, flags}, false);
}

Result<View> View::make(const Frame& frame) {
    return make({frame.slot(), 0, frame.bytes(), abi::read | abi::write}, true);
}

Result<View> View::make(const Run& run, bool is_own) {
    // Addresses agree with physical ones as far as large pages need it.
    uint64_t align = page_bytes, lead = 0;
    if (run.bytes >= large_page_bytes) {
        align = run.bytes >= huge_page_bytes ? huge_page_bytes : large_page_bytes;
        lead = (TRY(describe(run.frame)).base + run.offset) % align;
    }
    Region region = TRY(Region::reserve(run.bytes, align, lead));
    TRY_VOID(region.map_all(run, is_own));
    return View{std::move(region)};
}

Result<Memory> Memory::make(uint64_t bytes, uint64_t align) {
    Frame frame = TRY(Frame::make(bytes, align));
    View view = TRY(View::make(frame));
    return Memory{std::move(frame), std::move(view)};
}

} // namespace os
