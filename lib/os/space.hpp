// The capability space of this domain: which slots are free. Leaf CNodes beyond the first are made
// from the quota when they are needed.
#pragma once

#include <array>
#include <utility>

#include "lib/abi/startup.hpp"
#include "lib/os/capability.hpp"

namespace os {

/// Own CNodes by convention: leaf 0's capability is in slot::leaf, every further leaf that lib/os
/// made holds its own capability in its index 0.
constexpr Place place_of(CapSlot slot) {
    const uint32_t leaf = slot.raw / abi::cnode_slots;
    const CapSlot cnode = leaf == 0 ? abi::slot_at(0, abi::slot::leaf) : abi::slot_at(leaf, 0);
    return {cnode, slot.raw % abi::cnode_slots};
}

constexpr CNode root_cnode() {
    return {{abi::slot_at(0, abi::slot::root)}};
}

constexpr Dispatcher self() {
    return {{abi::slot_at(0, abi::slot::dispatcher)}};
}

constexpr CapSlot receive_slot = abi::slot_at(0, abi::slot::receive);

inline Result<Description> describe(CapSlot slot) {
    const Place at = place_of(slot);
    return CNode{{at.cnode}}.describe(at.index);
}

class Quota;

class Slots {
  public:
    /// The state after start-up: `free_leafs` is the first root index that is empty.
    void begin(uint32_t free_leafs);

    /// An empty slot, from now on the caller's. Errors: no_slots, no_memory.
    Result<CapSlot> take();

    /// `count` empty slots side by side in one CNode, each given back by itself; the first.
    /// Errors: as take().
    Result<CapSlot> take_run(uint32_t count);

    /// Gives back a slot that is empty.
    void release(CapSlot slot);

    /// Deletes what is in the slot, and gives it back unless that fails. Errors: lent.
    Result<> remove(CapSlot slot);

    /// A root index for a foreign CNode that is looked into for a while.
    Result<uint32_t> take_leaf();
    void release_leaf(uint32_t leaf);

    /// Moves what `call` or `wait` put into the receive slot to a slot of its own.
    Result<CapSlot> take_received();

    /// A copy of a capability, as long as it may be copied.
    Result<CapSlot> copy(CapSlot source);
    Result<CapSlot> mint(CapSlot source, Rights rights);

    uint32_t free_count() const;

    /// take() would succeed now.
    bool has_room();

  private:
    Result<> grow();

    std::array<uint64_t, abi::cnode_slots> free_{}; // bit i: slot i of that leaf is free
    uint64_t free_leafs_{};                         // bit i: index i of the root is empty
    bool growing_{};
};

Slots& slots();

/// A capability that is deleted when its owner goes.
class OwnedCap {
  public:
    OwnedCap() = default;

    explicit OwnedCap(CapSlot slot) : slot_{slot} {}

    OwnedCap(OwnedCap&& other) noexcept : slot_{std::exchange(other.slot_, abi::null_slot)} {}

    OwnedCap& operator=(OwnedCap&& other) noexcept {
        std::swap(slot_, other.slot_);
        return *this;
    }

    ~OwnedCap() { reset(); }

    CapSlot slot() const { return slot_; }

    bool is_null() const { return slot_ == abi::null_slot; }

    /// The capability stays, its owner forgets it.
    CapSlot release() { return std::exchange(slot_, abi::null_slot); }

    void reset() {
        if (const CapSlot old = release(); old != abi::null_slot) (void)slots().remove(old);
    }

  private:
    CapSlot slot_{};
};

/// In a slot of its own: of a range a part, of RAM what is made there. Errors: no_slots, those of
/// CNode::retype.
Result<OwnedCap> part_of(CapSlot whole, Kind kind, uint64_t offset, uint64_t amount);

} // namespace os
