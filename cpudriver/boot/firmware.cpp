#include "cpudriver/boot/firmware.hpp"

#include "cpudriver/boot/nodes.hpp"
#include "cpudriver/boot/stop.hpp"
#include "cpudriver/x86_64/features.hpp"
#include "lib/abi/invocation.hpp"
#include "lib/hw/acpi.hpp"
#include "lib/hw/lapic.hpp"

namespace boot {

namespace {

/// The boot program maps the first 4 GiB onto themselves; firmware keeps its tables there.
struct Identity {
    Result<Bytes> view(PhysAddr at, size_t bytes) const {
        constexpr uint64_t end = uint64_t{1} << 32;
        if (at.raw == 0 || at.raw >= end || bytes > end - at.raw) return fail(Err::range_bounds);
        return Bytes{std::bit_cast<const std::byte*>(at.raw), bytes};
    }
};

abi::InterruptMode mode_of(const hw::acpi::Override& o) {
    using namespace hw::acpi;
    const bool low = o.polarity == Polarity::active_low;
    const bool level = o.trigger == Trigger::level;
    if (level) return low ? abi::InterruptMode::level_low : abi::InterruptMode::level_high;
    return low ? abi::InterruptMode::edge_low : abi::InterruptMode::edge_high;
}

void add_core(abi::BootInfo& info, ApicId core) {
    // The start-up page has entries for ids to 255, which is all that xAPIC has.
    if (core.raw > 255)
        say("core with APIC id {} left out: ids above 255 are not used", core);
    else if (info.core_count < info.cores.size())
        info.cores[info.core_count++] = {.apic_id = static_cast<uint16_t>(core.raw), .node = 0};
}

/// Without an SRAT all memory is equally near.
void read_nodes(abi::BootInfo& info, Identity& memory, hw::acpi::Root root) {
    const auto table = hw::acpi::find_table(memory, root, hw::acpi::srat_signature);
    if (!table) return;
    const auto srat = hw::acpi::parse_srat(*table);
    hw::acpi::Slit slit;
    if (const auto matrix = hw::acpi::find_table(memory, root, hw::acpi::slit_signature))
        slit = hw::acpi::parse_slit(*matrix).value_or(slit);
    const auto filled = srat ? fill_nodes(info, *srat, slit) : Result<>{fail(srat.error())};
    if (!filled) say("ACPI: SRAT: {}: going on without nodes", filled.error());
    for (const abi::NodeMemory& m : std::span{info.node_memory}.first(info.node_memory_count))
        say("ACPI: node {}: memory {:x}..{:x}", m.node, m.begin, m.end);
}

} // namespace

void assume_one_core(abi::BootInfo& info) {
    info.local_apic = hw::lapic::default_base.raw;
    info.core_count = 0;
    add_core(info, {{cpu::initial_apic_id()}});
}

Result<> read_acpi(abi::BootInfo& info, Bytes rsdp) {
    Identity memory;
    const hw::acpi::Root root = TRY(hw::acpi::parse_rsdp(rsdp));
    const Bytes table = TRY(hw::acpi::find_table(memory, root, hw::acpi::madt_signature));
    const hw::acpi::Madt madt = TRY(hw::acpi::parse_madt(table));
    const ApicId self{{cpu::initial_apic_id()}};
    info.core_count = 0;
    add_core(info, self);
    for (const hw::acpi::Processor& p : madt.processors)
        if (p.enabled && p.apic != self) add_core(info, p.apic);
    info.local_apic = madt.local_apic.raw;
    if (!madt.io_apics.empty()) {
        info.io_apic = madt.io_apics[0].address.raw;
        info.io_apic_gsi_base = madt.io_apics[0].gsi_base;
    }
    for (uint8_t irq = 0; irq < info.irq_gsi.size(); ++irq) {
        const hw::acpi::Override route = hw::acpi::route_isa(madt, irq);
        info.irq_gsi[irq] = static_cast<uint8_t>(route.gsi);
        info.irq_mode[irq] = static_cast<uint8_t>(mode_of(route));
    }
    read_nodes(info, memory, root);
    return {};
}

} // namespace boot
