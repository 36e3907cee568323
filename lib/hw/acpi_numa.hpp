// Which processors and which memory belong together, and how far apart the groups are: ACPI's SRAT
// and SLIT. A bad entry is counted and passed over; one that leaves its table makes the whole table
// unbelievable. Numbers of proximity domains are the firmware's: any 32 bits.
// Source: ACPI Specification 6.5, sections 5.2.16 (SRAT) and 5.2.17 (SLIT).
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/base/bytes.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"
#include "lib/hw/table.hpp"

namespace hw::acpi {

struct ProcessorAffinity {
    ApicId apic;
    uint32_t domain{};
};

struct MemoryAffinity { // half-open
    PhysAddr begin, end;
    uint32_t domain{};
};

constexpr size_t processor_affinities_max = 256, memory_affinities_max = 64;

struct Srat { // only what is enabled
    Table<ProcessorAffinity, processor_affinities_max> processors;
    Table<MemoryAffinity, memory_affinities_max> memory;
    uint32_t unknown_entries{};
    uint32_t bad_entries{};
};

/// Relative distances between proximity domains 0..count-1: 10 is a domain's own, 255 unreachable.
class Slit {
  public:
    constexpr Slit() = default;

    constexpr Slit(Bytes matrix, uint64_t count) : matrix_{matrix}, count_{count} {}

    /// Errors: not_found (no such domains in it), malformed (a reserved value).
    constexpr Result<uint8_t> between(uint32_t from, uint32_t to) const {
        if (from >= count_ || to >= count_) return fail(Err::not_found);
        const auto distance = TRY(read_le<uint8_t>(matrix_, from * count_ + to));
        if (distance < 10) return fail(Err::malformed);
        return distance;
    }

    constexpr uint64_t count() const { return count_; }

  private:
    Bytes matrix_;
    uint64_t count_{};
};

namespace detail {

constexpr uint32_t affinity_enabled = 1, affinity_hot_plug = 2, affinity_non_volatile = 4;

/// 5.2.16.1: the domain's upper bits are in a place of their own, and absent before revision 2.
constexpr Result<> take_local_apic(Srat& srat, Bytes e, uint8_t revision) {
    const uint32_t flags = TRY(read_le<uint32_t>(e, 4));
    uint32_t domain = TRY(read_le<uint8_t>(e, 2));
    if (revision >= 2) domain |= TRY(read_le<uint32_t>(e, 8)) & 0xffff'ff00;
    const uint8_t id = TRY(read_le<uint8_t>(e, 3));
    if ((flags & affinity_enabled) != 0) srat.processors.add({{{id}}, domain});
    return {};
}

/// 5.2.16.2. Memory that may be plugged in later, or that keeps its contents, is none of ours.
constexpr Result<> take_memory(Srat& srat, Bytes e, uint8_t revision) {
    const uint32_t flags = TRY(read_le<uint32_t>(e, 28));
    uint32_t domain = TRY(read_le<uint32_t>(e, 2));
    if (revision < 2) domain &= 0xff;
    const uint64_t base = TRY(read_le<uint64_t>(e, 8));
    const uint64_t bytes = TRY(read_le<uint64_t>(e, 16));
    if ((flags & affinity_enabled) == 0 || bytes == 0) return {};
    if ((flags & (affinity_hot_plug | affinity_non_volatile)) != 0) return {};
    if (bytes > ~uint64_t{0} - base) return fail(Err::overflow);
    srat.memory.add({phys(base), phys(base + bytes), domain});
    return {};
}

/// 5.2.16.3.
constexpr Result<> take_x2apic(Srat& srat, Bytes e) {
    const uint32_t flags = TRY(read_le<uint32_t>(e, 12));
    const uint32_t domain = TRY(read_le<uint32_t>(e, 4));
    const uint32_t id = TRY(read_le<uint32_t>(e, 8));
    if ((flags & affinity_enabled) != 0) srat.processors.add({{{id}}, domain});
    return {};
}

constexpr Result<> take_affinity(Srat& srat, uint8_t type, Bytes e, uint8_t revision) {
    switch (type) {
    case 0: return take_local_apic(srat, e, revision);
    case 1: return take_memory(srat, e, revision);
    case 2: return take_x2apic(srat, e);
    default: ++srat.unknown_entries; return {};
    }
}

} // namespace detail

/// Reads an SRAT, as find_table gave it.
///   errors   truncated, malformed (an entry leaves the table); a bad single entry is counted
constexpr Result<Srat> parse_srat(Bytes table) {
    constexpr size_t entries_at = 48;
    Srat srat;
    const uint8_t revision = TRY(read_le<uint8_t>(table, 8));
    if (table.size() < entries_at) return fail(Err::truncated);
    Bytes rest = table.subspan(entries_at);
    while (rest.size() >= 2) {
        const uint8_t type = TRY(read_le<uint8_t>(rest, 0));
        const uint8_t length = TRY(read_le<uint8_t>(rest, 1));
        if (length < 2 || length > rest.size()) return fail(Err::malformed);
        if (!detail::take_affinity(srat, type, rest.first(length), revision)) ++srat.bad_entries;
        rest = rest.subspan(length);
    }
    return srat;
}

/// Reads a SLIT; it keeps pointing into the table.
///   errors   truncated, malformed (more domains than a table of this size can hold)
constexpr Result<Slit> parse_slit(Bytes table) {
    constexpr size_t matrix_at = 44;
    constexpr uint64_t domains_max = 1024; // their square is the longest table that is believed
    const uint64_t count = TRY(read_le<uint64_t>(table, 36));
    if (count > domains_max) return fail(Err::malformed);
    return Slit{TRY(slice(table, matrix_at, count * count)), count};
}

} // namespace hw::acpi
