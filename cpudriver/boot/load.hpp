// Makes the block that core 0's CPU driver starts in: its image, start-up tables, hand-over page,
// and its ELF file for core boot and for the names in a backtrace. docs/boot.md has the layout.
#pragma once

#include "lib/abi/boot_info.hpp"
#include "lib/base/bytes.hpp"
#include "lib/base/elf.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"

namespace boot {

/// Where things lie in a core's image block, in bytes from its start.
struct BlockLayout {
    uint64_t tables;    // hw::StartupTables
    uint64_t boot_info; // abi::BootInfo
    uint64_t file;      // the ELF file
    uint64_t end;
};

/// Errors: those of elf::Image::parse; elf_entry (not the image's first byte); no_space (it and
/// what goes with it does not fit a block).
Result<elf::Image> check_image(Bytes file);
BlockLayout layout_of(const elf::Image& image, uint64_t file_bytes);

/// Copies the image into the block at `block`, which is mapped at its physical address.
void load_image(const elf::Image& image, PhysAddr block);

} // namespace boot
