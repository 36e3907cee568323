// What a core that starts finds, without touching anything: where things lie in its first block,
// and what its hand-over page says. The layout of a block is the boot program's (docs/boot.md), so
// that a CPU driver cannot tell who started it.
#pragma once

#include <algorithm>

#include "lib/abi/boot_info.hpp"
#include "lib/base/elf.hpp"
#include "lib/hw/startup_tables.hpp"
#include "usr/coreboot/share.hpp"

namespace coreboot {

/// Bytes from the start of a core's first block.
struct BlockLayout {
    uint64_t tables{};    // hw::StartupTables
    uint64_t boot_info{}; // abi::BootInfo
    uint64_t file{};      // the CPU driver's ELF file: names for a backtrace
    uint64_t end{};
};

/// The CPU driver builds its own tables behind what we put into its block; then the rest is RAM.
constexpr uint64_t room_for_tables = 64 * page_bytes;

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
    if (at.end > large_page_bytes - room_for_tables) return fail(Err::no_space);
    return at;
}

struct Joint {
    PhysAddr frame{};
    uint64_t bytes{};
    uint64_t bell{}; // APIC id | vector << 32
    uint64_t core{}; // whose monitor waits
};

/// The hand-over page of `core`, whose RAM is `pieces`, the first with the image.
inline abi::BootInfo
hand_over(const abi::BootInfo& ours, uint64_t core, const Pieces& pieces, const BlockLayout& at) {
    const abi::MemoryRange& first = pieces.all()[0];
    abi::BootInfo info = ours;
    info.core = core;
    info.image_block = first.begin;
    info.image_end = first.begin + at.end;
    info.image_file = first.begin + at.file;
    info.ram_count = 0;
    info.ram = {};
    const auto add = [&](const abi::MemoryRange& r) {
        if (r.begin < r.end) info.ram[info.ram_count++] = r;
    };
    const uint64_t block_end = first.begin + large_page_bytes;
    add({first.begin + at.end + room_for_tables, block_end});
    add({block_end, first.end});
    for (const abi::MemoryRange& r : pieces.all().subspan(1))
        add(r);
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
