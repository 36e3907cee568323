// What ACPI says of processors and interrupts without AML: the MADT. A bad entry is counted and
// passed over; an entry that leaves the table makes the whole table unbelievable.
// Source: ACPI Specification 6.5, section 5.2.12.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/base/bytes.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"
#include "lib/hw/acpi_tables.hpp"
#include "lib/hw/table.hpp"

namespace hw::acpi {

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

} // namespace hw::acpi
