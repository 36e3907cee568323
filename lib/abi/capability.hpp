// Kinds, rights and addresses of capabilities. A capability names a range of bytes in one ordered
// space: physical memory, and above it the ranges of ports, interrupt lines and cores, so that one
// database by address holds them all.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "lib/base/strong.hpp"

namespace abi {

enum class Kind : uint8_t {
#define KIND(name, bytes, text) name,
#include "lib/abi/object_kind.def"
#undef KIND
};

constexpr std::array kind_names = {
#define KIND(name, bytes, text) std::string_view{#name},
#include "lib/abi/object_kind.def"
#undef KIND
};

/// Bytes of memory one object takes; 0 for kinds of any size and for kinds without memory.
constexpr std::array<uint64_t, kind_names.size()> object_bytes = {
#define KIND(name, bytes, text) bytes,
#include "lib/abi/object_kind.def"
#undef KIND
};

constexpr uint64_t bytes_of(Kind k) {
    return object_bytes[static_cast<size_t>(k)];
}

constexpr std::string_view name_of(Kind k) {
    const auto i = static_cast<size_t>(k);
    return i < kind_names.size() ? kind_names[i] : "?";
}

/// 1 for page_table .. 4 for address_space; 0 for any other kind.
constexpr unsigned table_level(Kind k) {
    return k >= Kind::page_table && k <= Kind::address_space
               ? 1u + static_cast<unsigned>(k) - static_cast<unsigned>(Kind::page_table)
               : 0u;
}

/// Rights only ever shrink. Meaning by kind:
///   frame, device_frame, mapping   read, write, execute of the memory
///   ram                            write: may be retyped
///   cnode                          write: slots may be changed
///   page tables                    write: entries may be changed
///   dispatcher                     read: state; write: configure, start, stop; execute: is oneself
///   endpoint, doorbell             write: call, ring;  interrupt: write: bind, acknowledge
///   io_port                        read: in;  write: out
///   core                           write: start; execute: own core (accept, lend, vectors)
/// `copy` (any kind): the capability may be copied and sent on.
struct Rights {
    uint8_t raw{};
    friend constexpr bool operator==(Rights, Rights) = default;

    constexpr bool has(Rights r) const { return (raw & r.raw) == r.raw; }

    friend constexpr Rights operator|(Rights a, Rights b) {
        return {static_cast<uint8_t>(a.raw | b.raw)};
    }

    friend constexpr Rights operator&(Rights a, Rights b) {
        return {static_cast<uint8_t>(a.raw & b.raw)};
    }
};

constexpr Rights read{1}, write{2}, execute{4}, copy{8};
constexpr Rights no_rights{0}, all_rights{15};

/// A slot as a domain names it: index in the root CNode, then index in that CNode.
/// Leaf index 0 is the CNode that a domain starts with.
struct CapSlot : Strong<CapSlot, uint32_t> {};

constexpr uint32_t cnode_slots = 64;

/// Objects that one cnode_retype makes at most: the CPU driver keeps interrupts off meanwhile.
constexpr uint64_t retype_most = 16;

constexpr CapSlot slot_at(uint32_t leaf, uint32_t index) {
    return {{leaf * cnode_slots + index}};
}

constexpr CapSlot null_slot{{0}}; // index 0 of leaf 0 is always empty: "no capability"

// The database's one ordered space. RAM and device memory are at their physical addresses.
constexpr uint64_t io_port_space = uint64_t{1} << 60;   // + port
constexpr uint64_t interrupt_space = uint64_t{2} << 60; // + global system interrupt
constexpr uint64_t core_space = uint64_t{3} << 60;      // + APIC id: the own core, doorbells
// + APIC id: the authority to start and stop other cores, apart from what leads to them
constexpr uint64_t other_cores = core_space + (uint64_t{1} << 32);
constexpr uint64_t other_cores_bytes = 256;

} // namespace abi
