// What a CPU driver is handed when it starts: by the boot program on core 0, by core boot on
// every other core. One page, at the physical address passed in rdi; the same layout for both.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "lib/base/strong.hpp"

namespace abi {

struct MemoryRange { // half-open, page-aligned
    uint64_t begin, end;
};

struct CoreEntry {
    uint16_t apic_id;
    uint16_t node; // NUMA node, 0 if unknown
};

struct NodeMemory { // half-open
    uint64_t begin, end;
    uint64_t node;
};

constexpr size_t nodes_max = 16; // more, and the firmware's tables are not believed

constexpr uint64_t boot_info_magic = 0x3176'7265'6b73'6f62;

struct BootInfo {
    uint64_t magic;
    uint64_t core;       // index of the core that starts
    uint64_t core_count; // entries of `cores`, all the machine has
    uint64_t tsc_khz;    // 0: core 0 calibrates
    // the 2 MiB block that the CPU driver's image lives in, and the rest of this core's RAM
    uint64_t image_block; // physical, 2 MiB-aligned
    uint64_t image_end;   // first free byte in that block after image, tables, this page
    uint64_t image_file;  // physical address of the CPU driver's ELF file (for core boot), 0 none
    uint64_t image_file_bytes;
    uint64_t bundle; // physical, page-aligned
    uint64_t bundle_bytes;
    uint64_t local_apic; // physical address of its registers
    uint64_t io_apic;    // physical address of the first I/O APIC, 0 none
    uint64_t io_apic_gsi_base;
    uint64_t rsdp;       // physical, 0 none
    uint64_t start_page; // physical, < 1 MiB, two pages reserved for core start-up; 0 none
    uint64_t pci_window_begin, pci_window_end; // hole below 4 GiB for device registers
    uint64_t unix_time;                        // seconds, read from the RTC by init later: 0 here
    uint64_t joint_frame; // the frame shared with the monitor that waits for this core; 0 on core 0
    uint64_t joint_bytes;
    uint64_t joint_vector; // APIC id | vector << 32 of that monitor's doorbell
    uint64_t joint_core;   // its core
    uint64_t ram_count;    // this core's RAM; no range crosses the image block's end
    std::array<MemoryRange, 32> ram;
    std::array<uint8_t, 16> irq_gsi;  // ISA interrupt -> GSI (MADT overrides applied)
    std::array<uint8_t, 16> irq_mode; // ISA interrupt -> abi::InterruptMode
    std::array<CoreEntry, 256> cores;
    uint64_t node_count; // 0: the firmware says nothing of nodes
    uint64_t node_memory_count;
    std::array<NodeMemory, 16> node_memory;
    std::array<std::array<uint8_t, nodes_max>, nodes_max> node_distance; // 10: a node's own
    std::array<char, 1024> command_line;                                 // NUL-terminated
    std::array<uint64_t, nodes_max> node_share; // RAM that a core of that node starts with
    uint64_t starts_children;                   // it starts those below it in core boot's tree
};

static_assert(sizeof(BootInfo) <= 4096);

/// Per-core entry of the start-up page: the trampoline finds its own by APIC id.
struct StartEntry {
    uint64_t root;      // physical, below 4 GiB
    uint64_t boot_info; // physical
};

} // namespace abi
