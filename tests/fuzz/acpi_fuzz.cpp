// The input is physical memory: its first bytes the root pointer, addresses are offsets into it.
// To get past checksums, every table that is looked at is sealed first.
#include <algorithm>
#include <array>

#include "lib/hw/acpi.hpp"
#include "lib/hw/acpi_numa.hpp"

namespace {

struct Memory {
    std::span<std::byte> all;

    Result<Bytes> view(PhysAddr at, size_t bytes) {
        if (at.raw > all.size()) return fail(Err::not_mapped);
        TRY_VOID(hw::slice(all, at.raw, bytes));
        if (bytes > hw::acpi::header_bytes) seal(all.subspan(at.raw, bytes));
        return hw::slice(all, at.raw, bytes);
    }

    static void seal(std::span<std::byte> table) {
        unsigned sum = 0;
        for (std::byte b : table)
            sum += std::to_integer<unsigned>(b);
        table[9] = static_cast<std::byte>(std::to_integer<unsigned>(table[9]) - sum);
    }
};

void check(const hw::acpi::Madt& madt) {
    if (madt.processors.size() > hw::acpi::processors_max) __builtin_trap();
    for (uint32_t irq = 0; irq < 256; ++irq) {
        const auto route = hw::acpi::route_isa(madt, static_cast<uint8_t>(irq));
        const auto io_apic = hw::acpi::io_apic_of(madt, route.gsi);
        if (io_apic && io_apic->gsi_base > route.gsi) __builtin_trap();
    }
}

void check(const hw::acpi::Srat& srat) {
    if (srat.processors.size() > hw::acpi::processor_affinities_max) __builtin_trap();
    if (srat.memory.size() > hw::acpi::memory_affinities_max) __builtin_trap();
    for (const auto& m : srat.memory)
        if (m.begin >= m.end) __builtin_trap();
}

void check(const hw::acpi::Slit& slit) {
    for (uint32_t from = 0; from <= slit.count() && from < 16; ++from)
        for (uint32_t to = 0; to <= slit.count() && to < 16; ++to) {
            const auto distance = slit.between(from, to);
            if (distance && (*distance < 10 || from >= slit.count())) __builtin_trap();
        }
}

void parse_all(Bytes table) {
    if (const auto madt = hw::acpi::parse_madt(table)) check(*madt);
    if (const auto srat = hw::acpi::parse_srat(table)) check(*srat);
    if (const auto slit = hw::acpi::parse_slit(table)) check(*slit);
    (void)hw::acpi::parse_mcfg(table);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static std::array<std::byte, 8192> memory_bytes;
    const size_t used = std::min(size, memory_bytes.size());
    std::copy_n(std::as_bytes(std::span{data, size}).begin(), used, memory_bytes.begin());
    Memory memory{std::span{memory_bytes}.first(used)};

    (void)hw::acpi::parse_rsdp(memory.all);
    if (used >= 36) parse_all(memory.all);
    for (const bool wide : {false, true}) {
        const hw::acpi::Root root{phys(used > 0 ? data[0] : 0), wide};
        for (const uint32_t name :
             {hw::acpi::madt_signature,
              hw::acpi::mcfg_signature,
              hw::acpi::srat_signature,
              hw::acpi::slit_signature})
            if (const auto table = hw::acpi::find_table(memory, root, name)) parse_all(*table);
    }
    return 0;
}
