// All capabilities of one core in one tree, ordered by (base up, end down, depth up, kind, extra),
// with the greatest end of every subtree: whoever contains a range comes before it, whatever is
// derived comes after, copies are neighbours, keepers first. Every question is one look-up from the
// root.
#pragma once

#include <array>
#include <cstddef>

#include "kernel/slot.hpp"
#include "lib/base/result.hpp"
#include "lib/base/tree.hpp"

namespace kernel {

struct SlotLinks {
    static Slot*& left(Slot& s) { return s.left; }

    static Slot*& right(Slot& s) { return s.right; }

    static Slot*& parent(Slot& s) { return s.parent; }

    static uint8_t& height(Slot& s) { return s.height; }

    static bool update(Slot& s);
};

class Database {
  public:
    using Slots = Tree<Slot, SlotLinks>;

    /// `slot` says what it is (base .. extra) and is not in the tree.
    void insert(Slot& slot);
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
    bool is_last(Slot& slot) const;
    /// Of the copies of `slot`, the last in order: no keeper if any of them is none.
    Slot* last_copy(const Slot& slot) const;
    /// A keeper whose object has neither other copies than keepers nor anything derived.
    bool idle(const Slot& keeper) const;
    /// The capability to the frame that `loan` is of, or nullptr.
    Slot* lent_frame(const Slot& loan) const;
    /// A neighbouring copy, or nullptr.
    Slot* copy_of(Slot& slot) const;
    /// One that a revoke of `slot` takes away: a keeper only if `slot` is a keeper itself.
    Slot* copy_to_revoke(Slot& slot) const;
    /// The nearest capability that `slot` derives from, or nullptr.
    Slot* ancestor(Slot& slot) const;
    /// The first descendant of `slot` that overlaps [begin, end), or nullptr.
    Slot* descendant(const Slot& slot, uint64_t begin, uint64_t end) const;

    Slot* descendant(const Slot& slot) const { return descendant(slot, slot.base, slot.end()); }

    /// The same for one that is in the tree: it has its first descendant near.
    Slot* descendant(Slot& slot) const;

    /// The descendant after `previous` (a descendant of `slot`), or nullptr.
    Slot* descendant_after(const Slot& slot, Slot& previous) const;
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
    bool revoking(const Slot& slot) const;

    // Marks that stand until they are taken away: of ranges that are revoked on other cores too.
    Result<> mark_standing(Slot& slot); // Err::no_slots
    void unmark_standing(Slot& slot);

    size_t count() const { return count_; }

    const Slots& slots() const { return slots_; }

  private:
    bool untouched(const Slot& slot, uint64_t begin, uint64_t end) const;

    Slots slots_;
    size_t count_{};
    std::array<Slot*, 8> marks_{};
    std::array<Slot*, 8> standing_{};
    size_t marked_{}; // slots in marks_ and standing_
    size_t oldest_{};
};

} // namespace kernel
