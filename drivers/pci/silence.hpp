// What makes a function whose driver has ended reach memory no more, and forget what it was told.
#pragma once

#include "drivers/pci/config.hpp"
#include "drivers/pci/drivers.hpp"

namespace pci {

/// Bus mastering off comes first: from then on nothing is written to memory, whatever the device
/// does. Then its own reset empties its rings and takes back its interrupt. `registers` is the
/// driver's window; the function still decodes it afterwards, and nothing else.
template <ConfigSpace C, class Io>
void silence(C& config, PciAddress at, const DriverEntry& driver, Io& registers) {
    enable(config, at, {.memory = true});
    const uint32_t control = registers.template load<uint32_t>(driver.reset_offset);
    registers.store(driver.reset_offset, control | uint32_t{1} << driver.reset_bit);
}

} // namespace pci
