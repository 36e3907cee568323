// The boot program: runs once, on the bootstrap processor, and is never needed again. Each step
// says one line on the serial port, so that a hang has a last line.
#include <source_location>

#include "cpudriver/boot/firmware.hpp"
#include "cpudriver/boot/fw_cfg.hpp"
#include "cpudriver/boot/load.hpp"
#include "cpudriver/boot/ranges.hpp"
#include "cpudriver/boot/stop.hpp"
#include "cpudriver/x86_64/features.hpp"
#include "cpudriver/x86_64/memory.hpp"
#include "lib/base/bundle.hpp"
#include "lib/base/cmdline.hpp"
#include "lib/hw/multiboot2.hpp"
#include "lib/hw/startup_tables.hpp"

extern "C" [[noreturn]] void boot_leave(uint64_t root, uint64_t boot_info, uint64_t entry);

[[noreturn]] void
invariant_broken(const char* condition, const char* why, const std::source_location& where) {
    boot::stop("{}:{}: {} does not hold ({})", where.file_name(), where.line(), condition, why);
}

namespace std {
void __glibcxx_assert_fail(
    const char* file, int line, const char*, const char* condition
) noexcept {
    boot::stop("{}:{}: {} does not hold", file, line, condition);
}
} // namespace std

namespace boot {

namespace {

constexpr uint64_t mib = 1024 * 1024;
constexpr uint64_t base_need_mib = 96, core_need_mib = 6;
constexpr uint64_t window_end = uint64_t{256} << 30; // its tables must fit the image block

using hw::multiboot2::Info, hw::multiboot2::Module;

Bytes bytes_at(uint64_t at, uint64_t bytes) {
    return {std::bit_cast<const std::byte*>(at), bytes};
}

std::string_view first_word(std::string_view text) {
    return text.substr(0, text.find(' '));
}

Info read_loader_information(uint64_t at) {
    const auto total = hw::multiboot2::total_bytes(bytes_at(at, 8));
    if (!total) stop("the loader's information cannot be read: {}", total.error());
    const auto info = hw::multiboot2::parse(bytes_at(at, *total));
    if (!info) stop("the loader's information cannot be read: {}", info.error());
    if (info->bad_tags > 0) say("loader's information: {} bad tags ignored", info->bad_tags);
    return *info;
}

Module find_module(const Info& info, std::string_view name) {
    const Module* found = nullptr;
    for (const Module& m : info.modules)
        if (first_word(m.command_line) == name) found = &m;
    if (found == nullptr) stop("module '{}' is missing: the loader must bring it", name);
    if (found->base.raw + found->bytes > uint64_t{1} << 32)
        stop("module '{}' lies above 4 GiB", name);
    return *found;
}

void name_other_modules(const Info& info) {
    for (const Module& m : info.modules) {
        const std::string_view name = first_word(m.command_line);
        if (name != "cpudriver" && name != "bundle") say("module '{}' is unknown: ignored", name);
    }
}

Bytes contents(const Module& m) {
    return bytes_at(m.base.raw, m.bytes);
}

elf::Image check_cpu_driver(const Module& module) {
    const auto image = check_image(contents(module));
    if (!image) stop("module 'cpudriver' ({} bytes): {}", module.bytes, image.error());
    return *image;
}

void check_bundle(const Module& module) {
    const auto bundle = bundle::Bundle::parse(contents(module));
    if (!bundle) stop("module 'bundle' ({} bytes): {}", module.bytes, bundle.error());
    const auto init = bundle->find("init");
    if (!init) stop("module 'bundle' has no domain image 'init'");
    if (!init->intact()) stop("domain image 'init' in module 'bundle' is damaged (CRC)");
    say("bundle: {} entries, {} bytes", bundle->count(), module.bytes);
}

/// GRUB's line, then QEMU's: of a key given twice the last one counts.
void read_command_line(abi::BootInfo& info, const Info& loader) {
    TextWriter line{{info.command_line.data(), info.command_line.size() - 1}};
    line.put(loader.command_line);
    cpu::Ports ports;
    std::array<char, 1024> text;
    if (const auto file = FwCfg{ports}.file("opt/skerry/cmdline", text)) {
        line.put(' ');
        for (char c : *file)
            line.put(c == '\0' || c == '\n' ? ' ' : c);
    }
    if (line.truncated()) say("settings: only the first {} characters count", line.text().size());
    const Cmdline settings = Cmdline::parse(line.text(), [](const Cmdline::Problem& p) {
        if (p.trouble == Cmdline::Trouble::unknown_key)
            say("settings: '{}' is unknown", p.key);
        else
            say("settings: '{}' is no value for '{}'", p.value, p.key);
    });
    info.tsc_khz = settings.tsc_khz.value_or(0);
}

void read_firmware(abi::BootInfo& info, const Info& loader) {
    const auto done = read_acpi(info, loader.rsdp);
    if (!done) {
        say("ACPI: {}: going on with one core", done.error());
        assume_one_core(info);
    }
    say("ACPI: {} cores, local APIC {:x}, I/O APIC {:x}",
        info.core_count,
        info.local_apic,
        info.io_apic);
}

void check_memory_size(const Ranges& ram, uint64_t cores) {
    // Firmware keeps less than 2 MiB of what the machine was given.
    const uint64_t have = round_up(ram.bytes(), 2 * mib) / mib;
    const uint64_t need = base_need_mib + cores * core_need_mib;
    if (have < need) stop("too little memory: {} MiB found, {} MiB needed", have, need);
}

/// Core 0's block, and behind it the bundle.
struct Places {
    uint64_t block, bundle, end;
};

Places find_places(const Ranges& blocks, uint64_t loader_info, const Info& loader, uint64_t bytes) {
    std::array<Range, 20> taken{};
    size_t count = 0;
    const uint64_t info_bytes = *hw::multiboot2::total_bytes(bytes_at(loader_info, 8));
    taken[count++] = {loader_info, loader_info + info_bytes};
    for (const Module& m : loader.modules)
        taken[count++] = {m.base.raw, m.base.raw + m.bytes};
    const uint64_t end = large_page_bytes + round_up(bytes, page_bytes);
    const auto at = find_run(blocks, end, std::span{taken}.first(count));
    if (!at) stop("no {} KiB of free memory in one piece below 4 GiB", end / 1024);
    return {*at, *at + large_page_bytes, *at + end};
}

void hand_over_ram(abi::BootInfo& info, Ranges blocks, Range taken) {
    blocks.subtract(taken);
    blocks.merge();
    for (const Range r : blocks.all()) {
        if (info.ram_count == info.ram.size()) {
            say("memory map: {:x}..{:x} left out: too many pieces", r.begin, r.end);
            continue;
        }
        info.ram[info.ram_count++] = r;
    }
}

/// Everything is copied, then the hand-over page written, then left for the new tables.
[[noreturn]] void start_cpu_driver(
    abi::BootInfo& info,
    const elf::Image& image,
    const Places& places,
    const Info& loader,
    const Module& file,
    const Module& bundle
) {
    const BlockLayout at = layout_of(image, file.bytes);
    load_image(image, phys(places.block));
    cpu::copy_bytes(
        std::bit_cast<void*>(places.block + at.file), contents(file).data(), file.bytes
    );
    cpu::copy_bytes(std::bit_cast<void*>(places.bundle), contents(bundle).data(), bundle.bytes);
    auto* tables = std::bit_cast<hw::StartupTables*>(places.block + at.tables);
    hw::fill(*tables, phys(places.block + at.tables), phys(places.block));
    info.image_block = places.block;
    info.image_end = places.block + at.end;
    info.image_file = places.block + at.file;
    info.image_file_bytes = file.bytes;
    info.bundle = places.bundle;
    info.bundle_bytes = bundle.bytes;
    const uint64_t page = places.block + at.boot_info;
    const size_t rsdp_bytes = std::min(loader.rsdp.size(), page_bytes - sizeof info);
    if (rsdp_bytes > 0) { // the loader's copy goes with the loader's memory
        info.rsdp = page + sizeof info;
        cpu::copy_bytes(std::bit_cast<void*>(info.rsdp), loader.rsdp.data(), rsdp_bytes);
    }
    cpu::copy_bytes(std::bit_cast<void*>(page), &info, sizeof info);
    say("CPU driver loaded at {:x}, entering it", places.block);
    boot_leave(places.block + at.tables, page, image.entry().raw);
}

/// What the firmware used. Both 8259s stay masked for ever, the I/O APIC takes their place; the
/// 8254's channel 0 stops (8254 data sheet: a mode without a count), or it would tick unheard,
/// which wakes the host of a virtual machine and cuts its turns.
void silence_old_devices() {
    cpu::out8(0x21, 0xff);
    cpu::out8(0xa1, 0xff);
    cpu::out8(0x43, 0x30);
}

constinit abi::BootInfo boot_info{};

} // namespace

[[noreturn]] void run(uint64_t loader_info) {
    say("long mode");
    if (const auto name = cpu::missing_feature()) stop("this CPU lacks {}", *name);
    silence_old_devices();
    abi::BootInfo& info = boot_info;
    info.magic = abi::boot_info_magic;
    const Info loader = read_loader_information(loader_info);
    read_command_line(info, loader);
    const Ranges ram = available(loader.memory.entries());
    say("memory map: {} MiB in {} pieces", ram.bytes() / mib, ram.all().size());
    read_firmware(info, loader);
    check_memory_size(ram, info.core_count);
    name_other_modules(loader);
    const Module file = find_module(loader, "cpudriver");
    const Module bundle = find_module(loader, "bundle");
    const elf::Image image = check_cpu_driver(file);
    check_bundle(bundle);
    const Ranges blocks = whole_blocks(ram, window_end);
    const Places places = find_places(blocks, loader_info, loader, bundle.bytes);
    hand_over_ram(info, blocks, {places.block, places.end});
    info.start_page = find_start_pages(ram).value_or(0);
    const Range window = pci_window(loader.memory.entries());
    info.pci_window_begin = window.begin;
    info.pci_window_end = window.end;
    start_cpu_driver(info, image, places, loader, file, bundle);
}

} // namespace boot

extern "C" [[noreturn]] void boot_main(uint64_t loader_info) {
    boot::run(loader_info);
}
