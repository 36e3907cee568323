#include "cpudriver/boot/load.hpp"

#include <algorithm>

#include "cpudriver/x86_64/memory.hpp"
#include "lib/hw/startup_tables.hpp"

namespace boot {

BlockLayout layout_of(const elf::Image& image, uint64_t file_bytes) {
    uint64_t image_end = 0;
    for (const elf::Segment& s : image.segments())
        image_end = std::max(image_end, s.end_page() - hw::cpu_driver_image.raw);
    BlockLayout at{};
    at.tables = image_end;
    at.boot_info = at.tables + sizeof(hw::StartupTables);
    at.file = at.boot_info + page_bytes;
    at.end = at.file + round_up(file_bytes, page_bytes);
    return at;
}

Result<elf::Image> check_image(Bytes file) {
    const VirtAddr begin = hw::cpu_driver_image;
    const elf::Image image = TRY(elf::Image::parse(file, {begin, begin + large_page_bytes}));
    if (image.entry() != begin) return fail(Err::elf_entry);
    // The CPU driver builds its own tables behind what we put there.
    constexpr uint64_t room_for_tables = 64 * page_bytes;
    if (layout_of(image, file.size()).end > large_page_bytes - room_for_tables)
        return fail(Err::no_space);
    return image;
}

void load_image(const elf::Image& image, PhysAddr block) {
    auto* base = std::bit_cast<std::byte*>(block.raw);
    cpu::fill_bytes(base, 0, large_page_bytes);
    for (const elf::Segment& s : image.segments())
        cpu::copy_bytes(base + (s.address - hw::cpu_driver_image), s.file.data(), s.file.size());
}

} // namespace boot
