// Memory of this domain: frames out of the quota, and where they are seen. A Frame owns its
// capability and its piece of the quota, a View its pages in the address space; both give back
// what they own when they go.
#pragma once

#include <span>

#include "lib/base/bytes.hpp"
#include "lib/os/extents.hpp"
#include "lib/os/space.hpp"

namespace os {

/// The RAM this domain lives on, from which it makes its objects.
class Quota {
  public:
    /// `used` bytes from the start were taken by the spawner.
    void begin(CapSlot ram, uint64_t bytes, uint64_t used);

    /// Bytes of the quota, for one object. Errors: quota.
    Result<Extent> take(uint64_t bytes, uint64_t align = page_bytes);
    void release(Extent extent);

    /// Takes memory and makes an object of it in an empty slot at `to`.
    Result<Extent> make(Place to, Kind kind, uint64_t bytes, uint64_t align = page_bytes);

    CapSlot ram() const { return ram_; }

    uint64_t free_bytes() const { return free_.free_bytes(); }

  private:
    CapSlot ram_{};
    Extents<128> free_;
};

Quota& quota();

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

enum class Use : uint8_t { plain, channel };

/// Pages that are visible in this address space, until the View goes.
class View {
  public:
    View() = default;
    View(View&&) noexcept;
    View& operator=(View&&) noexcept;
    ~View();

    /// Maps [offset, offset + bytes) of a frame or device frame, whole pages. A `channel` may lose
    /// its memory at any time: then a private page appears in its place and is_dead() is true.
    /// Errors: cap_type, cap_rights, range_bounds, no_space, quota, no_slots.
    static Result<View> make(
        CapSlot frame,
        uint64_t offset,
        uint64_t bytes,
        Rights rights,
        abi::MapFlags flags = abi::MapFlags::cached,
        Use use = Use::plain
    );

    static Result<View> make(const Frame& frame, Use use = Use::plain) {
        return make(frame.slot(), 0, frame.bytes(), abi::read | abi::write, {}, use);
    }

    VirtAddr at() const { return at_; }

    uint64_t bytes() const { return bytes_; }

    bool is_dead() const;

    /// It stays for as long as the domain lives.
    void keep() { region_ = 0; }

    std::span<std::byte> span() const {
        // The one place where an address becomes memory of the program.
        return {reinterpret_cast<std::byte*>(at_.raw), bytes_};
    }

    template <class T>
    T* as() const {
        return reinterpret_cast<T*>(at_.raw);
    }

  private:
    View(VirtAddr at, uint64_t bytes, uint32_t region) : at_{at}, bytes_{bytes}, region_{region} {}

    VirtAddr at_{};
    uint64_t bytes_{};
    uint32_t region_{};
};

/// Memory of one's own: frame and view in one.
struct Memory {
    Frame frame;
    View view;

    static Result<Memory> make(uint64_t bytes, uint64_t align = page_bytes);

    std::span<std::byte> span() const { return view.span(); }
};

} // namespace os
