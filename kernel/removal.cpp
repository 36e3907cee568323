// Deleting and revoking, in bounded steps. What an object contains goes before its last capability:
// a frame's mappings, a table's entries, a CNode's slots, a dispatcher's endpoints and what it
// holds. So removal follows a chain of last capabilities from a slot to one that can go at once.
#include <algorithm>
#include <utility>

#include "kernel/core.hpp"

namespace kernel {

namespace {

constexpr unsigned steps_a_call = 8;
constexpr unsigned chain_limit = 16;
constexpr unsigned looks_a_call = 128;  // then the call ends with the step that it is in
constexpr unsigned looks_a_step = 1024; // in vain; with the chain of one more, a step's most
constexpr unsigned entries_a_look = 8;  // page-table entries in a line

/// The first of `count` entries that is present, or `count`; looked for by the line.
size_t first_present(const PageTable& page, size_t count) {
    size_t i = 0;
    for (; i + entries_a_look <= count; i += entries_a_look) {
        uint64_t any = 0;
        for (size_t k = 0; k < entries_a_look; ++k)
            any |= page.entry[i + k];
        if ((any & pte::present) != 0) break;
    }
    while (i < count && (page.entry[i] & pte::present) == 0)
        ++i;
    return i;
}

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
    if (slot.kind == Kind::frame || slot.kind == Kind::device_frame) {
        return blocker_of_memory(slot, start);
    }
    if (slot.kind == Kind::dispatcher) return blocker_of_dispatcher(slot, start);
    if (slot.kind != Kind::cnode) return blocker_of_table(slot);
    for (Slot& inner : cnode(slot).slot) {
        ++looks_;
        if (!inner.empty() && &inner != &start) return &inner;
    }
    return nullptr;
}

/// The last capability to a lent frame is not deleted by itself: who does has lost track. With the
/// CNode or dispatcher it lies in it goes, and the Loan stands alone until its owner revokes it.
Result<Slot*> Core::blocker_of_memory(Slot& slot, const Slot& start) {
    if (Slot* const mapping = database_.mapping_of(slot); mapping != nullptr) return mapping;
    // parts of a device frame outlive it; what else derives from a frame is a loan
    const bool may_be_lent = slot.kind == Kind::frame && &slot == &start;
    if (may_be_lent && database_.descendant(slot) != nullptr) return fail(Err::lent);
    return nullptr;
}

Slot* Core::blocker_of_table(Slot& table) {
    if (Slot* const hook = database_.mapping_of(table); hook != nullptr) return hook;
    const PageTable& page = *at<PageTable>(table.base);
    const uint32_t own = table.kind == Kind::address_space ? user_root_entries : table_entries;
    const size_t i = first_present(page, own);
    looks_ += static_cast<unsigned>(i / entries_a_look);
    return i == own ? nullptr : page.owner[i];
}

Result<Slot*> Core::blocker_of_dispatcher(Slot& slot, const Slot& start) {
    Dispatcher& d = dispatcher(slot);
    TRY_VOID(let_go(d));
    if (Slot* const below = database_.descendant(slot); below != nullptr) return below;
    for (Slot& held : d.held) {
        if (!held.empty() && &held != &start) return &held;
    }
    return nullptr;
}

/// It stops for good; nobody waits for it any more. Err::again: too many do.
Result<> Core::let_go(Dispatcher& d) {
    unconfigure(d);
    if (!d.callers.empty()) looks_ += callers_a_call;
    return send_home(d) ? Result<>{} : fail(Err::again);
}

/// The dispatcher that cannot be without what it holds in this slot, or nullptr.
Dispatcher* Core::holder(Slot& slot) {
    if (!slot.has(flag::held)) return nullptr;
    // a held slot is in the first page of its dispatcher
    const auto page = round_down(std::bit_cast<uintptr_t>(&slot), page_bytes);
    auto* const d = std::bit_cast<Dispatcher*>(page);
    return &slot == &d->held[hold::fault_bell] ? nullptr : d;
}

/// The end of the chain that begins at `start`. A chain of last capabilities can only come back to
/// `start` itself: every CNode in it has one capability, and every capability lies in one CNode.
Result<Slot*> Core::deepest(Slot& start) {
    Slot* at = &start;
    for (unsigned length = 0;; ++length) {
        Slot* const next = TRY(blocker(*at, start));
        if (next == nullptr) {
            if (Dispatcher* const d = holder(*at); d != nullptr) TRY_VOID(let_go(*d));
            return at;
        }
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
            return fail(Err::again);
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
        looks_ += victim.entry_count() / entries_a_look;
    } else if (victim.kind == Kind::loan) {
        --loans_;
    } else if (victim.kind == Kind::interrupt && database_.is_last(victim)) {
        mask_lines(victim);
    } else if (victim.kind == Kind::dispatcher && database_.is_last(victim)) {
        destroy(dispatcher(victim));
    }
    const bool of_frame = victim.kind == Kind::frame || victim.kind == Kind::mapping;
    const bool watched = of_frame && victim.has(flag::borrowed) && !victim.has(flag::keeper);
    const uint64_t base = victim.base;
    database_.erase(victim);
    if (watched) note_removed(base);
}

/// Nothing goes before it, and nothing because of it: there is no chain to follow.
bool Core::goes_alone(Slot& slot) const {
    if (slot.flags != 0 || slot.kind == Kind::loan) return false;
    const bool contains_nothing = slot.kind == Kind::ram || slot.kind == Kind::mapping ||
                                  slot.kind == Kind::endpoint || slot.kind == Kind::doorbell;
    if (contains_nothing || !database_.is_last(slot)) return true;
    // only Loans derive from a frame
    return slot.kind == Kind::frame && (loans_ == 0 ? !slot.ring : database_.is_bare(slot));
}

Result<> Core::remove(Slot& slot) {
    if (slot.empty()) return fail(Err::cap_empty);
    looks_ = 0;
    if (goes_alone(slot)) {
        dispose(slot);
        return {};
    }
    for (unsigned step = 0; step < steps_a_call && looks_ < looks_a_call; ++step) {
        Slot* const victim = TRY(deepest(slot));
        if (dispose_for(slot, *victim)) return {};
    }
    return fail(Err::again);
}

/// Removes one mapping, descendant or copy of `slot`; false: there is none left.
Result<bool> Core::revoke_one(Slot& slot) {
    if (Slot* const mapping = database_.mapping_of(slot); mapping != nullptr) {
        dispose(*mapping);
        return true;
    }
    bool lent = false;
    const unsigned enough = looks_ + looks_a_step;
    Slot* below = database_.descendant(slot);
    for (; below != nullptr && looks_ < enough; ++looks_) {
        if (below->kind != Kind::loan) {
            const auto victim = deepest(*below);
            if (victim) {
                (void)dispose_for(*below, **victim);
                return true;
            }
            if (victim.error() == Err::again) return fail(Err::again);
        }
        lent = true;
        below = database_.descendant_after(slot, *below);
    }
    if (Slot* const copy = database_.copy_to_revoke(slot); copy != nullptr) {
        if (Dispatcher* const d = holder(*copy); d != nullptr) TRY_VOID(let_go(*d));
        dispose(*copy);
        return true;
    }
    if (lent) return fail(Err::lent);
    return false;
}

Result<> Core::revoke(Slot& slot) {
    if (slot.empty()) return fail(Err::cap_empty);
    database_.mark(slot);
    looks_ = 0;
    for (unsigned step = 0; step < steps_a_call && looks_ < looks_a_call; ++step) {
        const auto removed = revoke_one(slot);
        if (!removed && removed.error() == Err::again) break;
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
