#include "cpudriver/x86_64/machine.hpp"

#include "cpudriver/x86_64/instructions.hpp"

namespace cpu {

Result<> X86Machine::start_core(ApicId core, uint8_t start_page) {
    // SDM vol. 3A 8.4.4.1 has 10 ms after INIT and 200 us between two start-up interrupts, from
    // the days of the 82489DX; a core with an integrated APIC needs next to none, and interrupts
    // are off meanwhile.
    constexpr Duration between = microseconds(10);
    apic.send(core, hw::lapic::init_ipi());
    wait(between);
    apic.send(core, hw::lapic::startup_ipi(start_page));
    wait(between);
    apic.send(core, hw::lapic::startup_ipi(start_page)); // without effect on one that runs
    return {};
}

/// INIT: it waits for a start-up interrupt. The bootstrap processor takes an NMI instead, and
/// halts.
void X86Machine::stop_core(ApicId core) {
    apic.send(core, core == first_core_ ? hw::lapic::nmi_ipi() : hw::lapic::init_ipi());
    wait(microseconds(50));
}

void X86Machine::hang() {
    for (;;) {
        interrupts_off();
        halt();
    }
}

void X86Machine::wait(Duration time) {
    const Instant end = clock.now() + time;
    while (clock.now() < end)
        pause();
}

uint32_t X86Machine::port_in(uint16_t port, unsigned width) {
    if (width == 1) return in8(port);
    if (width == 2) return in16(port);
    return in32(port);
}

void X86Machine::port_out(uint16_t port, unsigned width, uint32_t value) {
    if (width == 1)
        out8(port, static_cast<uint8_t>(value));
    else if (width == 2)
        out16(port, static_cast<uint16_t>(value));
    else
        out32(port, value);
}

IoApic* X86Machine::use_io_apic() {
    if (!io_apic && io_apic_at_.raw != 0) {
        io_apic.emplace(paging.map_device(io_apic_at_), gsi_base_);
        io_apic->mask_all();
    }
    return io_apic ? &*io_apic : nullptr;
}

Result<>
X86Machine::route_interrupt(uint32_t gsi, abi::InterruptMode mode, ApicId core, uint8_t vector) {
    IoApic* const device = use_io_apic();
    if (device == nullptr) return fail(Err::no_device);
    return device->route(gsi, mode, core, vector);
}

void X86Machine::mask_interrupt(uint32_t gsi, bool masked) {
    if (IoApic* const device = use_io_apic()) device->mask(gsi, masked);
}

} // namespace cpu
