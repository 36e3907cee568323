// What kernel/ asks of the machine, by instructions and registers. Owns this core's devices.
#pragma once

#include <optional>

#include "cpudriver/x86_64/apic.hpp"
#include "cpudriver/x86_64/clock.hpp"
#include "cpudriver/x86_64/paging.hpp"
#include "kernel/machine.hpp"
#include "lib/base/mark.hpp"

namespace cpu {

class X86Machine final : public kernel::Machine {
  public:
    Paging paging;
    LocalApic apic;
    Clock clock;
    std::optional<IoApic> io_apic; // mapped and programmed from the first use on

    X86Machine(PhysAddr io_apic_at, uint32_t gsi_base, ApicId first_core)
        : io_apic_at_{io_apic_at}, gsi_base_{gsi_base}, first_core_{first_core} {}

    void flush_page(VirtAddr page) override { invalidate_page(page.raw); }

    void flush_all() override { write_cr3(read_cr3()); }

    void send_ipi(ApicId to, uint8_t vector) override {
        apic.send(to, hw::lapic::ipi(vector));
        mark<13>();
    }

    Result<> start_core(ApicId core, uint8_t start_page) override;

    void stop_core(ApicId core) override;
    [[noreturn]] void hang() override;

    void disown(PhysAddr begin, PhysAddr end) override { paging.disown(begin, end); }

    Result<> own(PhysAddr begin, PhysAddr end) override { return paging.own(begin, end); }

    uint32_t port_in(uint16_t port, unsigned width) override;
    void port_out(uint16_t port, unsigned width, uint32_t value) override;
    Result<>
    route_interrupt(uint32_t gsi, abi::InterruptMode mode, ApicId core, uint8_t vector) override;
    void mask_interrupt(uint32_t gsi, bool masked) override;

    Instant now() override { return clock.now(); }

    uint64_t ticks() override { return read_tsc(); }

    Duration duration(uint64_t ticks) const override { return clock.duration(ticks); }

  private:
    IoApic* use_io_apic();
    void wait(Duration time);

    PhysAddr io_apic_at_;
    uint32_t gsi_base_;
    ApicId first_core_; // where INIT would begin with the firmware
};

} // namespace cpu
