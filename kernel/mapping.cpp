// Page-table edits. Every present entry has a Mapping slot that made it and that removes it.
#include "kernel/mapping.hpp"

#include <algorithm>

namespace kernel {

namespace {

constexpr uint32_t flush_singly = 16; // more pages than this: the whole TLB

std::span<uint64_t> entries_of(PageTable& table, const Slot& mapping) {
    return run_of(table.entry.data(), mapping.entry, mapping.entry_count());
}

} // namespace

Result<> Core::check_table(const Slot& table, Slot& source, const MapRequest& request) const {
    if (abi::table_level(source.kind) + 1 != abi::table_level(table.kind)) {
        return fail(Err::cap_type);
    }
    if (!source.rights.has(abi::write)) return fail(Err::cap_rights);
    if (request.count != 1 || request.offset != 0 || request.flags != 0) {
        return fail(Err::bad_argument);
    }
    // a table hangs in one place, so the tables of a space are a tree
    if (database_.mapping_of(source) != nullptr) return fail(Err::range_in_use);
    return {};
}

Result<> Core::map(Slot& table, Slot& source, const MapRequest& request, Slot& into) {
    const unsigned level = abi::table_level(table.kind);
    if (level == 0) return fail(Err::bad_operation);
    if (!table.rights.has(abi::write)) return fail(Err::cap_rights);
    if (source.empty()) return fail(Err::cap_empty);
    if (!into.empty()) return fail(Err::slot_occupied);
    if (source.kind == Kind::frame || source.kind == Kind::device_frame)
        return map_memory(table, level, source, request, into);
    if (abi::table_level(source.kind) == 0) return fail(Err::cap_type);
    TRY_VOID(check_entries(table, *at<PageTable>(table.base), request));
    TRY_VOID(check_table(table, source, request));
    if (database_.revoking(source) || database_.revoking(table)) return fail(Err::revoking);
    make_mapping(table, level, source, request, false, into);
    return {};
}

/// The mapping has moved: its entries find it in the new place.
void Core::adopt(Slot& mapping) {
    auto& owners = at<PageTable>(mapping.table)->owner;
    std::ranges::fill(run_of(owners.data(), mapping.entry, mapping.entry_count()), &mapping);
}

void Core::unmap(Slot& mapping) {
#pragma clang loop unroll_count(8)
    for (uint64_t& entry : entries_of(*at<PageTable>(mapping.table), mapping))
        entry = 0;
    flush(mapping);
    if (!mapping.has(flag::maps_table)) return;
    for (KnownPlace& known : known_places_)
        known.table = 0;
}

Result<> Core::protect(Slot& mapping, Rights rights) {
    if (mapping.kind != Kind::mapping) return fail(Err::bad_operation);
    if (mapping.has(flag::maps_table)) return fail(Err::cap_type);
    TRY_VOID(check_protection(rights, mapping.rights));
    if (database_.revoking(mapping)) return fail(Err::revoking);

    constexpr uint64_t protection = pte::writable | pte::no_execute;
    const uint64_t wanted = protection_bits(rights);
    for (uint64_t& entry : entries_of(*at<PageTable>(mapping.table), mapping))
        entry = (entry & ~protection) | wanted;
    flush(mapping);
    return {};
}

Result<Core::Touched> Core::touched(const Slot& mapping) const {
    if (mapping.kind != Kind::mapping) return fail(Err::bad_operation);
    uint64_t any = 0;
    for (const uint64_t entry : entries_of(*at<PageTable>(mapping.table), mapping))
        any |= entry;
    // an entry for a table has no dirty bit
    const bool memory = !mapping.has(flag::maps_table);
    return Touched{(any & pte::accessed) != 0, memory && (any & pte::dirty) != 0};
}

/// Which address space a table is in, and where in it; nothing while one above hangs nowhere.
std::optional<Core::Place> Core::place_of_table(uint64_t table, unsigned level) const {
    uint64_t address = 0;
    while (level < 4) {
        const Slot* const hook = database_.mapping_of_table(table);
        if (hook == nullptr) return std::nullopt;
        table = hook->table;
        level = hook->level;
        address += hook->entry * entry_bytes(level);
    }
    return Place{phys(table), virt(address)};
}

std::optional<Core::Place> Core::place_of(const Slot& mapping) {
    KnownPlace& known = known_place(mapping.table);
    if (known.table != mapping.table) {
        const auto found = place_of_table(mapping.table, mapping.level);
        if (!found) return std::nullopt;
        known = {mapping.table, *found};
    }
    const Place& table = known.place;
    return Place{table.root, table.address + mapping.entry * entry_bytes(mapping.level)};
}

/// At once in the address space that is loaded. What the TLB may hold of another goes when that is
/// loaded again; of what hangs nowhere everything went when it was unhooked.
void Core::flush(const Slot& mapping) {
    const auto place = place_of(mapping);
    if (!place) return;
    if (current_ == nullptr || place->root != current_->root) {
        tlb_.changed(place->root);
        return;
    }
    const uint32_t count = mapping.entry_count();
    if (mapping.has(flag::maps_table) || count > flush_singly) {
        machine_.flush_all();
        return;
    }
    const uint64_t apart = entry_bytes(mapping.level);
    VirtAddr page = place->address;
    for (uint32_t i = 0; i < count; ++i, page = page + apart)
        machine_.flush_page(page);
}

} // namespace kernel
