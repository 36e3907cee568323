// All capabilities of one core in one tree, ordered by (base up, end down, depth up, kind, tag),
// with the greatest end of every subtree: whoever contains a range comes before it, whatever is
// derived comes after. Every question is one look-up from the root. Copies of what is in the tree
// hang from it in a ring (ring.hpp), and what is mapped from it: these come and go without a
// look-up.
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "kernel/ring.hpp"
#include "kernel/slot.hpp"
#include "lib/base/result.hpp"
#include "lib/base/tree.hpp"

namespace kernel {

struct Key;

struct SlotLinks {
    static Slot*& left(Slot& s) { return s.left; }

    static Slot*& right(Slot& s) { return s.right; }

    static Slot*& parent(Slot& s) { return s.parent; }

    static uint8_t& height(Slot& s) { return s.height; }

    static bool update(Slot& s);

    static void begin(Slot& s) { s.max_end = s.end(); }

    static bool include(Slot& above, const Slot& leaf) {
        if (above.max_end >= leaf.max_end) return false;
        above.max_end = leaf.max_end;
        return true;
    }
};

class Database {
  public:
    using Slots = Tree<Slot, SlotLinks>;

    using Place = Slots::Place;

    /// `slot` says what it is (base .. flags) and is not in the database.
    void insert(Slot& slot);
    /// The same for a mapping of `source`.
    void insert_mapping(Slot& source, Slot& mapping);
    /// Where the first of `count` new objects goes that are derived from `source` and fill the
    /// range from `begin` on; none if something is derived there, or mapped.
    std::optional<Place> free_place(Slot& source, uint64_t begin, uint64_t bytes, size_t count);
    /// Nothing has changed since the place was found.
    void insert_at(const Place& place, Slot& slot);
    /// The same, quicker, for one that comes after `previous` and most likely right behind it.
    void insert_behind(Slot& previous, Slot& slot);
    /// Fills `into` (empty) with what `what` says it is.
    void insert_as(Slot& into, const Slot& what);
    /// Makes `into` (empty) a copy of `source` with these rights.
    void insert_copy(Slot& source, Slot& into, Rights rights);
    /// Empties the slot.
    void erase(Slot& slot);
    /// The capability in `from` moves to `into` (empty).
    void relocate(Slot& from, Slot& into);

    /// No other slot holds the same object.
    bool is_last(const Slot& slot) const { return copy_of(slot) == nullptr; }

    /// The only capability to its object, and nothing begins in it.
    bool is_bare(Slot& slot) const;
    /// A keeper whose object has neither other copies than keepers nor mappings.
    bool idle(const Slot& keeper) const;
    /// The capability to the frame that `loan` is of, or nullptr.
    Slot* lent_frame(const Slot& loan) const;
    /// Another capability to the same object, or nullptr.
    Slot* copy_of(const Slot& slot) const;
    /// One that a revoke of `slot` takes away: a keeper only if `slot` is a keeper itself.
    Slot* copy_to_revoke(const Slot& slot) const;
    /// The nearest capability that `slot` derives from, or nullptr.
    Slot* ancestor(const Slot& slot) const;
    /// The first descendant of `slot` that overlaps [begin, end), or nullptr.
    Slot* descendant(const Slot& slot, uint64_t begin, uint64_t end) const;

    Slot* descendant(const Slot& slot) const { return descendant(slot, slot.base, slot.end()); }

    /// The same for one in the database: its first descendant is near.
    Slot* descendant(Slot& slot) const;

    /// The descendant after `previous` (a descendant of `slot`), or nullptr.
    Slot* descendant_after(const Slot& slot, Slot& previous) const;
    /// A mapping of the same object, or nullptr.
    Slot* mapping_of(const Slot& slot) const;
    /// The mapping by which the table at `base` hangs in the next level, or nullptr.
    Slot* mapping_of_table(uint64_t base) const;
    /// The first slot that overlaps [begin, end) of any kind and depth; then the next ones.
    Slot* overlap(uint64_t begin, uint64_t end) const;
    Slot* overlap_after(Slot& previous, uint64_t begin, uint64_t end) const;

    // Ranges being revoked: few at a time. When more are asked for, the oldest mark is forgotten,
    // which costs its revoker another call and nothing else.
    void mark(Slot& slot);
    void unmark(Slot& slot);

    /// At or below a mark of either sort?
    bool revoking(const Slot& slot) const { return marked_ != 0 && below_a_mark(slot); }

    // Marks that stand until they are taken away: of ranges that are revoked on other cores too.
    Result<> mark_standing(Slot& slot); // Err::no_slots
    void unmark_standing(Slot& slot);

    size_t count() const { return count_; }

    const Slots& slots() const { return slots_; }

    // for who looks at all of them, in order and copies after each other
    Slot* first() const { return slots_.first(); }

    static Slot* next(Slot& slot);

  private:
    Slot* in_tree(const Slot& slot) const;
    bool is_mapped(const Slot& slot, uint64_t begin, uint64_t end) const;
    bool below_a_mark(const Slot& slot) const;
    void replace(Slot& old, Slot& fresh);
    Place place_near(const Key& key);
    bool is_part_before(const Slot& slot, const Slot& source, uint64_t begin) const;

    Slots slots_;
    Slot* behind_{}; // in the tree: behind it most likely comes what is made next
    size_t count_{};
    std::array<Slot*, 8> marks_{};
    std::array<Slot*, 8> standing_{};
    size_t marked_{}; // slots in marks_ and standing_
    size_t oldest_{};
};

inline void Database::insert_copy(Slot& source, Slot& into, Rights rights) {
    into.take_contents(source, rights, flag::revoking | flag::marked | flag::keeper);
    ++count_;
    ring::join(source.in_tree() ? source : *in_tree(source), into);
}

inline void Database::insert_mapping(Slot& source, Slot& mapping) {
    ++count_;
    ring::join_mapping(source.in_tree() ? source : *in_tree(source), mapping);
}

inline Slot* Database::mapping_of(const Slot& slot) const {
    if (slot.kind == Kind::mapping) return nullptr;
    const Slot* const ring = (slot.in_tree() ? slot : *in_tree(slot)).ring;
    return ring == nullptr ? nullptr : ring->across;
}

} // namespace kernel
