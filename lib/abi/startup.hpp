// What a new domain finds: capabilities in well-known slots of leaf CNode 0, pages at well-known
// addresses, and one page of arguments.
#pragma once

#include <array>
#include <cstdint>

#include "lib/abi/capability.hpp"
#include "lib/base/strong.hpp"

namespace abi {

namespace slot {             // in leaf 0
constexpr uint32_t root = 1; // own root CNode
constexpr uint32_t leaf = 2; // own leaf CNode 0
constexpr uint32_t dispatcher =
    3; // own dispatcher: read | write(configure own endpoints) | execute
constexpr uint32_t address_space = 4;  // own level-4 table
constexpr uint32_t quota = 5;          // the RAM that the domain lives on
constexpr uint32_t monitor = 6;        // endpoint of this core's monitor
constexpr uint32_t parent = 7;         // endpoint of the spawner, for exit and faults
constexpr uint32_t memory = 8;         // endpoint of the memory server (system domains only)
constexpr uint32_t receive = 9;        // left empty: where lib/os receives a capability
constexpr uint32_t arguments = 10;     // frame of init's argument page; else it is in image_slot
constexpr uint32_t self_doorbell = 11; // doorbell of bit `event_channels` of this dispatcher
constexpr uint32_t given = 16;         // 16..47: the capabilities named in the argument page
constexpr uint32_t given_end = 48;
constexpr uint32_t free = 48; // 48..63: for the domain's own use
} // namespace slot

// Frame of what is written: argument page, data of the image, first stack.
constexpr CapSlot image_slot = slot_at(1, 2);

// The user half. Images are linked between 16 MiB and 2 GiB; everything else is placed by lib/os.
constexpr VirtAddr user_begin = virt(0x1000);
constexpr VirtAddr user_end = virt(0x0000'8000'0000'0000);
// First stack and pages of a domain: one page table, below the image, whose other tables they
// share.
constexpr VirtAddr stack_top = virt(0xd0'0000); // guard page below the lowest stack page
constexpr VirtAddr dispatcher_page_at = virt(0xd1'0000);
constexpr VirtAddr arguments_at = virt(0xd1'1000);
constexpr VirtAddr images_begin = virt(0x100'0000), images_end = virt(0x8000'0000);
constexpr VirtAddr bundle_at = virt(0x7d00'0000'0000); // where init and spawn map the bundle
constexpr VirtAddr heap_at = virt(0x1000'0000'0000);
// Where lib/os maps what the domain itself asks for; all page tables there are the domain's own.
constexpr VirtAddr views_at = virt(0x1100'0000'0000);

constexpr unsigned event_channels = 1; // lib/os rings this bit for channel traffic

constexpr size_t name_bytes = 16;

struct Name { // NUL-padded, not necessarily NUL-terminated
    std::array<char, name_bytes> text{};
};

struct GivenCapability {
    Name name;     // "pci.config", "nic.registers", ...
    uint32_t slot; // CapSlot.raw
    uint32_t reserved;
};

/// At `arguments_at`, read-only for the domain. Written by whoever spawns it.
struct ArgumentPage {
    uint64_t magic;                // argument_magic
    Name domain;                   // "netd"
    uint64_t core;                 // index of this core
    uint64_t core_count;           // cores of the machine
    uint64_t quota_bytes;          // size of the capability in slot::quota
    uint64_t quota_used;           // bytes from its start that the spawner took for the domain
    uint64_t heap_begin, heap_end; // VirtAddr of the heap mapped by the spawner
    uint64_t free_leafs;           // root CNode indices >= this are empty
    uint64_t given_count;
    std::array<GivenCapability, 32> given;
    uint64_t unix_time;                  // seconds at boot, 0 if unknown
    std::array<char, 1024> command_line; // the machine's, NUL-terminated
    std::array<char, 512> arguments;     // the domain's own, NUL-terminated
    // of a domain on several cores: the number of the worker that this part of it is; 0: home
    uint64_t replica;
    // where its shared data lies, and in the frame of its image
    uint64_t shared_begin, shared_bytes, shared_offset;
    std::array<uint32_t, 4> shared_tables; // in a replica: slots of the page tables for it
    std::array<char, 512> environment;     // NAME=VALUE, each NUL-terminated; an empty one ends
    uint64_t quota_base;                   // physical address of the capability in slot::quota
};

constexpr uint64_t argument_magic = 0x31677261'796b7331;
static_assert(sizeof(ArgumentPage) <= 4096);

} // namespace abi
