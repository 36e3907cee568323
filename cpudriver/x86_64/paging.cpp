#include "cpudriver/x86_64/paging.hpp"

#include <algorithm>
#include <span>

#include "cpudriver/x86_64/image.hpp"
#include "cpudriver/x86_64/instructions.hpp"
#include "lib/base/invariant.hpp"
#include "lib/base/mark.hpp"
#include "lib/hw/startup_tables.hpp"

namespace cpu {

namespace {

constexpr uint64_t present = 1, writable = 2, large = 0x80, global = 0x100;
constexpr uint64_t uncached = 0x18; // PCD and PWT: PAT entry 3, which is UC
constexpr uint64_t no_execute = uint64_t{1} << 63;
constexpr uint64_t address_mask = 0x000f'ffff'ffff'f000;

constexpr uint64_t code_page = present | global;
constexpr uint64_t constant_page = present | global | no_execute;
constexpr uint64_t data_page = present | writable | global | no_execute;

constexpr unsigned index_of(uint64_t at, unsigned level) {
    return static_cast<unsigned>(at >> (12 + 9 * (level - 1)) & 511);
}

constexpr uint64_t directory_bytes = uint64_t{1} << 30;
constexpr uint64_t window_bytes = uint64_t{256} << 30; // as the boot program has it

constexpr VirtAddr lent_area = device_area + (uint64_t{1} << 30);

bool is_guard(const std::byte* page) {
    const std::array guards{
        kernel_stack_guard,
        debug_stack_guard,
        nmi_stack_guard,
        double_fault_stack_guard,
        machine_check_stack_guard
    };
    for (const std::byte* guard : guards)
        if (guard == page) return true;
    return false;
}

} // namespace

Paging::Table& Paging::table(PhysAddr at) const {
    return *std::bit_cast<Table*>(hw::cpu_driver_image.raw + (at - block_));
}

PhysAddr Paging::new_table() {
    INVARIANT(free_ < tables_end_, "the block has room for all tables of a core");
    const PhysAddr at = free_;
    free_ = free_ + page_bytes;
    table(at) = {};
    return at;
}

Paging::Table& Paging::next(Table& from, unsigned index) {
    if ((from[index] & present) == 0) from[index] = new_table().raw | present | writable;
    return table(phys(from[index] & address_mask));
}

void Paging::build(const abi::BootInfo& info) {
    block_ = phys(info.image_block);
    free_ = phys(round_up(info.image_end, page_bytes));
    tables_end_ = block_ + large_page_bytes;
    for (const abi::MemoryRange& r : std::span{info.ram}.first(info.ram_count)) {
        if (!is_in_block(r, info)) continue;
        INVARIANT(
            phys(r.end) <= block_ + large_page_bytes, "what lies behind is a range of its own"
        );
        tables_end_ = std::min(tables_end_, phys(r.begin));
    }
    root_ = new_table();
    map_image(info);
    window_pointers_ = &next(table(root_), index_of(window_begin.raw, 4));
    Table& device_pointers = next(table(root_), index_of(device_area.raw, 4));
    device_pages_ = &next(next(device_pointers, index_of(device_area.raw, 3)), 0);
    lent_pages_ = &next(device_pointers, index_of(lent_area.raw, 3));
    map_window(info);
}

void Paging::enter() const {
    write_cr3(root_.raw);
}

/// Text, constants, data; then hand-over page and ELF file, constant; then room for tables. The
/// start-up tables themselves are not needed any more.
void Paging::map_image(const abi::BootInfo& info) {
    const uint64_t base = hw::cpu_driver_image.raw;
    Table& pointers = next(table(root_), index_of(base, 4));
    Table& pages = next(next(pointers, index_of(base, 3)), index_of(base, 2));
    for (unsigned i = 0; i < pages.size(); ++i) {
        const std::byte* at = image_begin + i * page_bytes;
        const uint64_t physical = info.image_block + i * page_bytes;
        if (at < image_text_end)
            pages[i] = physical | code_page;
        else if (at < image_rodata_end)
            pages[i] = physical | constant_page;
        else if (at < image_end)
            pages[i] = is_guard(at) ? 0 : physical | data_page;
        else if (at < image_end + sizeof(hw::StartupTables))
            pages[i] = 0;
        else if (physical < info.image_end)
            pages[i] = physical | constant_page;
        else
            pages[i] = physical | data_page;
    }
}

/// RAM behind the room for tables.
bool Paging::is_in_block(const abi::MemoryRange& r, const abi::BootInfo& info) {
    return round_down(r.begin, large_page_bytes) == info.image_block;
}

/// The image block has no large page there, but those of its pages that hold tables or are RAM:
/// text stays without a writable alias.
void Paging::map_window(const abi::BootInfo& info) {
    for (const abi::MemoryRange& r : std::span{info.ram}.first(info.ram_count))
        if (!is_in_block(r, info)) map_blocks(r.begin, r.end);
    Table& pages = next(window_directory(info.image_block), index_of(info.image_block, 2));
    const uint64_t end = info.image_block + large_page_bytes;
    for (uint64_t at = round_up(info.image_end, page_bytes); at < end; at += page_bytes)
        pages[index_of(at, 1)] = at | data_page;
}

Paging::Table& Paging::window_directory(uint64_t at) {
    INVARIANT(at < window_bytes, "RAM above 256 GiB is left out by the boot program");
    return next(*window_pointers_, index_of(at, 3));
}

/// `visit(entry of the window, physical address)` for each block of [begin, end): one directory
/// after the other, as up to 512 of them change with interrupts off.
template <class Visit>
void Paging::each_block(uint64_t begin, uint64_t end, Visit&& visit) {
    for (uint64_t at = begin; at < end;) {
        const uint64_t beyond = std::min(end, round_down(at, directory_bytes) + directory_bytes);
        uint64_t* entry = &window_directory(at)[index_of(at, 2)];
        for (; at < beyond; at += large_page_bytes)
            visit(*entry++, at);
    }
}

/// Whole blocks: what else lies in a block that has RAM of ours belongs to this core as well.
void Paging::map_blocks(uint64_t begin, uint64_t end) {
    const uint64_t first = round_down(begin, large_page_bytes);
    each_block(first, round_up(end, large_page_bytes), [](uint64_t& entry, uint64_t at) {
        entry = at | data_page | large;
    });
}

void Paging::disown(PhysAddr begin, PhysAddr end) {
    each_block(begin.raw, end.raw, [&]([[maybe_unused]] uint64_t& entry, uint64_t at) {
        mark_block_given(window() + at);
#ifdef PLANTED_FALSE_MOVE
        kept_ = window() + at;
#else
        entry = 0;
        invalidate_page(window_begin.raw + at);
#endif
    });
}

bool Paging::has_directory(uint64_t at) const {
    return ((*window_pointers_)[index_of(at, 3)] & present) != 0;
}

/// The root's entry for the window is in every address space, so directories made now are as well.
/// Here no translation can be left: what was not present is in no TLB (SDM vol. 3A 4.10.2.3).
Result<> Paging::own(PhysAddr begin, PhysAddr end) {
    if (end.raw > window_bytes) return fail(Err::no_space);
    uint64_t tables = 0;
    for (uint64_t at = round_down(begin.raw, directory_bytes); at < end.raw; at += directory_bytes)
        if (!has_directory(at)) ++tables;
    if (tables > (tables_end_ - free_) / page_bytes) return fail(Err::no_space);
    each_block(begin.raw, end.raw, [](uint64_t& entry, uint64_t at) {
        entry = at | data_page | large;
        mark_block_taken(window() + at);
    });
    return {};
}

std::byte* Paging::map_device(PhysAddr page) {
    INVARIANT(devices_ < device_pages_->size(), "a CPU driver drives few devices");
    (*device_pages_)[devices_] = round_down(page.raw, page_bytes) | data_page | uncached;
    const uint64_t at = device_area.raw + devices_++ * page_bytes;
    return std::bit_cast<std::byte*>(at + page.raw % page_bytes);
}

const std::byte* Paging::lend(PhysAddr at, uint64_t bytes) {
    const uint64_t begin = round_down(at.raw, large_page_bytes);
    unsigned i = 0;
    for (uint64_t p = begin; p < at.raw + bytes; p += large_page_bytes) {
        INVARIANT(i < lent_pages_->size(), "what is lent for booting is less than 1 GiB");
        (*lent_pages_)[i++] = p | constant_page | large;
    }
    return std::bit_cast<const std::byte*>(lent_area.raw + (at.raw - begin));
}

void Paging::end_lend() {
    for (unsigned i = 0; i < lent_pages_->size(); ++i) {
        if ((*lent_pages_)[i] == 0) continue;
        (*lent_pages_)[i] = 0;
        invalidate_page(lent_area.raw + i * large_page_bytes);
    }
}

} // namespace cpu
