// The one domain that a CPU driver makes: `init` of its core, from the bundle, with the first
// capabilities as docs/abi.md lists them. Everything else is made by domains.
#pragma once

#include "kernel/core.hpp"
#include "lib/abi/boot_info.hpp"
#include "lib/base/bytes.hpp"
#include "lib/base/result.hpp"

namespace cpu {

/// Makes init and starts it: the next schedule() runs it.
///   info_at  where the hand-over page is
///   bundle   as the boot program checked it; this core may only read it
///   errors   those of the bundle and of the ELF image; no_memory (this core has no whole 2 MiB
///            block of RAM, or init does not fit one); no_slots
Result<>
make_first_domain(kernel::Core& core, const abi::BootInfo& info, PhysAddr info_at, Bytes bundle);

} // namespace cpu
