// What the boot loader hands over: the tags of Multiboot2, read with bounds and without allocation.
// Views point into the given bytes, which must outlive them.
// Source: Multiboot2 Specification 2.0, section 3.6 (Boot information format).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/base/bytes.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"
#include "lib/hw/table.hpp"

namespace hw::multiboot2 {

constexpr uint32_t header_magic = 0xE85250D6; // in the image, 3.1.1
constexpr uint32_t loader_magic = 0x36D76289; // in EAX at entry, 3.3
constexpr size_t info_bytes_max = 1 << 20;    // ours: a longer information is not believed

enum class MemoryType : uint32_t { available = 1, reserved = 2, acpi = 3, nvs = 4, bad = 5 };

/// [base, base + bytes), as the firmware reports it: unsorted, perhaps overlapping.
struct MemoryRange {
    PhysAddr base;
    uint64_t bytes{};
    MemoryType type{};
};

struct Module {
    PhysAddr base;
    uint32_t bytes{};
    std::string_view command_line;
};

struct Info {
    std::string_view command_line;
    std::string_view loader;
    Table<Module, 16> modules;
    Table<MemoryRange, 128> memory;
    Bytes rsdp; // a copy of ACPI's root pointer; empty when there is none
    bool efi{}; // booted by UEFI
    uint32_t unknown_tags{};
    uint32_t bad_tags{}; // of a known type, but not of its form
};

/// Length of the whole information, from its first 8 bytes.
constexpr Result<uint32_t> total_bytes(Bytes first) {
    const uint32_t bytes = TRY(read_le<uint32_t>(first, 0));
    if (bytes < 16 || bytes > info_bytes_max) return fail(Err::malformed);
    return bytes;
}

namespace detail {

/// Up to the first NUL, or to the end when the loader forgot it.
inline std::string_view text(Bytes bytes) {
    size_t length = 0;
    while (length < bytes.size() && bytes[length] != std::byte{0})
        ++length;
    return {reinterpret_cast<const char*>(bytes.data()), length};
}

inline Result<> take_module(Info& info, Bytes body) { // 3.6.6
    const uint32_t start = TRY(read_le<uint32_t>(body, 0));
    const uint32_t end = TRY(read_le<uint32_t>(body, 4));
    if (end < start) return fail(Err::malformed);
    info.modules.add({phys(start), end - start, text(body.subspan(8))});
    return {};
}

inline Result<> take_memory(Info& info, Bytes body) { // 3.6.8
    constexpr size_t entry_bytes_min = 24;
    const uint32_t entry_bytes = TRY(read_le<uint32_t>(body, 0));
    if (entry_bytes < entry_bytes_min || entry_bytes % 8 != 0) return fail(Err::malformed);
    for (Bytes rest = TRY(slice(body, 8, body.size() - 8)); rest.size() >= entry_bytes;
         rest = rest.subspan(entry_bytes)) {
        const uint64_t base = TRY(read_le<uint64_t>(rest, 0));
        const uint64_t bytes = TRY(read_le<uint64_t>(rest, 8));
        const uint32_t type = TRY(read_le<uint32_t>(rest, 16));
        if (bytes == 0) continue;
        if (base + bytes < base) return fail(Err::overflow);
        // A type that is not in the specification is reserved (3.6.8).
        const bool known = type >= 1 && type <= 5;
        info.memory.add({phys(base), bytes, known ? MemoryType{type} : MemoryType::reserved});
    }
    return {};
}

inline Result<> take_tag(Info& info, uint32_t type, Bytes body) {
    switch (type) {
    case 1: info.command_line = text(body); return {};
    case 2: info.loader = text(body); return {};
    case 3: return take_module(info, body);
    case 6: return take_memory(info, body);
    case 12: info.efi = true; return {};
    case 14: // ACPI 1.0's root pointer: only when there is no newer one
        if (info.rsdp.empty()) info.rsdp = body;
        return {};
    case 15: info.rsdp = body; return {};
    default: ++info.unknown_tags; return {};
    }
}

} // namespace detail

/// Reads all tags up to the end tag.
///   info     the whole information; more bytes than its total are ignored
///   errors   truncated, malformed (a tag leaves the information); a bad single tag is counted
inline Result<Info> parse(Bytes bytes) {
    constexpr size_t tag_header_bytes = 8;
    const uint32_t total = TRY(total_bytes(bytes));
    Bytes rest = TRY(slice(bytes, 0, total)).subspan(8);
    Info info;
    while (rest.size() >= tag_header_bytes) {
        const uint32_t type = TRY(read_le<uint32_t>(rest, 0));
        const uint32_t size = TRY(read_le<uint32_t>(rest, 4));
        if (size < tag_header_bytes || size > rest.size()) return fail(Err::malformed);
        if (type == 0) return info;
        const Bytes body = rest.subspan(tag_header_bytes, size - tag_header_bytes);
        if (!detail::take_tag(info, type, body)) ++info.bad_tags;
        const size_t step = round_up(size, 8); // tags start on 8 bytes, the last may not fill them
        rest = rest.subspan(step < rest.size() ? step : rest.size());
    }
    return fail(Err::truncated); // no end tag
}

} // namespace hw::multiboot2
