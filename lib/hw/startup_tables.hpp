// The page tables that a core starts on, before its CPU driver has built its own: the image's
// 2 MiB block at the address it is linked to, and the low 2 MiB where the code that switches to
// them runs. Filled by the boot program for core 0, by core boot for every other core.
// Source: Intel SDM vol. 3A, 4.5 (4-level paging).
#pragma once

#include <array>
#include <cstdint>

#include "lib/base/invariant.hpp"
#include "lib/base/strong.hpp"

namespace hw {

/// Where the CPU driver is linked; its first byte is its entry.
constexpr VirtAddr cpu_driver_image = virt(0xffff'ffff'8000'0000);

/// Five tables on consecutive pages, the root first.
struct StartupTables {
    using Table = std::array<uint64_t, 512>;
    Table root;
    Table low_pointers, low_directory;
    Table high_pointers, high_directory;
};

static_assert(sizeof(StartupTables) == 5 * page_bytes);

/// Fills `tables`, which will be read by the core at physical address `at`. Everything is writable
/// and executable: the CPU driver replaces these tables before it lets anybody else run.
///   at      page-aligned, below 4 GiB: the core loads CR3 in real mode
///   block   2 MiB-aligned
constexpr void fill(StartupTables& tables, PhysAddr at, PhysAddr block) {
    INVARIANT(at.aligned(page_bytes) && at.raw < uint64_t{1} << 32, "CR3 is loaded in real mode");
    INVARIANT(block.aligned(large_page_bytes), "the image is mapped by one large page");
    constexpr uint64_t table = 3;         // present, writable
    constexpr uint64_t large_page = 0x83; // the same, and a 2 MiB page
    constexpr auto index = [](unsigned level) {
        return cpu_driver_image.raw >> (12 + 9 * (level - 1)) & 511;
    };
    const auto page = [&](unsigned number) { return (at + number * page_bytes).raw | table; };
    tables = {};
    tables.root[0] = page(1);
    tables.low_pointers[0] = page(2);
    tables.low_directory[0] = large_page;
    tables.root[index(4)] = page(3);
    tables.high_pointers[index(3)] = page(4);
    tables.high_directory[index(2)] = block.raw | large_page;
}

} // namespace hw
