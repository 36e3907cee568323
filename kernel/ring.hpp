// What hangs from a capability that is in the tree: its copies, keepers before others, and then
// what is mapped from it. They are a ring; its first knows what it hangs from, and the first and
// the first mapping know each other, so that each comes and goes without a look-up.
#pragma once

#include "kernel/slot.hpp"

namespace kernel::ring {

/// Of the ring that hangs from `of`: which is the first, and which the first mapping.
inline void set_first(Slot& of, Slot& first, Slot* mapping) {
    of.ring = &first;
    first.parent = &of;
    first.across = mapping;
    if (mapping != nullptr) mapping->across = &first;
}

/// `slot` becomes a copy of `of`, which is in the tree: the first of its ring if it is a keeper, as
/// `of` is then, else the last before the mappings.
inline void join(Slot& of, Slot& slot) {
    Slot* const first = of.ring;
    slot.height = 0;
    slot.parent = nullptr;
    if (first == nullptr) {
        slot.left = slot.right = &slot;
        return set_first(of, slot, nullptr);
    }
    Slot* const mapping = first->across;
    const bool keeper = slot.has(flag::keeper);
    slot.put_before(keeper || mapping == nullptr ? *first : *mapping);
    if (!keeper && mapping != first) return;
    first->parent = nullptr;
    set_first(of, slot, mapping);
}

/// The last of the ring.
inline void join_mapping(Slot& of, Slot& mapping) {
    Slot* const first = of.ring;
    mapping.height = 0;
    mapping.parent = nullptr;
    if (first == nullptr) {
        mapping.left = mapping.right = &mapping;
        return set_first(of, mapping, &mapping);
    }
    mapping.put_before(*first);
    if (first->across == nullptr) set_first(of, *first, &mapping);
}

inline void leave(Slot& slot) {
    Slot* const next = slot.right;
    Slot* const of = slot.parent; // if it is the first
    if (next == &slot) {
        of->ring = nullptr;
        return;
    }
    slot.left->right = next;
    next->left = slot.left;
    if (of != nullptr) {
        set_first(*of, *next, slot.across == &slot ? next : slot.across);
    } else if (slot.comes_behind_copies()) {
        Slot& first = *slot.across;
        set_first(*first.parent, first, next == &first ? nullptr : next);
    }
}

/// `fresh` takes the place of `old`. It says already what it is.
inline void replace(Slot& old, Slot& fresh) {
    const bool alone = old.right == &old;
    fresh.height = 0;
    fresh.left = alone ? &fresh : old.left;
    fresh.right = alone ? &fresh : old.right;
    fresh.parent = old.parent;
    fresh.left->right = fresh.right->left = &fresh;
    if (fresh.parent != nullptr) {
        set_first(*fresh.parent, fresh, old.across == &old ? &fresh : old.across);
    } else if (fresh.comes_behind_copies()) {
        Slot& first = *old.across;
        set_first(*first.parent, first, &fresh);
    }
}

} // namespace kernel::ring
