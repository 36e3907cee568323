// What the firmware says about the machine: cores and interrupt controllers, from ACPI.
#pragma once

#include "lib/abi/boot_info.hpp"
#include "lib/base/bytes.hpp"
#include "lib/base/result.hpp"

namespace boot {

/// Fills the fields of `info` that ACPI's MADT knows: cores (the running one first), local APIC,
/// I/O APIC, ISA interrupts.
///   rsdp     the loader's copy of ACPI's root pointer
///   errors   those of lib/hw/acpi.hpp; not_found (no MADT); no_such_core (none enabled)
Result<> read_acpi(abi::BootInfo& info, Bytes rsdp);

/// The same for a machine without usable tables: this one core, a local APIC at its usual place,
/// no I/O APIC.
void assume_one_core(abi::BootInfo& info);

} // namespace boot
