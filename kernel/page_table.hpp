// Page-table entries, and the 8 KiB object that holds 512 of them: the page that the hardware
// walks, and beside it for every present entry the Mapping slot that made it.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernel/slot.hpp"
#include "lib/abi/invocation.hpp"
#include "lib/base/result.hpp"

namespace kernel {

constexpr uint32_t table_entries = 512;
/// Level 4: the kernel's half starts at 256. Entry 255 stays empty, because SYSCALL in the last
/// bytes of the user half would leave a return address that is not canonical (AMD APM 3, SYSRET).
constexpr uint32_t user_root_entries = 255;

struct PageTable {
    using Entries = std::array<uint64_t, table_entries>;

    Entries entry;
    std::array<Slot*, table_entries> owner; // valid where the entry is present
};

static_assert(sizeof(PageTable) == abi::bytes_of(Kind::page_table));

/// The run of `count` of them that begins at number `first`, and ends in the table.
template <class T>
[[gnu::always_inline]] constexpr std::span<T> run_of(T* all, uint32_t first, uint32_t count) {
    return {all + first, count};
}

/// Bits of an entry (Intel SDM 3A 4.5).
namespace pte {
constexpr uint64_t present = 1, writable = 2, user = 4, write_through = 8, cache_disable = 16;
constexpr uint64_t accessed = 1 << 5, dirty = 1 << 6; // set by the hardware
constexpr uint64_t large = 1 << 7;
constexpr uint64_t no_execute = uint64_t{1} << 63;
constexpr uint64_t address = 0x000f'ffff'ffff'f000;
constexpr uint64_t flags = ~address;
} // namespace pte

/// Bytes that one entry of a table of this level covers.
constexpr uint64_t entry_bytes(unsigned level) {
    return uint64_t{1} << (12 + 9 * (level - 1));
}

/// Memory type of a mapping. Write combining is PAT entry 1: the CPU driver programs it so.
constexpr uint64_t memory_type_bits(abi::MapFlags type) {
    if (type == abi::MapFlags::uncached) return pte::write_through | pte::cache_disable;
    if (type == abi::MapFlags::write_combining) return pte::write_through;
    return 0;
}

constexpr uint64_t protection_bits(Rights rights) {
    return (rights.has(abi::write) ? pte::writable : 0) |
           (rights.has(abi::execute) ? 0 : pte::no_execute);
}

/// An entry for memory. Rights were checked by `check_protection`.
constexpr uint64_t leaf_entry(uint64_t base, Rights rights, abi::MapFlags type, unsigned level) {
    return base | pte::present | pte::user | protection_bits(rights) | memory_type_bits(type) |
           (level > 1 ? pte::large : 0);
}

/// An entry for the next table: the last level alone restricts.
constexpr uint64_t table_entry(uint64_t base) {
    return base | pte::present | pte::user | pte::writable;
}

/// Readable, never both writable and executable, and no more than is `allowed`.
constexpr Result<> check_protection(Rights wanted, Rights allowed) {
    if (!wanted.has(abi::read)) return fail(Err::bad_argument);
    if (wanted.has(abi::write | abi::execute)) return fail(Err::bad_argument);
    if (!allowed.has(wanted)) return fail(Err::cap_rights);
    return {};
}

} // namespace kernel
