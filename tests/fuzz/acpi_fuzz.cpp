// The input is physical memory: its first bytes the root pointer, addresses are offsets into it.
// To get past checksums, every table that is looked at is sealed first.
#include <algorithm>
#include <array>

#include "lib/hw/acpi.hpp"

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

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static std::array<std::byte, 8192> memory_bytes;
    const size_t used = std::min(size, memory_bytes.size());
    std::copy_n(std::as_bytes(std::span{data, size}).begin(), used, memory_bytes.begin());
    Memory memory{std::span{memory_bytes}.first(used)};

    (void)hw::acpi::parse_rsdp(memory.all);
    if (used >= 36)
        if (const auto madt = hw::acpi::parse_madt(memory.all)) check(*madt);
    for (const bool wide : {false, true}) {
        const hw::acpi::Root root{phys(used > 0 ? data[0] : 0), wide};
        for (const uint32_t name : {hw::acpi::madt_signature, hw::acpi::mcfg_signature}) {
            const auto table = hw::acpi::find_table(memory, root, name);
            if (!table) continue;
            if (const auto madt = hw::acpi::parse_madt(*table)) check(*madt);
            (void)hw::acpi::parse_mcfg(*table);
        }
    }
    return 0;
}
