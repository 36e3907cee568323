// What core boot decides, without touching anything: how much memory a core gets, where things lie
// in its first block, what its hand-over page says. The layout of a block is the boot program's
// (docs/boot.md), so that a CPU driver cannot tell who started it.
#pragma once

#include <algorithm>
#include <bit>

#include "lib/abi/boot_info.hpp"
#include "lib/base/elf.hpp"
#include "lib/hw/startup_tables.hpp"

namespace coreboot {

constexpr uint64_t smallest_share = 4 * 1024 * 1024;

/// A core's RAM, the same for each: the largest power of two that leaves core 0 a quarter and
/// more of all. Errors: no_memory (not even the smallest share each).
constexpr Result<uint64_t> share_of(uint64_t total_bytes, uint64_t cores) {
    if (cores == 0) return fail(Err::bad_argument);
    const uint64_t most = total_bytes / 4 * 3 / cores;
    if (most < smallest_share) return fail(Err::no_memory);
    return std::bit_floor(most);
}

constexpr uint64_t overlap_of(const abi::MemoryRange& a, const abi::NodeMemory& b) {
    const uint64_t begin = std::max(a.begin, b.begin), end = std::min(a.end, b.end);
    return begin < end ? end - begin : 0;
}

/// RAM of the machine that lies in that node.
constexpr uint64_t bytes_in_node(const abi::BootInfo& info, uint64_t node) {
    uint64_t sum = 0;
    for (const abi::NodeMemory& m : std::span{info.node_memory}.first(info.node_memory_count))
        for (const abi::MemoryRange& r : std::span{info.ram}.first(info.ram_count))
            if (m.node == node) sum += overlap_of(r, m);
    return sum;
}

/// How much `core` gets: of its node's memory where there are nodes, so that core 0 keeps a quarter
/// and more of its own node; else, and where a node has too little, of all memory evenly.
/// Errors: no_memory.
constexpr Result<uint64_t>
share_for(const abi::BootInfo& info, uint64_t total_bytes, uint64_t core) {
    const auto even = share_of(total_bytes, info.core_count);
    if (info.node_count == 0) return even;
    const uint64_t node = info.cores[core].node;
    uint64_t cores = 0;
    for (const abi::CoreEntry& other : std::span{info.cores}.first(info.core_count))
        cores += other.node == node ? 1 : 0;
    const uint64_t bytes = std::min(bytes_in_node(info, node), total_bytes);
    if (info.cores[0].node != node)
        return bytes / cores < smallest_share ? even : std::bit_floor(bytes / cores);
    const auto share = share_of(bytes, cores);
    return share ? share : even;
}

/// Bytes from the start of a core's first block.
struct BlockLayout {
    uint64_t tables{};    // hw::StartupTables
    uint64_t boot_info{}; // abi::BootInfo
    uint64_t file{};      // the CPU driver's ELF file: names for a backtrace
    uint64_t end{};
};

/// Errors: those of elf::Image::parse; elf_entry (not the image's first byte); no_space.
inline Result<elf::Image> check_image(Bytes file) {
    const VirtAddr begin = hw::cpu_driver_image;
    const elf::Image image = TRY(elf::Image::parse(file, {begin, begin + large_page_bytes}));
    if (image.entry() != begin) return fail(Err::elf_entry);
    return image;
}

inline Result<BlockLayout> layout_of(const elf::Image& image, uint64_t file_bytes) {
    uint64_t image_end = 0;
    for (const elf::Segment& s : image.segments())
        image_end = std::max(image_end, s.end_page() - hw::cpu_driver_image.raw);
    BlockLayout at;
    at.tables = image_end;
    at.boot_info = at.tables + sizeof(hw::StartupTables);
    at.file = at.boot_info + page_bytes;
    at.end = at.file + round_up(file_bytes, page_bytes);
    // The CPU driver builds its own tables behind what we put there.
    constexpr uint64_t room_for_tables = 64 * page_bytes;
    if (at.end > large_page_bytes - room_for_tables) return fail(Err::no_space);
    return at;
}

struct Joint {
    PhysAddr frame{};
    uint64_t bytes{};
    uint64_t bell{}; // APIC id | vector << 32
    uint64_t core{}; // whose monitor waits
};

/// The hand-over page of `core`, whose RAM is [ram, ram + bytes).
inline abi::BootInfo hand_over(
    const abi::BootInfo& ours, uint64_t core, PhysAddr ram, uint64_t bytes, const BlockLayout& at
) {
    abi::BootInfo info = ours;
    info.core = core;
    info.image_block = ram.raw;
    info.image_end = ram.raw + at.end;
    info.image_file = ram.raw + at.file;
    info.ram_count = 1;
    info.ram = {};
    info.ram[0] = {ram.raw + large_page_bytes, ram.raw + bytes};
    return info;
}

inline void set_joint(abi::BootInfo& info, const Joint& joint) {
    info.joint_frame = joint.frame.raw;
    info.joint_bytes = joint.bytes;
    info.joint_vector = joint.bell;
    info.joint_core = joint.core;
}

/// Tables that a core can load in real mode.
constexpr uint64_t low_end = uint64_t{1} << 32;

constexpr bool needs_low_tables(PhysAddr block) {
    return block.raw + large_page_bytes > low_end;
}

/// Writes the start-up tables for the block `of`, which will be read at physical address `at`.
inline void fill_tables(MutableBytes to, PhysAddr at, PhysAddr of) {
    hw::StartupTables tables;
    hw::fill(tables, at, of);
    const Bytes bytes = std::as_bytes(std::span{&tables, 1});
    std::ranges::copy(bytes, to.begin());
}

/// Writes the image, the file and the start-up tables into a zeroed block seen at `block`.
inline void fill_block(
    MutableBytes block, PhysAddr at, const elf::Image& image, Bytes file, const BlockLayout& layout
) {
    for (const elf::Segment& s : image.segments())
        std::ranges::copy(s.file, block.subspan(s.address - hw::cpu_driver_image).begin());
    std::ranges::copy(file, block.subspan(layout.file).begin());
    if (!needs_low_tables(at)) fill_tables(block.subspan(layout.tables), at + layout.tables, at);
}

} // namespace coreboot
