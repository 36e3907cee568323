#include "lib/os/space.hpp"

#include <bit>

#include "lib/base/invariant.hpp"
#include "lib/os/busy.hpp"
#include "lib/os/memory.hpp"

namespace os {
namespace {

constexpr uint64_t bit(uint32_t i) {
    return uint64_t{1} << i;
}

// Kept back for grow(), which needs one slot of leaf 0 to make further ones.
constexpr uint32_t growth_slot = abi::cnode_slots - 1;

constinit Slots the_slots;

} // namespace

Slots& slots() {
    return the_slots;
}

void Slots::begin(uint32_t free_leafs) {
    free_[0] = bit(growth_slot) - bit(abi::slot::free);
    free_leafs_ = ~(bit(free_leafs) - 1);
}

Result<CapSlot> Slots::take() {
    const Busy busy;
    for (int attempt = 0; attempt < 2; ++attempt) {
        for (uint32_t leaf = 0; leaf < free_.size(); ++leaf) {
            if (free_[leaf] == 0) continue;
            const auto index = static_cast<uint32_t>(std::countr_zero(free_[leaf]));
            free_[leaf] &= ~bit(index);
            return abi::slot_at(leaf, index);
        }
        TRY_VOID(grow());
    }
    return fail(Err::no_slots);
}

Result<CapSlot> Slots::take_run(uint32_t count) {
    const uint64_t run = (uint64_t{1} << count) - 1;
    for (int attempt = 0; attempt < 2; ++attempt) {
        for (uint32_t leaf = 0; leaf < free_.size(); ++leaf) {
            if (static_cast<uint32_t>(std::popcount(free_[leaf])) < count) continue;
            for (uint32_t at = 0; at + count <= abi::cnode_slots; ++at) {
                if ((free_[leaf] >> at & run) != run) continue;
                free_[leaf] &= ~(run << at);
                return abi::slot_at(leaf, at);
            }
        }
        TRY_VOID(grow());
    }
    return fail(Err::no_slots);
}

void Slots::release(CapSlot slot) {
    const Busy busy;
    const uint32_t leaf = slot.raw / abi::cnode_slots;
    const uint64_t mask = bit(slot.raw % abi::cnode_slots);
    INVARIANT(leaf < free_.size() && (free_[leaf] & mask) == 0, "a slot is given back once");
    free_[leaf] |= mask;
}

Result<> Slots::remove(CapSlot slot) {
    const Place at = place_of(slot);
    const Result<> gone = CNode{{at.cnode}}.remove(at.index);
    // A capability that others revoked has left its slot already.
    if (!gone && gone.error().top() != Err::cap_empty) return gone;
    release(slot);
    return {};
}

Result<uint32_t> Slots::take_leaf() {
    const Busy busy;
    if (free_leafs_ == 0) return fail(Err::no_slots);
    // From the end: leafs that grow() makes stay together at the front.
    const auto leaf = 63u - static_cast<uint32_t>(std::countl_zero(free_leafs_));
    free_leafs_ &= ~bit(leaf);
    return leaf;
}

void Slots::release_leaf(uint32_t leaf) {
    const Busy busy;
    INVARIANT((free_leafs_ & bit(leaf)) == 0, "a leaf is given back once");
    free_leafs_ |= bit(leaf);
}

Result<CapSlot> Slots::take_received() {
    const auto to = take();
    if (!to) { // the receive slot has to be empty for the next one
        (void)CNode{{place_of(receive_slot).cnode}}.remove(abi::slot::receive);
        return to;
    }
    const Place at = place_of(*to);
    if (const auto moved = CNode{{at.cnode}}.move(at.index, receive_slot); !moved) {
        release(*to);
        return fail(moved.error());
    }
    return *to;
}

Result<CapSlot> Slots::copy(CapSlot source) {
    const CapSlot to = TRY(take());
    const Place at = place_of(to);
    if (const auto done = CNode{{at.cnode}}.copy(at.index, source); !done) {
        release(to);
        return fail(done.error());
    }
    return to;
}

Result<CapSlot> Slots::mint(CapSlot source, Rights rights) {
    const CapSlot to = TRY(take());
    const Place at = place_of(to);
    if (const auto done = CNode{{at.cnode}}.mint(at.index, source, rights); !done) {
        release(to);
        return fail(done.error());
    }
    return to;
}

uint32_t Slots::free_count() const {
    uint32_t sum = 0;
    for (uint64_t word : free_)
        sum += static_cast<uint32_t>(std::popcount(word));
    return sum;
}

bool Slots::has_room() {
    const Busy busy;
    return free_count() > 0 || grow().has_value();
}

Result<OwnedCap> part_of(CapSlot whole, Kind kind, uint64_t offset, uint64_t amount) {
    OwnedCap part{TRY(slots().take())};
    const Place at = place_of(part.slot());
    TRY_VOID((CNode{{at.cnode}}.retype(at.index, whole, kind, offset, amount)));
    return part;
}

/// A further leaf: its CNode is made in the growth slot, hung into the root, and moved into itself.
Result<> Slots::grow() {
    if (growing_ || free_leafs_ == 0) return fail(Err::no_slots);
    growing_ = true;
    const auto leaf = static_cast<uint32_t>(std::countr_zero(free_leafs_));
    const CapSlot fresh = abi::slot_at(0, growth_slot);
    const auto made = quota().make(place_of(fresh), Kind::cnode, abi::bytes_of(Kind::cnode));
    growing_ = false;
    if (!made) return fail(made.error());
    TRY_VOID(root_cnode().copy(leaf, fresh));
    TRY_VOID(CNode{{fresh}}.move(0, fresh));
    free_leafs_ &= ~bit(leaf);
    free_[leaf] = ~uint64_t{1};
    return {};
}

} // namespace os
