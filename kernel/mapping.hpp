// What may be mapped where, and what a mapping is made of: the rules of `map`, each once. Inline,
// so that a call which knows that it maps one page of a frame takes the few steps that leaves.
#pragma once

#include "kernel/core.hpp"

namespace kernel {

constexpr auto large_bit = static_cast<uint64_t>(abi::MapFlags::large);

[[gnu::always_inline]] inline Result<abi::MapFlags> memory_type(uint64_t flags) {
    const uint64_t type = flags & ~large_bit;
    if (type > static_cast<uint64_t>(abi::MapFlags::write_combining)) {
        return fail(Err::bad_argument);
    }
    return static_cast<abi::MapFlags>(type);
}

[[gnu::always_inline]] inline Result<>
check_entries(const Slot& table, const PageTable& page, const MapRequest& request) {
    const uint32_t limit = table.kind == Kind::address_space ? user_root_entries : table_entries;
    if (request.count == 0 || request.count > limit) return fail(Err::bad_argument);
    if (request.entry > limit - request.count) return fail(Err::bad_argument);
    uint64_t any = 0;
#pragma clang loop unroll_count(8)
    for (const uint64_t entry : run_of(page.entry.data(), request.entry, request.count))
        any |= entry;
    if ((any & pte::present) != 0) return fail(Err::entry_occupied);
    return {};
}

[[gnu::always_inline]] inline Result<>
check_memory(unsigned level, const Slot& source, const MapRequest& request) {
    if (level == 4) return fail(Err::cap_type);
    TRY(memory_type(request.flags));
    if ((level > 1) != ((request.flags & large_bit) != 0)) return fail(Err::bad_argument);
    TRY_VOID(check_protection(request.rights, source.rights));
    const uint64_t size = entry_bytes(level);
    if (request.offset > source.bytes) return fail(Err::range_bounds);
    if ((source.base + request.offset) % size != 0) return fail(Err::misaligned);
    if (request.count * size > source.bytes - request.offset) return fail(Err::range_bounds);
    if (source.end() > (pte::address | (page_bytes - 1)) + 1) return fail(Err::range_bounds);
    return {};
}

/// Of `request.count` entries of `table`, one after the other, for what lies so many bytes apart.
[[gnu::always_inline]] inline void
Core::fill(const MapRequest& request, Slot& mapping, uint64_t first, uint64_t apart) {
    PageTable& table = *at<PageTable>(mapping.table);
    uint64_t what = first;
#pragma clang loop unroll_count(8)
    for (uint64_t& entry : run_of(table.entry.data(), request.entry, request.count)) {
        entry = what;
        what += apart;
    }
#pragma clang loop unroll_count(8)
    for (Slot*& owner : run_of(table.owner.data(), request.entry, request.count))
        owner = &mapping;
}

/// What nothing speaks against any more, of memory or of a table.
[[gnu::always_inline]] inline void Core::make_mapping(
    const Slot& table,
    unsigned level,
    Slot& source,
    const MapRequest& request,
    bool memory,
    Slot& into
) {
    into.kind = Kind::mapping;
    into.level = static_cast<uint8_t>(level);
    into.entry = static_cast<uint16_t>(request.entry);
    into.table = table.base;
    into.base = source.base + request.offset;
    into.bytes = memory ? request.count * entry_bytes(level) : source.bytes;
    into.depth = static_cast<uint8_t>(source.depth + 1);
    into.rights = source.rights & (abi::read | abi::write | abi::execute);
    const uint8_t hangs = memory ? 0 : flag::maps_table;
    into.flags = static_cast<uint8_t>(into.flags | (source.flags & flag::borrowed) | hangs);
    const auto type = static_cast<abi::MapFlags>(request.flags & ~large_bit);
    const uint64_t first =
        memory ? leaf_entry(into.base, request.rights, type, level) : table_entry(into.base);
    fill(request, into, first, entry_bytes(level));
    database_.insert_mapping(source, into);
}

/// The table may be written, `source` is memory and `into` empty.
[[gnu::always_inline]] inline Result<> Core::map_memory(
    const Slot& table, unsigned level, Slot& source, const MapRequest& request, Slot& into
) {
    TRY_VOID(check_entries(table, *at<PageTable>(table.base), request));
    TRY_VOID(check_memory(level, source, request));
    if (database_.revoking(source) || database_.revoking(table)) return fail(Err::revoking);
    make_mapping(table, level, source, request, true, into);
    return {};
}

} // namespace kernel
