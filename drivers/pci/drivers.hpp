// Which program drives which function, and which of its windows that program is handed: no more
// than it needs. An MSI-X table is never among them.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"
#include "lib/hw/pci.hpp"

namespace pci {

struct DriverEntry {
    uint16_t vendor{}, device{};
    std::string_view program;   // image of the bundle
    std::string_view registers; // what the window is called for it
    uint8_t window{};           // index of the base address register
    std::string_view interrupt; // what its line is called
    uint32_t reset_offset{};    // of the register in that window whose bit resets the function
    uint32_t reset_bit{};
};

// 8254x manual 13.4.1, 82574 manual 10.2.2.1: device control, global reset.
constexpr uint32_t intel_control = 0, intel_reset = 26;

constexpr DriverEntry intel_card(uint16_t device) {
    return {
        0x8086, device, "e1000", "nic.registers", 0, "nic.interrupt", intel_control, intel_reset
    };
}

constexpr std::array driver_table{
    intel_card(0x100e), // 82540EM
    intel_card(0x100f), // 82545EM
    intel_card(0x10d3), // 82574L
};

constexpr const DriverEntry* driver_of(const hw::PciFunction& function) {
    for (const DriverEntry& entry : driver_table)
        if (function.is(entry.vendor, entry.device)) return &entry;
    return nullptr;
}

/// A part of the window of device registers that this service holds, in bytes from its start.
struct WindowPart {
    uint64_t offset{}, bytes{};
};

/// Where the driver's registers lie in [begin, end), the physical addresses we may give away.
///   errors   not_found (the function has no such memory window), range_bounds (it lies
///            elsewhere), misaligned (it shares a page with something else)
constexpr Result<WindowPart> registers_of(
    const hw::PciFunction& function, const DriverEntry& driver, uint64_t begin, uint64_t end
) {
    const hw::PciBar& bar = function.bars[driver.window];
    if (!bar.is_memory() || bar.bytes == 0) return fail(Err::not_found);
    if (bar.base < begin || bar.base > end || bar.bytes > end - bar.base)
        return fail(Err::range_bounds);
    if (bar.base % page_bytes != 0 || bar.bytes % page_bytes != 0) return fail(Err::misaligned);
    return WindowPart{bar.base - begin, bar.bytes};
}

} // namespace pci
