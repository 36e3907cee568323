// A capability slot: one cache line that says who may do what with which range, and is itself the
// node of the database that knows all slots of the core. A CNode is 64 of them, one page. Of
// several copies one is in the database's tree; the others are in a ring that hangs from it, and
// behind them what is mapped from it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "lib/abi/capability.hpp"
#include "lib/base/strong.hpp"

namespace kernel {

using abi::Kind;
using abi::Rights;

/// Bits of Slot::flags.
namespace flag {
constexpr uint8_t revoking = 1;   // a revoke of this slot is under way
constexpr uint8_t borrowed = 2;   // the memory is another core's (inherited by what is derived)
constexpr uint8_t held = 4;       // of the place, not the capability: inside a Dispatcher
constexpr uint8_t maps_table = 8; // this mapping is of a next-level table, not of memory
constexpr uint8_t keeper = 16;    // of what was accepted, the monitor's own: copies are not
constexpr uint8_t given = 32;     // this loan stands for RAM that is another core's now
constexpr uint8_t marked = 64;    // core_mark: the range is being revoked on all cores
} // namespace flag

/// Of a borrowed frame. Deeper than any derivation on this core, so that the loan which stands for
/// given RAM comes before what was lent back out of it.
constexpr uint8_t borrowed_depth = 251;
constexpr uint8_t deepest_derivation = 250;

struct Slot {
    uint64_t base;
    uint64_t bytes;
    Kind kind;
    Rights rights;
    uint8_t depth;  // derivations from a capability given at boot or accepted
    uint8_t height; // of the tree's subtree below this slot; 0: it is in a ring
    uint16_t entry; // mapping: the first entry it fills; any other: low bits of its tag
    uint8_t level;  // mapping: of the table it fills; any other: high bits of its tag
    uint8_t flags;

    union {
        uint64_t table; // mapping: physical address of the table it fills
        Slot* ring;     // any other that is in the tree: the first of its ring, or nullptr
    };

    Slot* left;   // in a ring: the one before, the last before the first
    Slot* right;  // in a ring: the one after
    Slot* parent; // the first of a ring: what the ring hangs from; the others: nullptr

    union {
        uint64_t max_end; // in the tree: greatest end in the subtree
        Slot* across;     // the first of a ring: its first mapping, or nullptr; and back from there
    };

    bool empty() const { return kind == Kind::empty; }

    /// Nothing is in it; the words around these say nothing then.
    void clear() {
        kind = Kind::empty;
        rights = {};
        depth = height = 0;
        entry = 0;
        level = flags = 0;
    }

    uint64_t end() const { return base + bytes; }

    bool has(uint8_t bit) const { return (flags & bit) != 0; }

    bool contains(const Slot& other) const { return base <= other.base && other.end() <= end(); }

    bool overlaps(uint64_t begin, uint64_t limit) const { return base < limit && begin < end(); }

    /// Endpoint: badge; doorbell: bit, or vector; borrowed frame: the core that owns it.
    uint32_t tag() const { return entry | uint32_t{level} << 16; }

    void set_tag(uint64_t tag) {
        entry = static_cast<uint16_t>(tag);
        level = static_cast<uint8_t>(tag >> 16);
    }

    bool in_tree() const { return height != 0; }

    /// In the ring of `next`.
    void put_before(Slot& next) {
        right = &next;
        left = next.left;
        next.left->right = this;
        next.left = this;
    }

    /// A mapping, and what comes before it in its ring is none.
    bool comes_behind_copies() const {
        return kind == Kind::mapping && left->kind != Kind::mapping;
    }

    /// What `from` says, but its place in the database, its rights and these flags.
    void take_contents(const Slot& from, Rights granted, uint8_t dropped_flags) {
        const auto kept = static_cast<uint8_t>(flags & flag::held);
        const auto taken = static_cast<uint8_t>(from.flags & ~(flag::held | dropped_flags));
        base = from.base;
        bytes = from.bytes;
        kind = from.kind;
        rights = granted;
        depth = from.depth;
        entry = from.entry;
        level = from.level;
        if (kind == Kind::mapping) table = from.table;
        flags = static_cast<uint8_t>(taken | kept);
    }

    /// Entries a mapping fills.
    uint32_t entry_count() const {
        return has(flag::maps_table) ? 1 : static_cast<uint32_t>(bytes >> (12 + 9 * (level - 1)));
    }
};

/// Of a tag, so of a badge.
constexpr uint64_t tag_limit = uint64_t{1} << 24;

static_assert(sizeof(Slot) == 64 && offsetof(Slot, max_end) == 56);

struct CNode {
    std::array<Slot, abi::cnode_slots> slot;
};

static_assert(sizeof(CNode) == abi::bytes_of(Kind::cnode));

/// One object? Mappings and loans are never copied: each is an object of its own.
constexpr bool same_object(const Slot& a, const Slot& b) {
    return a.base == b.base && a.bytes == b.bytes && a.kind == b.kind && a.depth == b.depth &&
           a.tag() == b.tag() && a.kind != Kind::mapping && a.kind != Kind::loan;
}

/// Does `below` descend from `above`, or from a capability to the same object? What is borrowed
/// never descends from what is owned, though its memory was once this core's.
constexpr bool descends(const Slot& below, const Slot& above) {
    return below.depth > above.depth && above.contains(below) &&
           below.has(flag::borrowed) == above.has(flag::borrowed);
}

/// `into`, an empty one, says that it holds this part of what `source` holds.
inline void name_part(const Slot& source, Kind kind, uint64_t base, uint64_t bytes, Slot& into) {
    into.base = base;
    into.bytes = bytes;
    into.kind = kind;
    into.rights = kind == source.kind ? source.rights : abi::all_rights;
    into.depth = static_cast<uint8_t>(source.depth + 1);
    into.flags = static_cast<uint8_t>(into.flags | (source.flags & flag::borrowed));
}

} // namespace kernel
