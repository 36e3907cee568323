// ACPI's static tables, as far as they can be read without AML: root pointer, root table, MADT,
// and the place of any other. Firmware is outside input: every length and checksum is verified,
// every count bounded, nothing is allocated.
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

struct Processor {
    ApicId apic;
    uint32_t uid{}; // how SRAT and the namespace call it
    bool enabled{};
    bool online_capable{}; // may be enabled later; ignored unless hot plug is done
};

struct IoApic {
    uint8_t id{};
    PhysAddr address;
    uint32_t gsi_base{}; // its pin 0 is this global system interrupt
};

enum class Polarity : uint8_t { conforms = 0, active_high = 1, active_low = 3 };
enum class Trigger : uint8_t { conforms = 0, edge = 1, level = 3 };

/// An ISA interrupt that is not on the pin of its own number.
struct Override {
    uint8_t isa_irq{};
    uint32_t gsi{};
    Polarity polarity{};
    Trigger trigger{};
};

constexpr size_t processors_max = 256, io_apics_max = 16, overrides_max = 16;

struct Madt {
    PhysAddr local_apic;
    bool has_8259{}; // PC-AT compatible pair: must be masked
    Table<Processor, processors_max> processors;
    Table<IoApic, io_apics_max> io_apics;
    Table<Override, overrides_max> overrides;
    uint32_t unknown_entries{};
    uint32_t bad_entries{}; // of a known type, but too short
};

/// The signal of an ISA interrupt: what an override says, else identity, edge, active high.
constexpr Override route_isa(const Madt& madt, uint8_t isa_irq) {
    for (const Override& o : madt.overrides)
        if (o.isa_irq == isa_irq) return o;
    return {isa_irq, isa_irq, Polarity::active_high, Trigger::edge};
}

/// The I/O APIC that a global system interrupt enters, by the greatest base not above it; whether
/// it has that many pins, its version register says.
constexpr Result<IoApic> io_apic_of(const Madt& madt, uint32_t gsi) {
    const IoApic* best = nullptr;
    for (const IoApic& io_apic : madt.io_apics)
        if (io_apic.gsi_base <= gsi && (best == nullptr || io_apic.gsi_base > best->gsi_base))
            best = &io_apic;
    if (best == nullptr) return fail(Err::not_found);
    return *best;
}

namespace detail {

// Entry types and layouts: 5.2.12.2 (0), 5.2.12.3 (1), 5.2.12.5 (2), 5.2.12.8 (5), 5.2.12.12 (9).
constexpr Result<Processor> local_apic_entry(Bytes e) {
    const uint32_t flags = TRY(read_le<uint32_t>(e, 4));
    return Processor{
        .apic = {{TRY(read_le<uint8_t>(e, 3))}},
        .uid = TRY(read_le<uint8_t>(e, 2)),
        .enabled = (flags & 1) != 0,
        .online_capable = (flags & 2) != 0,
    };
}

constexpr Result<Processor> local_x2apic_entry(Bytes e) {
    const uint32_t flags = TRY(read_le<uint32_t>(e, 8));
    return Processor{
        .apic = {{TRY(read_le<uint32_t>(e, 4))}},
        .uid = TRY(read_le<uint32_t>(e, 12)),
        .enabled = (flags & 1) != 0,
        .online_capable = (flags & 2) != 0,
    };
}

constexpr Result<IoApic> io_apic_entry(Bytes e) {
    return IoApic{
        .id = TRY(read_le<uint8_t>(e, 2)),
        .address = phys(TRY(read_le<uint32_t>(e, 4))),
        .gsi_base = TRY(read_le<uint32_t>(e, 8)),
    };
}

constexpr Result<Override> override_entry(Bytes e) {
    if (TRY(read_le<uint8_t>(e, 2)) != 0) return fail(Err::unsupported); // 0 is ISA
    const uint16_t flags = TRY(read_le<uint16_t>(e, 8));                 // table 5.26
    const auto polarity = static_cast<uint8_t>(flags & 3);
    const auto trigger = static_cast<uint8_t>(flags >> 2 & 3);
    if (polarity == 2 || trigger == 2) return fail(Err::malformed); // reserved
    return Override{
        .isa_irq = TRY(read_le<uint8_t>(e, 3)),
        .gsi = TRY(read_le<uint32_t>(e, 4)),
        .polarity = Polarity{polarity},
        .trigger = Trigger{trigger},
    };
}

template <class T, size_t N>
constexpr Result<> add(Table<T, N>& table, Result<T> entry) {
    if (!entry) return fail(entry.error());
    table.add(*entry);
    return {};
}

constexpr Result<> take_entry(Madt& madt, uint8_t type, Bytes e) {
    switch (type) {
    case 0: return add(madt.processors, local_apic_entry(e));
    case 1: return add(madt.io_apics, io_apic_entry(e));
    case 2: return add(madt.overrides, override_entry(e));
    case 5: madt.local_apic = phys(TRY(read_le<uint64_t>(e, 4))); return {};
    case 9: return add(madt.processors, local_x2apic_entry(e));
    default: ++madt.unknown_entries; return {};
    }
}

} // namespace detail

/// Reads a MADT (5.2.12), as find_table gave it. A processor that the firmware left out with the
/// id 0xFF or marked unusable stays in the list with `enabled` false.
///   errors   truncated, malformed (an entry leaves the table); a bad single entry is counted
constexpr Result<Madt> parse_madt(Bytes table) {
    constexpr size_t entries_at = 44;
    Madt madt;
    madt.local_apic = phys(TRY(read_le<uint32_t>(table, 36)));
    madt.has_8259 = (TRY(read_le<uint32_t>(table, 40)) & 1) != 0;
    Bytes rest = table.subspan(entries_at);
    while (rest.size() >= 2) {
        const uint8_t type = TRY(read_le<uint8_t>(rest, 0));
        const uint8_t length = TRY(read_le<uint8_t>(rest, 1));
        if (length < 2 || length > rest.size()) return fail(Err::malformed);
        if (!detail::take_entry(madt, type, rest.first(length))) ++madt.bad_entries;
        rest = rest.subspan(length);
    }
    return madt;
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
