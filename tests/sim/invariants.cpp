#include "tests/sim/invariants.hpp"

#include <algorithm>

#include "tests/sim/world.hpp"

namespace sim {

namespace {

using kernel::Slot;

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
    return island.core.database().first();
}

Slot* alive_first(World& world, unsigned core) {
    return world.island(core).dead ? nullptr : first(world.island(core));
}

/// Does a Loan stand for this block, that was given to another core?
bool is_given(Island& island, unsigned block) {
    const uint64_t begin = ram_base + uint64_t{block} * large_page_bytes;
    const auto& database = island.core.database();
    Slot* at = database.overlap(begin, begin + large_page_bytes);
    for (; at != nullptr; at = database.overlap_after(*at, begin, begin + large_page_bytes)) {
        const bool given = at->kind == Kind::loan && at->has(kernel::flag::given);
        if (given && at->base <= begin && at->end() >= begin + large_page_bytes) return true;
    }
    return false;
}

/// What is said to be this core's is, and what is not is marked so.
void check_whose(World& world, Island& island, const Slot& s) {
    const bool borrowed = s.has(kernel::flag::borrowed);
    if (s.kind == Kind::loan && s.has(kernel::flag::given)) return;
    for (unsigned block = block_of(s.base); block <= block_of(s.end() - 1); ++block) {
        const bool own = world.ownership().owner[block] == island.index;
        if (own && borrowed) broken(island.index, "own memory counts as borrowed", s);
        if (own || borrowed) continue;
        const bool gap = s.kind == Kind::ram && is_given(island, block);
        if (!gap) broken(island.index, "a capability to memory of another core", s);
    }
}

/// The tree is what its rules say, and everything in it lies where this core may look.
void check_database(World& world, Island& island) {
    const auto& database = island.core.database();
    size_t count = 0;
    const Slot* before = nullptr;
    for (Slot* s = first(island); s != nullptr; s = kernel::Database::next(*s)) {
        ++count;
        if (s->empty()) broken(island.index, "an empty slot in the database", *s);
        const bool in_order = before == nullptr || before->base <= s->base;
        if (s->in_tree() && !in_order) broken(island.index, "the database is out of order", *s);
        if (s->in_tree()) before = s;
        if (is_memory(*s)) check_whose(world, island, *s);
    }
    if (count != database.count()) throw Broken{"the database miscounts"};
}

/// Objects over the same bytes are copies of one, or one is made from the other.
void check_overlaps(Island& island) {
    const Slot* widest = nullptr; // the object so far that reaches farthest
    for (Slot* s = first(island); s != nullptr; s = kernel::Database::next(*s)) {
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
    for (Slot* s = first(island); s != nullptr; s = kernel::Database::next(*s)) {
        if (s->kind == Kind::mapping) {
            const auto& table = table_at(island, s->table);
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
            if (owner.kind != Kind::mapping || owner.table != s->base)
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
                broken(
                    domain.island().index,
                    ("d" + std::to_string(domain.number) + ": a right has grown").c_str(),
                    s
                );
        }
    }
}

} // namespace

void check_nothing_over(
    World& world, uint64_t base, uint64_t bytes, const Slot* own, const char* after
) {
    const uint64_t end = base + bytes;
    for (unsigned core = 0; core < world.cores(); ++core) {
        if (world.island(core).dead) continue;
        // of what is another core's, a revoke here takes only what is here
        if (own != nullptr && own->has(kernel::flag::borrowed)) return;
        const auto& database = world.island(core).core.database();
        Slot* at = database.overlap(base, end);
        for (; at != nullptr; at = database.overlap_after(*at, base, end)) {
            if (at == own && database.mapping_of(*at) == nullptr) continue;
            const bool around =
                at->base <= base && at->end() >= end && (own == nullptr || at->depth < own->depth);
            const bool given = at->kind == Kind::loan && at->has(kernel::flag::given);
            if ((around && at->kind == Kind::ram) || given) continue;
            const std::string what = std::string{after} + " has left something behind";
            broken(core, what.c_str(), *at);
        }
    }
}

void check_names(Island& island, uint32_t badge) {
    for (const monitor::NameTable::Entry& entry : island.monitor.names().entries())
        if (entry.present && entry.home == island.monitor.self() && entry.owner == badge)
            throw Broken{"a dead domain still has its name"};
}

void check_dead(World& world, Domain& dead) {
    check_nothing_over(world, dead.ram_base_address, quota_bytes, nullptr, "a dead domain");
    check_names(dead.island(), dead.badge);
}

void check_always(World& world) {
    for (unsigned core = 0; core < world.cores(); ++core) {
        if (world.island(core).dead) continue;
        Island& island = world.island(core);
        check_database(world, island);
        check_overlaps(island);
        check_mappings(island);
        world.tally.most_slots =
            std::max<uint64_t>(world.tally.most_slots, island.core.database().count());
    }
    check_rights(world);
    for (const Team& team : world.teams())
        team.check();
}

namespace {

/// RAM of every block lies with one core, and what that core's kernel believes is what is so.
void check_ownership(World& world) {
    for (unsigned i = 0; i < world.cores() * blocks_per_core; ++i)
        if (world.ownership().owner[i] == Ownership::nobody)
            throw Broken{"a block of RAM that nobody owns: " + std::to_string(i)};
    for (unsigned core = 0; core < world.cores(); ++core) {
        if (world.island(core).dead) continue;
        uint64_t blocks = 0;
        for (const uint8_t owner : world.ownership().owner)
            blocks += owner == core;
        // the kernel's own block is no capability's
        const uint64_t says = world.island(core).core.statistics().bytes_owned;
        if (says != (blocks - 1) * large_page_bytes)
            throw Broken{"a kernel is wrong about how much RAM it owns"};
    }
}

/// All monitors agree on whose each block is and how each core is, and it is so.
void check_agreement(World& world) {
    for (unsigned core = 0; core < world.cores(); ++core) {
        if (world.island(core).dead) continue;
        const monitor::Monitor& monitor = world.island(core).monitor;
        for (unsigned i = 0; i < world.cores() * blocks_per_core; ++i) {
            const auto owner = monitor.owners().owner_of(
                {ram_base + uint64_t{i} * large_page_bytes, large_page_bytes}
            );
            if (!owner || owner->raw != world.ownership().owner[i])
                throw Broken{
                    "core " + std::to_string(core) + " is wrong about who owns block " +
                    std::to_string(i)
                };
        }
        for (unsigned other = 0; other < world.cores(); ++other) {
            const auto state = monitor.cores()[core_id(other)].state;
            const bool dead = world.island(other).dead;
            if (dead ? !monitor::is_over(state) : state != monitor::CoreState::up)
                throw Broken{
                    "core " + std::to_string(core) + " is wrong about core " + std::to_string(other)
                };
        }
    }
}

/// Nothing is being revoked, so nothing is marked.
void check_marks(World& world) {
    for (unsigned core = 0; core < world.cores(); ++core)
        for (Slot* s = alive_first(world, core); s != nullptr; s = kernel::Database::next(*s))
            if (s->has(kernel::flag::marked))
                broken(core, "still marked, though nothing is being revoked", *s);
}

/// The Lent of this number at its owner, if it is of that range and that borrower.
bool is_on_record(World& world, unsigned borrower, uint64_t owner, const Slot& cap) {
    if (owner >= world.cores() || world.island(static_cast<unsigned>(owner)).dead) return false;
    bool found = false;
    world.island(static_cast<unsigned>(owner)).monitor.lents().each([&](monitor::Lent& lent) {
        const bool of_it = lent.loan != nullptr && lent.core.raw == borrower &&
                           lent.loan->range.contains({cap.base, cap.bytes});
        found |= of_it;
    });
    return found;
}

/// What a core has of others is on record with the owner, and the other way round.
void check_loans(World& world) {
    for (unsigned core = 0; core < world.cores(); ++core) {
        if (world.island(core).dead) continue;
        Island& island = world.island(core);
        for (Slot* s = first(island); s != nullptr; s = kernel::Database::next(*s)) {
            const bool lent = s->kind == Kind::frame && s->has(kernel::flag::borrowed);
            if (lent && !is_on_record(world, core, s->tag(), *s))
                broken(core, "borrowed, and its owner does not know", *s);
        }
        size_t in_kernel = 0;
        for (Slot* s = first(island); s != nullptr; s = kernel::Database::next(*s))
            in_kernel += s->kind == Kind::loan && !s->has(kernel::flag::given);
        if (in_kernel != island.monitor.loans().count())
            throw Broken{
                "core " + std::to_string(core) + ": the kernel has " + std::to_string(in_kernel) +
                " loans, the monitor " + std::to_string(island.monitor.loans().count())
            };
        island.monitor.lents().each([&](monitor::Lent& lent) {
            // to itself: for a device of this core
            if (lent.loan == nullptr || lent.core.raw == core) return;
            if (world.island(lent.core.raw).dead)
                throw Broken{
                    "core " + std::to_string(core) +
                    " believes that something is lent to a dead one"
                };
            const monitor::Range range = lent.loan->range;
            const auto& there = world.island(lent.core.raw).core.database();
            Slot* at = there.overlap(range.base, range.base + range.bytes);
            bool used = false;
            for (; at != nullptr; at = there.overlap_after(*at, range.base, range.base + 1)) {
                const bool same = at->base == range.base && at->bytes == range.bytes;
                const bool frame = same && at->kind == Kind::frame;
                used |= frame && at->has(kernel::flag::borrowed);
            }
            if (!used)
                throw Broken{
                    "core " + std::to_string(core) + " believes that core " +
                    std::to_string(lent.core.raw) + " has what it does not have"
                };
        });
    }
}

void check_waiting(World& world) {
    for (Domain& domain : world.domains()) {
        const bool lives = domain.life == Domain::Life::alive;
        const char* const what = lives ? domain.waits_for() : nullptr;
        if (what != nullptr) {
            std::string ends;
            for (const End& end : domain.ends)
                if (end.state == End::State::asked || end.state == End::State::incoming)
                    ends += " " + std::to_string(end.number);
            throw Broken{
                "domain d" + std::to_string(domain.number) + " waits for ever for " + what + ends
            };
        }
        if (!lives && domain.life != Domain::Life::dead && domain.life != Domain::Life::unborn)
            throw Broken{"domain d" + std::to_string(domain.number) + " never comes to its end"};
    }
    for (unsigned core = 0; core < world.cores(); ++core) {
        if (world.island(core).dead) continue;
        // what a lost core was handed, or was to hand, is the one's who took it over
        const bool whole = world.tally.lost + world.tally.suspected + world.tally.left == 0;
        if (whole && world.memory(core).expects_blocks())
            throw Broken{"RAM that was handed never arrives"};
        if (world.island(core).monitor.revocations().count() != 0)
            throw Broken{"a revocation never ends"};
    }
}

} // namespace

void check_at_rest(World& world) {
    check_always(world);
    check_waiting(world);
    check_ownership(world);
    check_agreement(world);
    check_loans(world);
    check_marks(world);
    for (unsigned core = 0; core < world.cores(); ++core) {
        if (world.island(core).dead) continue;
        const auto& counters = world.island(core).monitor.counters();
        if (counters.bad_messages != 0) throw Broken{"a monitor got a message it did not expect"};
        if (counters.lost_words != 0) throw Broken{"a monitor lost something it had to say"};
    }
}

void check_nothing_is_left(World& world) {
    for (unsigned core = 0; core < world.cores(); ++core) {
        if (world.island(core).dead) continue;
        monitor::Monitor& monitor = world.island(core).monitor;
        if (world.memory(core).used_chunks() != 0) throw Broken{"memory of the dead is not free"};
        using Entry = monitor::NameTable::Entry;
        if (std::ranges::any_of(monitor.names().entries(), &Entry::present))
            throw Broken{"a name of the dead is left"};
        if (monitor.parcels().count() != 0) throw Broken{"a capability waits for the dead"};
        if (monitor.relents().count() != 0 || monitor.words().count() != 0)
            throw Broken{"a monitor still has something to say"};
        // what is lent are the channels between the monitors
        size_t links = 0;
        for (unsigned peer = 0; peer < world.cores(); ++peer)
            links += world.island(core).links.end(peer).open;
        size_t in_use = 0;
        monitor.lents().each([&](monitor::Lent& lent) { in_use += lent.loan != nullptr; });
        in_use += monitor.borrows().count();
        if (in_use > links) throw Broken{"something of the dead is still lent"};
    }
}

} // namespace sim
