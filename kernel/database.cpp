#include "kernel/database.hpp"

#include <algorithm>

namespace kernel {

/// What the order is by. A larger range comes before a smaller one at the same base.
struct Key {
    uint64_t base, end;
    unsigned depth;
    unsigned kind;
    uint32_t tag;
};

namespace {

Key key_of(const Slot& s) {
    return {s.base, s.end(), s.depth, static_cast<unsigned>(s.kind), s.tag()};
}

bool before(const Key& a, const Key& b) {
    if (a.base != b.base) return a.base < b.base;
    if (a.end != b.end) return a.end > b.end;
    if (a.depth != b.depth) return a.depth < b.depth;
    if (a.kind != b.kind) return a.kind < b.kind;
    return a.tag < b.tag;
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

void make_empty(Slot& slot) {
    const auto kept = static_cast<uint8_t>(slot.flags & flag::held);
    slot.clear();
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
    insert_at(
        slots_.place_for([&](const Slot& there) { return before(key, key_of(there)); }), slot
    );
}

void Database::insert_at(const Place& place, Slot& slot) {
    ++count_;
    if (place.previous == nullptr || !same_object(*place.previous, slot)) {
        slot.ring = nullptr;
        return slots_.insert_at(place, slot);
    }
    Slot& there = *place.previous;
    if (!slot.has(flag::keeper) || there.has(flag::keeper)) return ring::join(there, slot);
    replace(there, slot);
    ring::join(slot, there);
}

void Database::insert_behind(Slot& previous, Slot& slot) {
    const Slot* const next = Slots::next(previous);
    if (next != nullptr && !before(key_of(slot), key_of(*next))) return insert(slot);
    slot.ring = nullptr;
    slots_.insert_after(previous, slot);
    ++count_;
}

void Database::insert_as(Slot& into, const Slot& what) {
    into.take_contents(what, what.rights, 0);
    insert(into);
}

/// `fresh` takes the place in the tree, and the ring.
void Database::replace(Slot& old, Slot& fresh) {
    slots_.replace(old, fresh);
    if (behind_ == &old) behind_ = &fresh;
    fresh.ring = old.ring;
    old.ring = nullptr;
    if (fresh.ring != nullptr) fresh.ring->parent = &fresh;
}

void Database::erase(Slot& slot) {
    if (slot.has(flag::revoking)) unmark(slot);
    if (slot.has(flag::marked)) unmark_standing(slot);
    if (!slot.in_tree()) {
        ring::leave(slot);
    } else if (Slot* const heir = slot.ring; heir != nullptr) {
        INVARIANT(heir->kind != Kind::mapping, "mappings go before the last capability");
        ring::leave(*heir);
        replace(slot, *heir);
    } else {
        if (behind_ == &slot) behind_ = nullptr;
        slots_.erase(slot);
    }
    make_empty(slot);
    --count_;
}

void Database::relocate(Slot& from, Slot& into) {
    into.take_contents(from, from.rights, 0);
    if (from.in_tree())
        replace(from, into);
    else
        ring::replace(from, into);
    if (into.has(flag::revoking)) *std::ranges::find(marks_, &from) = &into;
    if (into.has(flag::marked)) *std::ranges::find(standing_, &from) = &into;
    make_empty(from);
}

/// Which of the capabilities to this object is in the tree.
Slot* Database::in_tree(const Slot& slot) const {
    if (!slot.in_tree() && slot.parent != nullptr) return slot.parent;
    const Key key = key_of(slot);
    return slots_.lower_bound([&](const Slot& there) { return before(key_of(there), key); });
}

Slot* Database::next(Slot& slot) {
    if (!slot.in_tree()) {
        // back at the first, which alone knows what it hangs from?
        return slot.right->parent == nullptr ? slot.right : Slots::next(*slot.right->parent);
    }
    return slot.ring != nullptr ? slot.ring : Slots::next(slot);
}

Slot* Database::copy_of(const Slot& slot) const {
    if (slot.kind == Kind::mapping) return nullptr;
    if (!slot.in_tree()) return slot.parent != nullptr ? slot.parent : slot.left;
    return slot.ring != nullptr && slot.ring->kind != Kind::mapping ? slot.ring : nullptr;
}

Slot* Database::copy_to_revoke(const Slot& slot) const {
    if (copy_of(slot) == nullptr) return nullptr;
    const Slot& first = *(slot.in_tree() ? slot : *in_tree(slot)).ring;
    Slot* last = first.across != nullptr ? first.across->left : first.left;
    if (last == &slot) last = slot.parent != nullptr ? slot.parent : slot.left;
    // keepers come first: if the last of the others is one, all of them are
    return last->has(flag::keeper) && !slot.has(flag::keeper) ? nullptr : last;
}

bool Database::is_bare(Slot& slot) const {
    if (!slot.in_tree() || slot.ring != nullptr) return false;
    const Slot* const after = Slots::next(slot);
    return after == nullptr || after->base >= slot.end();
}

Slot* Database::ancestor(const Slot& slot) const {
    const Key key{slot.base, slot.end(), slot.depth, 0, 0};
    Slot* at = slots_.lower_bound([&](const Slot& there) { return before(key_of(there), key); });
    at = back_from_here_reaching(previous_or_last(slots_, at), slot.end());
    while (at != nullptr && !descends(slot, *at)) {
        at = back_from_here_reaching(Slots::previous(*at), slot.end());
    }
    return at;
}

Slot* Database::descendant(Slot& slot) const {
    if (slot.in_tree()) {
        Slot* const after = Slots::next(slot);
        if (after == nullptr || after->base >= slot.end()) return nullptr;
        if (descends(*after, slot)) return after;
    }
    return descendant(slot, slot.base, slot.end());
}

/// Objects are made one behind the other, or again where one was.
Database::Place Database::place_near(const Key& key) {
    constexpr unsigned tries = 2;
    Slot* at = behind_ != nullptr && before(key_of(*behind_), key) ? behind_ : nullptr;
    for (unsigned i = 0; i < tries && at != nullptr; ++i) {
        Slot* const next = Slots::next(*at);
        if (next == nullptr || before(key, key_of(*next))) {
            behind_ = at;
            return slots_.place_between(*at, next);
        }
        at = next;
    }
    const Place place =
        slots_.place_for([&](const Slot& there) { return before(key, key_of(there)); });
    behind_ = place.previous;
    return place;
}

/// Is it made from `source` in one step, and does it end before `begin`? What is made so lies
/// apart: then nothing else that derives from `source` begins before it and reaches beyond.
bool Database::is_part_before(const Slot& slot, const Slot& source, uint64_t begin) const {
    const bool part = slot.depth == source.depth + 1 && source.contains(slot) &&
                      slot.has(flag::borrowed) == source.has(flag::borrowed);
    return part && slot.end() <= begin;
}

std::optional<Database::Place>
Database::free_place(Slot& source, uint64_t begin, uint64_t bytes, size_t count) {
    const uint64_t end = begin + bytes * count;
    if (source.kind == Kind::device_frame && is_mapped(source, begin, end)) return std::nullopt;
    const Place place = place_near({begin, begin + bytes, source.depth + 1u, 0, 0});
    // Most often nothing begins there, and nothing reaches into it but what contains all of
    // `source`: that would come after it.
    if (place.next == nullptr || place.next->base >= end) {
        if (place.previous != nullptr && is_part_before(*place.previous, source, begin))
            return place;
        const Slot* const over = back_from_here_reaching(place.previous, begin + 1);
        if (over == nullptr || (over->depth <= source.depth && over->contains(source))) {
            return place;
        }
    }
    if (descendant(source, begin, end) != nullptr) return std::nullopt;
    return place;
}

/// Or has so many mappings that this is not looked for.
bool Database::is_mapped(const Slot& slot, uint64_t begin, uint64_t end) const {
    constexpr unsigned most = 1024;
    const Slot* at = mapping_of(slot);
    for (unsigned looks = 0; at != nullptr; ++looks, at = at->right) {
        if (at->overlaps(begin, end) || looks == most) return true;
        if (at->right->parent != nullptr) return false; // that is the first of the ring
    }
    return false;
}

Slot* Database::descendant(const Slot& slot, uint64_t begin, uint64_t end) const {
    const Key key{slot.base, slot.end(), slot.depth + 1u, 0, 0};
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

bool Database::idle(const Slot& keeper) const {
    if (!keeper.has(flag::keeper)) return false;
    const Slot* const ring = in_tree(keeper)->ring;
    return ring == nullptr || (ring->across == nullptr && ring->left->has(flag::keeper));
}

Slot* Database::lent_frame(const Slot& loan) const {
    const auto kind = static_cast<unsigned>(Kind::frame);
    const Key key{loan.base, loan.end(), loan.depth - 1u, kind, 0};
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
    if (found == nullptr || found->base != base) return nullptr;
    return abi::table_level(found->kind) != 0 ? mapping_of(*found) : nullptr;
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

bool Database::below_a_mark(const Slot& slot) const {
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
