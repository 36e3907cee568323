// Finding slots, and making capabilities from capabilities: copy, move, retype, derive.
#include <algorithm>
#include <new>

#include "kernel/core.hpp"
#include "lib/abi/startup.hpp"

namespace kernel {

namespace {

bool is_one_of_memory(Kind k) {
    return k == Kind::ram || k == Kind::frame;
}

/// Which kinds come from which, and in which unit (0: not allowed).
uint64_t retype_unit(Kind from, Kind to) {
    if (from == Kind::ram) return is_one_of_memory(to) ? page_bytes : abi::bytes_of(to);
    if (from != to) return 0;
    if (from == Kind::device_frame) return page_bytes;
    const bool counted = from == Kind::interrupt || from == Kind::io_port || from == Kind::core;
    return counted ? 1 : 0;
}

Result<> check_range(const Slot& source, uint64_t offset, uint64_t bytes, uint64_t count) {
    uint64_t total = 0;
    uint64_t end = 0;
    if (__builtin_mul_overflow(bytes, count, &total)) return fail(Err::overflow);
    if (__builtin_add_overflow(offset, total, &end)) return fail(Err::overflow);
    if (end > source.bytes) return fail(Err::range_bounds);
    return {};
}

Result<> check_sizes(const Slot& source, Kind kind, uint64_t offset, uint64_t bytes, size_t count) {
    const uint64_t unit = retype_unit(source.kind, kind);
    if (unit == 0) return fail(Err::cap_type);
    if (bytes == 0 || count == 0 || count > abi::retype_most) return fail(Err::bad_argument);
    const uint64_t object = abi::bytes_of(kind);
    if (object != 0 && (bytes != object || count != 1)) return fail(Err::bad_argument);
    const uint64_t alignment = unit < page_bytes ? unit : page_bytes;
    if (offset % alignment != 0 || bytes % alignment != 0) return fail(Err::misaligned);
    return check_range(source, offset, bytes, count);
}

} // namespace

Fault Core::why_not(const Dispatcher& d, uint64_t slot) const {
    const uint64_t leaf = slot / abi::cnode_slots;
    if (leaf >= abi::cnode_slots) return Err::cap_invalid;
    return d.cspace->slot[leaf].kind == Kind::cnode ? Err::cap_empty : Err::cap_invalid;
}

Fault Core::why_no_place(const Slot& in, uint64_t index) {
    if (in.kind != Kind::cnode) return Err::cap_type;
    if (!in.rights.has(abi::write)) return Err::cap_rights;
    return index >= abi::cnode_slots ? Err::bad_argument : Err::slot_occupied;
}

Result<Slot*> Core::find_changeable(const Dispatcher& d, uint64_t slot) const {
    Slot* const found = TRY(find(d, slot));
    if (!d.cspace->slot[slot / abi::cnode_slots].rights.has(abi::write)) {
        return fail(Err::cap_rights);
    }
    return found;
}

Result<> Core::insert_root(Slot& into, const Root& root) {
    if (!into.empty()) return fail(Err::slot_occupied);
    if (root.bytes == 0) return fail(Err::bad_argument);
    into.base = root.base;
    into.bytes = root.bytes;
    into.kind = root.kind;
    into.rights = root.rights;
    into.set_tag(root.badge);
    into.depth = root.borrowed ? borrowed_depth : 0;
    if (root.borrowed) into.flags |= flag::borrowed;
    if (root.keeper) into.flags |= flag::keeper;
    database_.insert(into);
    if (root.kind == Kind::ram) own(root.base, root.base + root.bytes);
    if (root.kind == Kind::frame && !root.borrowed) owned_.set(into.base, into.end(), true);
    return {};
}

Result<> Core::check_copy(const Slot& source, Rights rights) const {
    if (source.empty()) return fail(Err::cap_empty);
    if (source.kind == Kind::mapping || source.kind == Kind::loan) return fail(Err::cap_type);
    if (!source.rights.has(abi::copy)) return fail(Err::cap_rights);
    if (!source.rights.has(rights)) return fail(Err::cap_rights);
    if (database_.revoking(source)) return fail(Err::revoking);
    return {};
}

Result<> Core::copy(Slot& source, Slot& into, Rights rights) {
    if (!into.empty()) return fail(Err::slot_occupied);
    TRY_VOID(check_copy(source, rights));
    database_.insert_copy(source, into, rights);
    return {};
}

Result<> Core::move(Slot& source, Slot& into) {
    if (source.empty()) return fail(Err::cap_empty);
    if (!into.empty()) return fail(Err::slot_occupied);
    database_.relocate(source, into);
    if (into.kind == Kind::mapping) adopt(into);
    return {};
}

void Core::make_object(Kind kind, uint64_t base) {
    if (kind == Kind::cnode) {
        for (Slot& slot : at<CNode>(base)->slot)
            slot.clear();
    } else if (kind == Kind::dispatcher) {
        auto* const d = new (at<Dispatcher>(base)) Dispatcher{};
        d->self = phys(base);
        d->slice = default_slice;
        d->extended_fresh = true;
        d->receive_index = abi::slot::receive;
        for (Slot& slot : d->held)
            slot.flags = flag::held;
    } else if (abi::table_level(kind) != 0) {
        // the owners' page needs no zeroing: it is read only where an entry is present
        auto& entry = *new (&at<PageTable>(base)->entry) PageTable::Entries{};
        if (kind != Kind::address_space) return;
        const auto& kernel_entry = at<PageTable>(config_.kernel_root.raw)->entry;
        constexpr size_t first = table_entries / 2;
        std::copy_n(&kernel_entry[first], table_entries - first, &entry[first]);
    }
}

Result<>
Core::retype(Slot& source, Kind kind, uint64_t offset, uint64_t bytes, std::span<Slot> into) {
    if (source.empty()) return fail(Err::cap_empty);
    TRY_VOID(check_sizes(source, kind, offset, bytes, into.size()));
    if (!source.rights.has(abi::write)) return fail(Err::cap_rights);
    if (source.depth >= deepest_derivation) return fail(Err::no_space);
    for (const Slot& slot : into) {
        if (!slot.empty()) return fail(Err::slot_occupied);
    }
    const uint64_t begin = source.base + offset;
    const auto place = database_.free_place(source, begin, bytes, into.size());
    if (!place) return fail(Err::range_in_use);
    if (database_.revoking(source)) return fail(Err::revoking);

    uint64_t base = begin;
    for (Slot& slot : into) {
        make_object(kind, base);
        name_part(source, kind, base, bytes, slot);
        if (&slot == &into.front())
            database_.insert_at(*place, slot);
        else
            database_.insert_behind(*(&slot - 1), slot);
        base += bytes;
    }
    return {};
}

Result<> Core::derive(Slot& dispatcher_slot, Slot& into, Kind kind, uint64_t tag) {
    if (dispatcher_slot.kind != Kind::dispatcher) return fail(Err::cap_type);
    if (!into.empty()) return fail(Err::slot_occupied);
    if (dispatcher_slot.depth >= deepest_derivation) return fail(Err::no_space);
    if (database_.revoking(dispatcher_slot)) return fail(Err::revoking);
    into.base = dispatcher_slot.base;
    into.bytes = dispatcher_slot.bytes;
    into.kind = kind;
    into.rights = abi::write | abi::copy;
    into.depth = static_cast<uint8_t>(dispatcher_slot.depth + 1);
    into.set_tag(tag);
    database_.insert(into);
    return {};
}

Result<> Core::make_endpoint(Slot& dispatcher_slot, Slot& into, uint64_t badge) {
    if (badge >= tag_limit) return fail(Err::bad_argument);
    return derive(dispatcher_slot, into, Kind::endpoint, badge);
}

Result<> Core::make_doorbell(Slot& dispatcher_slot, Slot& into, uint64_t bit) {
    if (bit <= abi::event_remote || bit >= abi::event_timer) return fail(Err::bad_argument);
    return derive(dispatcher_slot, into, Kind::doorbell, bit);
}

} // namespace kernel
