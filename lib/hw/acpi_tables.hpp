// The way to ACPI's static tables: root pointer, root table, any table by its name, and the small
// ones. Firmware is outside input: every length and checksum is verified, every count bounded.
// Source: ACPI Specification 6.5, chapter 5.2.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include "lib/base/bytes.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"
#include "lib/hw/table.hpp"

namespace hw::acpi {

/// How the parser reaches memory: `bytes` bytes at `at`, or an error when they cannot be read.
template <class M>
concept PhysicalMemory = requires(M memory, PhysAddr at, size_t bytes) {
    { memory.view(at, bytes) } -> std::same_as<Result<Bytes>>;
};

constexpr size_t header_bytes = 36;         // 5.2.6, System Description Table Header
constexpr size_t table_bytes_max = 1 << 20; // ours: a longer static table is not believed
constexpr size_t root_entries_max = 256;    // ours

/// Four characters as the number they are in memory.
constexpr uint32_t signature(const char (&name)[5]) {
    uint32_t value = 0;
    for (unsigned i = 0; i < 4; ++i)
        value |= static_cast<uint32_t>(static_cast<uint8_t>(name[i])) << (8 * i);
    return value;
}

constexpr uint32_t madt_signature = signature("APIC");
constexpr uint32_t srat_signature = signature("SRAT");
constexpr uint32_t slit_signature = signature("SLIT");
constexpr uint32_t mcfg_signature = signature("MCFG");
constexpr uint32_t dmar_signature = signature("DMAR");

constexpr bool checksum_holds(Bytes bytes) {
    uint8_t sum = 0;
    for (std::byte b : bytes)
        sum = static_cast<uint8_t>(sum + std::to_integer<uint8_t>(b));
    return sum == 0;
}

/// Where the root table is: an XSDT of 64-bit entries, or an RSDT of 32-bit ones.
struct Root {
    PhysAddr address;
    bool wide{};
};

/// Reads a root pointer (5.2.5.3), as found in memory or copied by the boot loader.
///   errors   truncated, malformed (signature, address 0), acpi_checksum
constexpr Result<Root> parse_rsdp(Bytes rsdp) {
    constexpr size_t old_bytes = 20, new_bytes = 36;
    constexpr uint64_t expected = 0x2052545020445352; // "RSD PTR "
    if (TRY(read_le<uint64_t>(rsdp, 0)) != expected) return fail(Err::malformed);
    if (!checksum_holds(TRY(slice(rsdp, 0, old_bytes)))) return fail(Err::acpi_checksum);
    const uint8_t revision = TRY(read_le<uint8_t>(rsdp, 15));
    if (revision >= 2) {
        const uint32_t length = TRY(read_le<uint32_t>(rsdp, 20));
        if (length < new_bytes) return fail(Err::malformed);
        if (!checksum_holds(TRY(slice(rsdp, 0, length)))) return fail(Err::acpi_checksum);
        const uint64_t xsdt = TRY(read_le<uint64_t>(rsdp, 24));
        if (xsdt != 0) return Root{phys(xsdt), true};
    }
    const uint32_t rsdt = TRY(read_le<uint32_t>(rsdp, 16));
    if (rsdt == 0) return fail(Err::malformed);
    return Root{phys(rsdt), false};
}

/// The whole table at `at`, header included, its length and checksum verified.
template <PhysicalMemory M>
Result<Bytes> read_table(M& memory, PhysAddr at) {
    const Bytes header = TRY(memory.view(at, header_bytes));
    const uint32_t length = TRY(read_le<uint32_t>(header, 4));
    if (length < header_bytes || length > table_bytes_max) return fail(Err::malformed);
    const Bytes table = TRY(memory.view(at, length));
    if (table.size() != length) return fail(Err::truncated);
    if (!checksum_holds(table)) return fail(Err::acpi_checksum);
    return table;
}

/// The first table of that signature; a table that cannot be read is passed over.
///   errors   not_found; those of the root table itself
template <PhysicalMemory M>
Result<Bytes> find_table(M& memory, Root root, uint32_t wanted) {
    const Bytes index = TRY(read_table(memory, root.address));
    const uint32_t expected = root.wide ? signature("XSDT") : signature("RSDT");
    if (TRY(read_le<uint32_t>(index, 0)) != expected) return fail(Err::malformed);
    const size_t width = root.wide ? 8 : 4;
    size_t count = (index.size() - header_bytes) / width;
    if (count > root_entries_max) count = root_entries_max;
    for (size_t i = 0; i < count; ++i) {
        const size_t offset = header_bytes + i * width;
        const uint64_t at = root.wide ? TRY(read_le<uint64_t>(index, offset))
                                      : TRY(read_le<uint32_t>(index, offset));
        const Result<Bytes> name = memory.view(phys(at), 4);
        if (!name || read_le<uint32_t>(*name, 0) != wanted) continue;
        if (Result<Bytes> table = read_table(memory, phys(at))) return table;
    }
    return fail(Err::not_found);
}

/// The first segment's memory-mapped configuration space (PCI Firmware Specification 3.3, 4.1.2).
struct Ecam {
    PhysAddr base;
    uint16_t segment{};
    uint8_t first_bus{}, last_bus{};
};

constexpr Result<Ecam> parse_mcfg(Bytes table) {
    constexpr size_t entries_at = 44;
    const Bytes e = TRY(slice(table, entries_at, 16));
    return Ecam{
        .base = phys(TRY(read_le<uint64_t>(e, 0))),
        .segment = TRY(read_le<uint16_t>(e, 8)),
        .first_bus = TRY(read_le<uint8_t>(e, 10)),
        .last_bus = TRY(read_le<uint8_t>(e, 11)),
    };
}

} // namespace hw::acpi
