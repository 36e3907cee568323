// Which global system interrupt a function's INTx pin raises, without AML: by table for the
// chipsets we know, asked of the chipset's own routing registers, never of the interrupt line that
// the firmware left. An unknown chipset is an error: its devices are polled.
// Source: 82371SB (PIIX3) datasheet 290550-002, 2.2.10 (PIRQRC); ICH9 datasheet 316972-004, 10.1.20
// and 13.1.9, 13.1.13; slot wiring is the board's, here that of QEMU's pc and q35.
#pragma once

#include <cstdint>
#include <span>

#include "drivers/pci/config.hpp"
#include "lib/base/result.hpp"
#include "lib/hw/pci.hpp"

namespace pci {

/// Where an INTx arrives. When `isa`, the number is an ISA interrupt and goes through the MADT's
/// overrides (pin, polarity); otherwise it is the global system interrupt itself, active low.
/// Level triggered in either case.
struct IntxRoute {
    uint32_t gsi{};
    bool isa{};
    friend constexpr bool operator==(IntxRoute, IntxRoute) = default;
};

enum class Chipset : uint8_t { unknown, piix, ich9 };

struct Router {
    Chipset chipset{};
    hw::PciAddress at; // its ISA bridge
};

constexpr Router find_router(std::span<const hw::PciFunction> functions) {
    for (const hw::PciFunction& f : functions) {
        if (f.is(0x8086, 0x7000) || f.is(0x8086, 0x7110)) return {Chipset::piix, f.at};
        if (f.is(0x8086, 0x2918)) return {Chipset::ich9, f.at};
    }
    return {};
}

/// PIRQRCA..D: which ISA interrupt each of the four lines is.
struct PirqRoute : hw::RegArray<0x60, 1, 4, hw::ReadWrite, uint8_t> {
    using Irq = Field<3, 0, uint8_t>;
    using Disabled = Bit<7>;
};

namespace detail {

// 0, 1, 2, 8, 13 are reserved values of PIRQRC; 12 and 14 up belong to mouse and disks.
constexpr bool usable_irq(uint8_t irq) {
    return (irq >= 3 && irq <= 7) || (irq >= 9 && irq <= 11);
}

/// The line's ISA interrupt; gives it 10 or 11 when the firmware left none.
template <ConfigSpace C>
IntxRoute route_piix(C& config, PciAddress bridge, unsigned line) {
    Function<C> function{{config, bridge}};
    const auto route = function.template read<PirqRoute>(line);
    const uint8_t irq = route.template get<PirqRoute::Irq>();
    if (!route.template get<PirqRoute::Disabled>() && usable_irq(irq)) return {irq, true};
    const auto ours = static_cast<uint8_t>(line < 2 ? 10 : 11);
    function.template write<PirqRoute>(line, PirqRoute::of(PirqRoute::Irq{ours}));
    return {ours, true};
}

/// Lines A..H are global system interrupts 16..23. Devices 25..31 are the chipset's own and use
/// A..D by pin (the reset value of DxxIR); slots use E..H, turned by the slot number, except
/// behind the bridge at 30.
constexpr IntxRoute route_ich9(unsigned device, unsigned pin_index) {
    constexpr unsigned first_gsi = 16, line_e = 4;
    if (device == 30) return {first_gsi + line_e + pin_index, false};
    if (device >= 25) return {first_gsi + pin_index, false};
    return {first_gsi + line_e + (device + pin_index) % 4, false};
}

} // namespace detail

/// The route of a function's interrupt pin.
///   errors   not_found (the function has no pin), unsupported (chipset unknown: poll it)
template <ConfigSpace C>
Result<IntxRoute> route_intx(C& config, const Router& router, const hw::PciFunction& function) {
    if (function.root_pin == 0) return fail(Err::not_found);
    const unsigned pin_index = function.root_pin - 1u;
    switch (router.chipset) {
    case Chipset::piix: // the board turns the lines by slot, slot 1 being unturned
        return detail::route_piix(config, router.at, (function.root_device + 3u + pin_index) % 4);
    case Chipset::ich9: return detail::route_ich9(function.root_device, pin_index);
    case Chipset::unknown: break;
    }
    return fail(Err::unsupported);
}

} // namespace pci
