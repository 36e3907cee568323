#include "kernel/database.hpp"

#include <algorithm>

namespace kernel {

namespace {

/// What the order is by. A larger range comes before a smaller one at the same base.
struct Key {
    uint64_t base, end;
    unsigned depth;
    unsigned kind;
    uint64_t extra;
    bool keeper;
};

Key key_of(const Slot& s) {
    return {s.base, s.end(), s.depth, static_cast<unsigned>(s.kind), s.extra, s.has(flag::keeper)};
}

bool before(const Key& a, const Key& b) {
    if (a.base != b.base) return a.base < b.base;
    if (a.end != b.end) return a.end > b.end;
    if (a.depth != b.depth) return a.depth < b.depth;
    if (a.kind != b.kind) return a.kind < b.kind;
    if (a.extra != b.extra) return a.extra < b.extra;
    return a.keeper && !b.keeper;
}

/// The first of the subtree, in order, that ends at `reach` or later; there is one.
Slot* first_reaching(Slot* at, uint64_t reach) {
    for (;;) {
        if (at->left != nullptr && at->left->max_end >= reach) {
            at = at->left;
        } else if (at->end() >= reach) {
            return at;
        } else {
            at = at->right;
        }
    }
}

/// The last of the subtree that ends at `reach` or later; there is one.
Slot* last_reaching(Slot* at, uint64_t reach) {
    for (;;) {
        if (at->right != nullptr && at->right->max_end >= reach) {
            at = at->right;
        } else if (at->end() >= reach) {
            return at;
        } else {
            at = at->left;
        }
    }
}

/// From `at` on, in order: the first that ends at `reach` or later.
Slot* from_here_reaching(Slot* at, uint64_t reach) {
    while (at != nullptr) {
        if (at->end() >= reach) return at;
        if (at->right != nullptr && at->right->max_end >= reach) {
            return first_reaching(at->right, reach);
        }
        while (at->parent != nullptr && at->parent->right == at)
            at = at->parent;
        at = at->parent;
    }
    return nullptr;
}

/// From `at` back: the first met that ends at `reach` or later.
Slot* back_from_here_reaching(Slot* at, uint64_t reach) {
    while (at != nullptr) {
        if (at->end() >= reach) return at;
        if (at->left != nullptr && at->left->max_end >= reach) {
            return last_reaching(at->left, reach);
        }
        while (at->parent != nullptr && at->parent->left == at)
            at = at->parent;
        at = at->parent;
    }
    return nullptr;
}

Slot* previous_or_last(const Database::Slots& slots, Slot* at) {
    return at == nullptr ? slots.last() : Database::Slots::previous(*at);
}

/// What a capability says, without its place in the tree.
void take_contents(Slot& into, const Slot& from, uint8_t dropped_flags) {
    const auto kept = static_cast<uint8_t>(into.flags & flag::held);
    const auto taken = static_cast<uint8_t>(from.flags & ~(flag::held | dropped_flags));
    into.base = from.base;
    into.bytes = from.bytes;
    into.kind = from.kind;
    into.rights = from.rights;
    into.depth = from.depth;
    into.entry = from.entry;
    into.level = from.level;
    into.extra = from.extra;
    into.flags = static_cast<uint8_t>(taken | kept);
}

void make_empty(Slot& slot) {
    const auto kept = static_cast<uint8_t>(slot.flags & flag::held);
    slot = Slot{};
    slot.flags = kept;
}

} // namespace

bool SlotLinks::update(Slot& s) {
    uint64_t greatest = s.end();
    if (s.left != nullptr) greatest = std::max(greatest, s.left->max_end);
    if (s.right != nullptr) greatest = std::max(greatest, s.right->max_end);
    const bool changed = greatest != s.max_end;
    s.max_end = greatest;
    return changed;
}

void Database::insert(Slot& slot) {
    const Key key = key_of(slot);
    slots_.insert(slot, [&](const Slot& there) { return before(key, key_of(there)); });
    ++count_;
}

void Database::insert_behind(Slot& previous, Slot& slot) {
    const Slot* const next = Slots::next(previous);
    if (next != nullptr && !before(key_of(slot), key_of(*next))) return insert(slot);
    slots_.insert_after(previous, slot);
    ++count_;
}

void Database::insert_as(Slot& into, const Slot& what) {
    take_contents(into, what, 0);
    insert(into);
}

void Database::insert_copy(Slot& source, Slot& into, Rights rights) {
    take_contents(into, source, flag::revoking | flag::marked | flag::keeper);
    into.rights = rights;
    if (source.has(flag::keeper)) return insert(into); // after all keepers
    slots_.insert_after(source, into);
    ++count_;
}

void Database::erase(Slot& slot) {
    if (slot.has(flag::revoking)) unmark(slot);
    if (slot.has(flag::marked)) unmark_standing(slot);
    slots_.erase(slot);
    make_empty(slot);
    --count_;
}

void Database::relocate(Slot& from, Slot& into) {
    take_contents(into, from, 0);
    slots_.replace(from, into);
    if (into.has(flag::revoking)) *std::ranges::find(marks_, &from) = &into;
    if (into.has(flag::marked)) *std::ranges::find(standing_, &from) = &into;
    make_empty(from);
}

Slot* Database::copy_of(Slot& slot) const {
    Slot* const after = Slots::next(slot);
    if (after != nullptr && same_object(slot, *after)) return after;
    Slot* const before_it = Slots::previous(slot);
    if (before_it != nullptr && same_object(slot, *before_it)) return before_it;
    return nullptr;
}

Slot* Database::copy_to_revoke(Slot& slot) const {
    Slot* const copy = copy_of(slot);
    if (copy == nullptr || !copy->has(flag::keeper) || slot.has(flag::keeper)) return copy;
    return nullptr; // keepers come first: before this one there are only keepers
}

bool Database::is_last(Slot& slot) const {
    return copy_of(slot) == nullptr;
}

Slot* Database::ancestor(Slot& slot) const {
    const Key key{slot.base, slot.end(), slot.depth, 0, 0, true};
    Slot* at = slots_.lower_bound([&](const Slot& there) { return before(key_of(there), key); });
    at = back_from_here_reaching(previous_or_last(slots_, at), slot.end());
    while (at != nullptr && !descends(slot, *at)) {
        at = back_from_here_reaching(Slots::previous(*at), slot.end());
    }
    return at;
}

Slot* Database::descendant(Slot& slot) const {
    constexpr unsigned copies_passed = 4; // then it is quicker to look from the root
    Slot* at = Slots::next(slot);
    for (unsigned i = 0; i < copies_passed; ++i, at = Slots::next(*at)) {
        if (at == nullptr || at->base >= slot.end()) return nullptr;
        if (descends(*at, slot)) return at;
        if (!same_object(*at, slot)) break;
    }
    return descendant(slot, slot.base, slot.end());
}

/// Does nothing begin in [begin, end), and nothing reach into it but what contains all of `slot`?
bool Database::untouched(const Slot& slot, uint64_t begin, uint64_t end) const {
    Slot* const first = slots_.lower_bound([&](const Slot& there) { return there.base < begin; });
    if (first != nullptr && first->base < end) return false;
    const Slot* const over = back_from_here_reaching(previous_or_last(slots_, first), begin + 1);
    return over == nullptr || (over->depth <= slot.depth && over->contains(slot));
}

Slot* Database::descendant(const Slot& slot, uint64_t begin, uint64_t end) const {
    if (begin != slot.base && untouched(slot, begin, end)) return nullptr;
    const Key key{slot.base, slot.end(), slot.depth + 1u, 0, 0, true};
    Slot* at = slots_.lower_bound([&](const Slot& there) { return before(key_of(there), key); });
    at = from_here_reaching(at, begin + 1);
    while (at != nullptr && at->base < end && !descends(*at, slot)) {
        Slot* const after = Slots::next(*at);
        at = from_here_reaching(after, begin + 1);
    }
    return at != nullptr && at->base < end ? at : nullptr;
}

Slot* Database::descendant_after(const Slot& slot, Slot& previous) const {
    Slot* at = Slots::next(previous);
    if (previous.has(flag::given)) {
        // what lies in there is lent back by its owner, and nothing of ours
        const uint64_t beyond = previous.end();
        at = slots_.lower_bound([&](const Slot& there) { return there.base < beyond; });
    }
    for (; at != nullptr; at = Slots::next(*at)) {
        if (at->base >= slot.end()) return nullptr;
        if (descends(*at, slot)) return at;
    }
    return nullptr;
}

Slot* Database::last_copy(const Slot& slot) const {
    Key key = key_of(slot);
    key.keeper = false;
    Slot* const after =
        slots_.lower_bound([&](const Slot& there) { return !before(key, key_of(there)); });
    return previous_or_last(slots_, after);
}

bool Database::idle(const Slot& keeper) const {
    if (!keeper.has(flag::keeper)) return false;
    return last_copy(keeper)->has(flag::keeper) &&
           descendant(keeper, keeper.base, keeper.end()) == nullptr;
}

Slot* Database::lent_frame(const Slot& loan) const {
    const auto kind = static_cast<unsigned>(Kind::frame);
    const Key key{loan.base, loan.end(), loan.depth - 1u, kind, 0, true};
    Slot* const at =
        slots_.lower_bound([&](const Slot& there) { return before(key_of(there), key); });
    if (at == nullptr || at->kind != Kind::frame || at->depth + 1 != loan.depth) return nullptr;
    return at->base == loan.base && at->bytes == loan.bytes ? at : nullptr;
}

Slot* Database::mapping_of_table(uint64_t base) const {
    const uint64_t end = base + abi::bytes_of(Kind::page_table);
    // the deepest of this range is the last of it
    Slot* const after = slots_.lower_bound([&](const Slot& there) {
        return there.base != base ? there.base < base : there.end() >= end;
    });
    Slot* const found = previous_or_last(slots_, after);
    if (found == nullptr || found->base != base || !found->has(flag::maps_table)) return nullptr;
    return found;
}

Slot* Database::overlap(uint64_t begin, uint64_t end) const {
    Slot* const root = slots_.root();
    if (root == nullptr || root->max_end <= begin) return nullptr;
    Slot* const at = first_reaching(root, begin + 1);
    return at->base < end ? at : nullptr;
}

Slot* Database::overlap_after(Slot& previous, uint64_t begin, uint64_t end) const {
    Slot* const at = from_here_reaching(Slots::next(previous), begin + 1);
    return at != nullptr && at->base < end ? at : nullptr;
}

void Database::mark(Slot& slot) {
    if (slot.has(flag::revoking)) return;
    Slot*& place = marks_[oldest_];
    oldest_ = (oldest_ + 1) % marks_.size();
    if (place != nullptr) unmark(*place);
    place = &slot;
    slot.flags |= flag::revoking;
    ++marked_;
}

void Database::unmark(Slot& slot) {
    if (!slot.has(flag::revoking)) return;
    *std::ranges::find(marks_, &slot) = nullptr;
    slot.flags = static_cast<uint8_t>(slot.flags & ~flag::revoking);
    --marked_;
}

bool Database::revoking(const Slot& slot) const {
    if (marked_ == 0) return false;
    const auto covers = [&](const Slot* marked) {
        return marked != nullptr && (same_object(slot, *marked) || descends(slot, *marked));
    };
    return std::ranges::any_of(marks_, covers) || std::ranges::any_of(standing_, covers);
}

Result<> Database::mark_standing(Slot& slot) {
    if (slot.has(flag::marked)) return {};
    Slot** const place = std::ranges::find(standing_, nullptr);
    if (place == standing_.end()) return fail(Err::no_slots);
    *place = &slot;
    slot.flags |= flag::marked;
    ++marked_;
    return {};
}

void Database::unmark_standing(Slot& slot) {
    if (!slot.has(flag::marked)) return;
    *std::ranges::find(standing_, &slot) = nullptr;
    slot.flags = static_cast<uint8_t>(slot.flags & ~flag::marked);
    --marked_;
}

} // namespace kernel
