// Memory of this domain: frames out of the quota, and where they are seen. A Frame owns its
// capability and its piece of the quota, a Region its addresses, a View is a Region with one frame
// in it; all give back what they own when they go. docs/memory.md has the rules.
#pragma once

#include <span>

#include "lib/base/bytes.hpp"
#include "lib/os/address_map.hpp"
#include "lib/os/space.hpp"

namespace os {

/// The RAM this domain lives on, from which it makes its objects.
class Quota {
  public:
    /// Where it lies and how large it is; `used` bytes from the start were taken by the spawner.
    void begin(CapSlot ram, uint64_t base, uint64_t bytes, uint64_t used);

    /// Bytes of the quota, for one object. Errors: quota.
    Result<Extent> take(uint64_t bytes, uint64_t align = page_bytes);
    void release(Extent extent);

    /// Takes what make() took for an object that is gone now. `base` is its physical address.
    void release_object(uint64_t base, uint64_t bytes);

    /// Takes memory and makes an object of it in an empty slot at `to`.
    Result<Extent> make(Place to, Kind kind, uint64_t bytes, uint64_t align = page_bytes);

    CapSlot ram() const { return ram_; }

    uint64_t free_bytes() const { return free_.free_bytes(); }

    uint64_t bytes() const { return bytes_; }

    /// Part of it, so that nobody else can revoke it.
    bool holds(uint64_t base) const { return base >= base_ && base - base_ < bytes_; }

    /// No part of it was ever taken: zero, as the memory server gave it.
    bool is_untouched(Extent extent) const { return extent.begin >= touched_; }

  private:
    CapSlot ram_{};
    uint64_t base_{}, bytes_{};
    uint64_t touched_{}; // nothing from here on was ever taken
    Extents<128> free_;
};

Quota& quota();

/// A page table out of the quota, in a slot of its own. Errors: quota, no_slots.
Result<CapSlot> new_table(Kind kind);

/// Contiguous physical memory of this domain. Not zeroed unless fresh.
class Frame {
  public:
    Frame() = default;
    Frame(Frame&&) noexcept;
    Frame& operator=(Frame&&) noexcept;
    ~Frame();

    /// `bytes` is rounded up to pages. `align` is that of the physical address as far as the quota
    /// itself is aligned. Errors: quota, no_slots.
    static Result<Frame> make(uint64_t bytes, uint64_t align = page_bytes);

    CapSlot slot() const { return slot_; }

    uint64_t bytes() const { return extent_.bytes(); }

    /// For the descriptors of a device that masters the bus.
    Result<PhysAddr> base() const;

    /// It stays for as long as the domain lives.
    void keep() { slot_ = {}; }

  private:
    Frame(CapSlot slot, Extent extent) : slot_{slot}, extent_{extent} {}

    CapSlot slot_{};
    Extent extent_{};
};

/// What a region does at the first touch of a page.
struct OnDemand {
    /// This much appears at a touch: 4 KiB, 64 KiB or 2 MiB (then as one large page). A domain has
    /// about 3900 slots for them.
    uint64_t granule{64 * 1024};
    Rights rights{abi::read | abi::write};
};

/// Addresses of this domain, followed by a guard page. What is mapped nowhere must not be touched.
class Region {
  public:
    Region() = default;
    Region(Region&&) noexcept;
    Region& operator=(Region&&) noexcept;
    ~Region();

    /// Errors: no_space, bad_argument.
    static Result<Region> reserve(uint64_t bytes, uint64_t align = page_bytes);

    /// Zeroed memory of the quota that appears when it is touched, `bytes` rounded up to granules.
    /// When the quota is used up a touch ends the domain: commit() says so instead.
    /// Errors: bad_argument, quota, no_slots, no_space.
    static Result<Region> on_demand(uint64_t bytes, const OnDemand& how = {});

    /// Maps [offset, offset + bytes) of a frame or device frame at `at`, with the largest pages
    /// that addresses and sizes allow. If the memory is not of this quota it may go at any time:
    /// then a private page appears in its place at the next touch, and is_dead() is true. Errors:
    /// cap_type, cap_rights, range_bounds, misaligned, exists, no_space, quota, no_slots.
    Result<>
    map(uint64_t at,
        CapSlot frame,
        uint64_t offset,
        uint64_t bytes,
        Rights rights = abi::read | abi::write,
        abi::MapFlags flags = abi::MapFlags::cached);

    /// Any pages of it. Errors: cap_rights, not_mapped, quota, no_slots; bad_state (the frame's
    /// capability is not where it was, and a mapping would have to be cut).
    Result<> protect(uint64_t at, uint64_t bytes, Rights rights);
    /// Any pages of it; of a region on demand whole granules, which are zero at the next touch.
    /// Errors: misaligned, bad_state, quota, no_slots.
    Result<> unmap(uint64_t at, uint64_t bytes);
    /// Of a region on demand: what is not there yet comes now. Errors: quota, no_slots, bad_state.
    Result<> commit(uint64_t at, uint64_t bytes);

    VirtAddr at() const { return at_; }

    uint64_t bytes() const { return bytes_; }

    bool is_dead() const;

    /// It stays for as long as the domain lives.
    void keep() { id_ = 0; }

    std::span<std::byte> span() const {
        // The one place where an address becomes memory of the program.
        return {reinterpret_cast<std::byte*>(at_.raw), bytes_};
    }

    template <class T>
    T* as() const {
        return reinterpret_cast<T*>(at_.raw);
    }

  private:
    friend class View;

    static Result<Region> reserve(uint64_t bytes, uint64_t align, uint64_t lead);
    Result<> map_all(const Run& run, bool is_own);

    Region(VirtAddr at, uint64_t bytes, uint32_t id) : at_{at}, bytes_{bytes}, id_{id} {}

    VirtAddr at_{};
    uint64_t bytes_{};
    uint32_t id_{};
};

/// Pages that are visible in this address space, until the View goes.
class View {
  public:
    View() = default;

    /// Maps [offset, offset + bytes) of a frame or device frame, whole pages, as Region::map does.
    /// Errors: cap_type, cap_rights, range_bounds, no_space, quota, no_slots.
    static Result<View> make(
        CapSlot frame,
        uint64_t offset,
        uint64_t bytes,
        Rights rights,
        abi::MapFlags flags = abi::MapFlags::cached
    );

    static Result<View> make(const Frame& frame);

    VirtAddr at() const { return region_.at(); }

    uint64_t bytes() const { return region_.bytes(); }

    /// It showed memory of others, which they took back; a private page is there instead.
    bool is_dead() const { return region_.is_dead(); }

    /// It stays for as long as the domain lives.
    void keep() { region_.keep(); }

    /// To protect or unmap parts of it.
    Region& region() { return region_; }

    std::span<std::byte> span() const { return region_.span(); }

    template <class T>
    T* as() const {
        return region_.as<T>();
    }

  private:
    explicit View(Region region) : region_{std::move(region)} {}

    static Result<View> make(const Run& run, bool is_own);

    Region region_;
};

/// Memory of one's own: frame and view in one.
struct Memory {
    Frame frame;
    View view;

    static Result<Memory> make(uint64_t bytes, uint64_t align = page_bytes);

    std::span<std::byte> span() const { return view.span(); }
};

/// Which part of which frame is seen at an address. The frame's slot is as it was when it was
/// mapped. Errors: not_mapped.
Result<Backing> backing_of(VirtAddr at);

} // namespace os
