// Deleting and revoking, in bounded steps. What an object contains goes before its last capability:
// a frame's mappings, a table's entries, a CNode's slots, a dispatcher's endpoints and what it
// holds. So removal follows a chain of last capabilities from a slot to one that can go at once.
#include <utility>

#include "kernel/core.hpp"

namespace kernel {

namespace {

constexpr unsigned steps_a_call = 32;
constexpr unsigned chain_limit = 16;
constexpr unsigned visits_a_call = 1024;

bool lies_in(const void* what, const void* memory, uint64_t bytes) {
    return std::bit_cast<uintptr_t>(what) - std::bit_cast<uintptr_t>(memory) < bytes;
}

} // namespace

/// What must be removed before `slot` can be, or nullptr. `start`, where this removal began, never
/// stands in its own way.
Result<Slot*> Core::blocker(Slot& slot, const Slot& start) {
    const bool container = slot.kind == Kind::cnode || slot.kind == Kind::dispatcher ||
                           slot.kind == Kind::frame || slot.kind == Kind::device_frame ||
                           abi::table_level(slot.kind) != 0;
    if (slot.kind == Kind::loan && slot.has(flag::given)) return fail(Err::lent);
    if (!container || !database_.is_last(slot)) return nullptr;
    if (slot.kind == Kind::frame || slot.kind == Kind::device_frame) return blocker_of_memory(slot);
    if (slot.kind == Kind::dispatcher) return blocker_of_dispatcher(slot, start);
    if (slot.kind != Kind::cnode) return blocker_of_table(slot);
    for (Slot& inner : cnode(slot).slot) {
        if (!inner.empty() && &inner != &start) return &inner;
    }
    return nullptr;
}

Result<Slot*> Core::blocker_of_memory(Slot& slot) const {
    Slot* below = database_.descendant(slot);
    for (unsigned visits = 0; below != nullptr; ++visits) {
        const bool own = below->depth == slot.depth + 1;
        if (own && below->kind == Kind::loan) return fail(Err::lent);
        if (own && below->kind == Kind::mapping) return below;
        // only device frames have parts that outlive them, and init alone has many of those
        if (visits == visits_a_call) return fail(Err::range_in_use);
        below = database_.descendant_after(slot, *below);
    }
    return nullptr;
}

Slot* Core::blocker_of_table(Slot& table) const {
    if (Slot* const hook = database_.mapping_of_table(table.base); hook != nullptr) return hook;
    const PageTable& page = *at<PageTable>(table.base);
    const uint32_t own = table.kind == Kind::address_space ? user_root_entries : table_entries;
    for (uint32_t i = 0; i < own; ++i) {
        if ((page.entry[i] & pte::present) != 0) return page.owner[i];
    }
    return nullptr;
}

Slot* Core::blocker_of_dispatcher(Slot& slot, const Slot& start) {
    Dispatcher& d = dispatcher(slot);
    unconfigure(d);
    if (Slot* const below = database_.descendant(slot); below != nullptr) return below;
    for (Slot& held : d.held) {
        if (!held.empty() && &held != &start) return &held;
    }
    return nullptr;
}

/// The end of the chain that begins at `start`. A chain of last capabilities can only come back to
/// `start` itself: every CNode in it has one capability, and every capability lies in one CNode.
Result<Slot*> Core::deepest(Slot& start) {
    Slot* at = &start;
    for (unsigned length = 0;; ++length) {
        Slot* const next = TRY(blocker(*at, start));
        if (next == nullptr) return at;
        at = next;
        if (length == chain_limit) {
            // Too long to walk every time: `start` takes the far end, and the near part hangs in
            // a ring of its own, where the revoke of its memory finds it.
            const bool both = at->kind == Kind::cnode || at->kind == Kind::dispatcher;
            if (!both || TRY(blocker(*at, start)) == nullptr) continue;
            Slot aside{};
            database_.relocate(start, aside);
            database_.relocate(*at, start);
            database_.relocate(aside, *at);
            at = &start;
            length = 0;
        }
    }
}

/// Removes `victim`, the end of the chain from `start`; is `start` done with?
bool Core::dispose_for(Slot& start, Slot& victim) {
    const bool contains_start = (victim.kind == Kind::cnode || victim.kind == Kind::dispatcher) &&
                                &victim != &start && database_.is_last(victim) &&
                                lies_in(&start, at<std::byte>(victim.base), victim.bytes);
    const bool done = &victim == &start || contains_start;
    dispose(victim);
    // A ring, with nothing else left in this CNode: what `start` held hangs one place further, so
    // that no capability is left in memory that nobody has a capability to.
    if (contains_start) database_.relocate(start, victim);
    return done;
}

void Core::dispose(Slot& victim) {
    if (victim.kind == Kind::mapping) {
        unmap(victim);
    } else if (victim.kind == Kind::loan) {
        --loans_;
    } else if (victim.kind == Kind::interrupt && database_.is_last(victim)) {
        mask_lines(victim);
    } else if (victim.kind == Kind::dispatcher && database_.is_last(victim)) {
        destroy(dispatcher(victim));
    }
    if (victim.has(flag::held)) {
        // a held slot is in the first page of its dispatcher
        const auto page = round_down(std::bit_cast<uintptr_t>(&victim), page_bytes);
        auto* const d = std::bit_cast<Dispatcher*>(page);
        if (&victim != &d->held[hold::fault_bell]) unconfigure(*d);
    }
    const bool of_frame = victim.kind == Kind::frame || victim.kind == Kind::mapping;
    const bool watched = of_frame && victim.has(flag::borrowed) && !victim.has(flag::keeper);
    const uint64_t base = victim.base;
    database_.erase(victim);
    if (watched) note_removed(base);
}

Result<> Core::remove(Slot& slot) {
    if (slot.empty()) return fail(Err::cap_empty);
    for (unsigned step = 0; step < steps_a_call; ++step) {
        Slot* const victim = TRY(deepest(slot));
        if (dispose_for(slot, *victim)) return {};
    }
    return fail(Err::again);
}

/// Removes one descendant or copy of `slot`; false: there is none left.
Result<bool> Core::revoke_one(Slot& slot) {
    bool lent = false;
    Slot* below = database_.descendant(slot);
    for (unsigned visits = 0; below != nullptr && visits < visits_a_call; ++visits) {
        if (below->kind != Kind::loan) {
            const auto victim = deepest(*below);
            if (victim) {
                (void)dispose_for(*below, **victim);
                return true;
            }
        }
        lent = true;
        below = database_.descendant_after(slot, *below);
    }
    if (Slot* const copy = database_.copy_of(slot); copy != nullptr) {
        dispose(*copy);
        return true;
    }
    if (lent) return fail(Err::lent);
    return false;
}

Result<> Core::revoke(Slot& slot) {
    if (slot.empty()) return fail(Err::cap_empty);
    database_.mark(slot);
    for (unsigned step = 0; step < steps_a_call; ++step) {
        const auto removed = revoke_one(slot);
        if (removed && *removed) {
            if (slot.empty()) return {}; // it lay in what it revoked
            continue;
        }
        database_.unmark(slot);
        return removed ? Result<>{} : fail(removed.error());
    }
    return fail(Err::again);
}

} // namespace kernel
