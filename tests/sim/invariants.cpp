#include "tests/sim/invariants.hpp"

#include <algorithm>

#include "tests/sim/world.hpp"

namespace sim {

namespace {

using kernel::Slot;
using Slots = kernel::Database::Slots;

constexpr uint64_t ram_end = ram_base + max_blocks * large_page_bytes;

bool is_memory(const Slot& s) {
    return s.base >= ram_base && s.base < ram_end;
}

bool is_object(const Slot& s) {
    return s.kind != Kind::ram && s.kind != Kind::loan && s.kind != Kind::mapping;
}

[[noreturn]] void broken(unsigned core, const char* what, const Slot& s) {
    char text[200];
    const auto number = [](uint64_t v) { return static_cast<unsigned long long>(v); };
    std::snprintf(
        text,
        sizeof text,
        "%s (core %u: %s %#llx+%#llx, depth %u, rights %u, flags %u)",
        what,
        core,
        std::string{abi::name_of(s.kind)}.c_str(),
        number(s.base),
        number(s.bytes),
        s.depth,
        s.rights.raw,
        s.flags
    );
    throw Broken{text};
}

Slot* first(Island& island) {
    return island.core.database().slots().first();
}

/// The tree is what its rules say, and everything in it lies where this core may look.
void check_database(World& world, Island& island) {
    const auto& database = island.core.database();
    size_t count = 0;
    const Slot* before = nullptr;
    uint64_t owned = 0;
    for (Slot* s = first(island); s != nullptr; s = Slots::next(*s)) {
        ++count;
        if (s->empty()) broken(island.index, "an empty slot in the database", *s);
        if (before != nullptr && s->base < before->base)
            broken(island.index, "the database is out of order", *s);
        before = s;
        if (!is_memory(*s)) continue;
        const unsigned begin = block_of(s->base), end = block_of(s->end() - 1);
        for (unsigned block = begin; block <= end; ++block) {
            const bool own = world.ownership().owner[block] == island.index;
            if (s->kind == Kind::loan) continue;
            if (own == s->has(kernel::flag::borrowed))
                broken(
                    island.index,
                    own ? "own memory counts as borrowed"
                        : "a capability to memory of another core",
                    *s
                );
        }
        const bool root = s->kind == Kind::ram && s->depth == 0;
        if (root) owned += s->bytes;
    }
    if (count != database.count()) throw Broken{"the database miscounts"};
    (void)owned;
}

/// Objects over the same bytes are copies of one, or one is made from the other.
void check_overlaps(Island& island) {
    const Slot* widest = nullptr; // the object so far that reaches farthest
    for (Slot* s = first(island); s != nullptr; s = Slots::next(*s)) {
        if (!is_memory(*s) || !is_object(*s)) continue;
        const bool derived = s->kind == Kind::endpoint || s->kind == Kind::doorbell;
        if (derived || s->has(kernel::flag::borrowed)) continue;
        if (widest != nullptr && widest->end() > s->base && !kernel::same_object(*widest, *s))
            broken(island.index, "two live objects overlap", *s);
        if (widest == nullptr || s->end() > widest->end()) widest = s;
    }
}

const kernel::PageTable& table_at(const Island& island, uint64_t physical) {
    const uintptr_t window = std::bit_cast<uintptr_t>(island.machine.window());
    return *std::bit_cast<const kernel::PageTable*>(window + physical);
}

/// Does somebody on this core hold a capability to what the mapping shows?
bool has_source(Island& island, const Slot& mapping) {
    const auto& database = island.core.database();
    Slot* at = database.overlap(mapping.base, mapping.end());
    for (; at != nullptr; at = database.overlap_after(*at, mapping.base, mapping.end())) {
        const bool source = at->kind == Kind::frame || at->kind == Kind::device_frame ||
                            abi::table_level(at->kind) != 0;
        if (source && at->contains(mapping)) return true;
    }
    return false;
}

/// Every entry has its mapping, every mapping its entries and its capability.
void check_mappings(Island& island) {
    for (Slot* s = first(island); s != nullptr; s = Slots::next(*s)) {
        if (s->kind == Kind::mapping) {
            const auto& table = table_at(island, s->extra);
            for (uint32_t i = 0; i < s->entry_count(); ++i) {
                const uint64_t entry = table.entry[s->entry + i];
                const bool present = (entry & kernel::pte::present) != 0;
                if (!present || table.owner[s->entry + i] != s)
                    broken(island.index, "a mapping without its entry", *s);
                if (s->has(kernel::flag::maps_table)) continue;
                const bool writable = (entry & kernel::pte::writable) != 0;
                if (writable && !s->rights.has(abi::write))
                    broken(island.index, "an entry allows more than its mapping", *s);
            }
            if (!has_source(island, *s)) broken(island.index, "a mapping without a capability", *s);
        }
        if (abi::table_level(s->kind) == 0) continue;
        const auto& table = table_at(island, s->base);
        const size_t own =
            s->kind == Kind::address_space ? kernel::user_root_entries : kernel::table_entries;
        for (size_t i = 0; i < own; ++i) {
            if ((table.entry[i] & kernel::pte::present) == 0) continue;
            const Slot& owner = *table.owner[i];
            if (owner.kind != Kind::mapping || owner.extra != s->base)
                broken(island.index, "a page-table entry without mapping", *s);
        }
    }
}

void check_rights(World& world) {
    for (Domain& domain : world.domains()) {
        if (domain.life != Domain::Life::alive) continue;
        for (unsigned i = Actor::first_free; i < domain.actor.leafs * abi::cnode_slots; ++i) {
            const Slot& s = domain.actor.at({{i}});
            if (s.kind == Kind::frame && !domain.may_have(s))
                broken(domain.island().index, "a right has grown", s);
        }
    }
}

} // namespace

void check_always(World& world) {
    for (unsigned core = 0; core < world.cores(); ++core) {
        Island& island = world.island(core);
        check_database(world, island);
        check_overlaps(island);
        check_mappings(island);
        world.tally.most_slots =
            std::max<uint64_t>(world.tally.most_slots, island.core.database().count());
    }
    check_rights(world);
}

void check_at_rest(World& world) {
    check_always(world);
    for (unsigned i = 0; i < world.cores() * blocks_per_core; ++i)
        if (world.ownership().owner[i] == Ownership::nobody)
            throw Broken{"a block of RAM that nobody owns"};
    for (Domain& domain : world.domains()) {
        const bool lives = domain.life == Domain::Life::alive;
        if (!lives && domain.life != Domain::Life::dead && domain.life != Domain::Life::unborn)
            throw Broken{"a domain never comes to its end"};
        const char* const what = lives ? domain.waits_for() : nullptr;
        if (what != nullptr)
            throw Broken{
                "domain d" + std::to_string(domain.number) + " waits for ever for " + what
            };
    }
    for (unsigned core = 0; core < world.cores(); ++core) {
        const auto& counters = world.island(core).monitor.counters();
        if (counters.bad_messages != 0) throw Broken{"a monitor got a message it did not expect"};
        if (counters.lost_words != 0) throw Broken{"a monitor lost something it had to say"};
    }
}

void check_nothing_is_left(World&) {}

} // namespace sim
