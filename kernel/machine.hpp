// What the mechanism needs of the machine it runs on. The CPU driver implements it with
// instructions and registers, the host tests and the simulator with a fake.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/abi/invocation.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"
#include "lib/base/time.hpp"

namespace kernel {

class Machine {
  public:
    // memory
    virtual void flush_page(VirtAddr page) = 0; // this core's TLB, current address space
    virtual void flush_all() = 0;               // all but global pages
    // other cores
    virtual void send_ipi(ApicId to, uint8_t vector) = 0;
    /// INIT and start-up interrupts; `start_page` is the physical page number below 256.
    virtual Result<> start_core(ApicId core, uint8_t start_page) = 0;
    /// That core executes nothing more, whatever it was doing, until it is started again.
    virtual void stop_core(ApicId core) = 0;
    /// This one executes nothing more; a fake comes back.
    virtual void hang() = 0;
    /// This core no longer owns [begin, end), 2 MiB-aligned: the window forgets it.
    virtual void disown(PhysAddr begin, PhysAddr end) = 0;
    /// From now on it does: the window shows it. Errors, nothing changed: no_space (for tables).
    virtual Result<> own(PhysAddr begin, PhysAddr end) = 0;
    // devices
    virtual uint32_t port_in(uint16_t port, unsigned width) = 0;
    virtual void port_out(uint16_t port, unsigned width, uint32_t value) = 0;
    /// Programs line `gsi` to interrupt `core` by `vector`, masked until unmasked.
    virtual Result<>
    route_interrupt(uint32_t gsi, abi::InterruptMode mode, ApicId core, uint8_t vector) = 0;
    virtual void mask_interrupt(uint32_t gsi, bool masked) = 0;
    // time
    virtual Instant now() = 0;
    virtual uint64_t ticks() = 0; // quicker to read
    virtual Duration duration(uint64_t ticks) const = 0;

  protected:
    ~Machine() = default;
};

} // namespace kernel
