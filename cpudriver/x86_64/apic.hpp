// The local APIC of this core, in either of its modes, and the I/O APIC that its owner programs.
// Source: as in lib/hw/lapic.hpp and lib/hw/ioapic.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "cpudriver/x86_64/instructions.hpp"
#include "lib/abi/invocation.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"
#include "lib/hw/ioapic.hpp"
#include "lib/hw/lapic.hpp"
#include "lib/hw/mmio.hpp"

namespace cpu {

// Above the vectors that the kernel gives out (kernel/vectors.hpp).
constexpr uint8_t timer_vector = 0xf0, apic_error_vector = 0xfe, spurious_vector = 0xff;

/// Registers in memory, or as MSRs in x2APIC mode.
class ApicIo {
  public:
    ApicIo() = default;

    explicit ApicIo(std::byte* window) : window_{window} {}

    bool x2apic() const { return window_ == nullptr; }

    template <class T>
    T load(uint32_t offset) const {
        if (x2apic()) return static_cast<T>(read_msr(hw::lapic::x2apic_msr(offset)));
        return hw::mmio_load32(window_ + offset);
    }

    void store(uint32_t offset, uint32_t v) const {
        if (x2apic())
            write_msr(hw::lapic::x2apic_msr(offset), v);
        else
            hw::mmio_store32(window_ + offset, v);
    }

  private:
    std::byte* window_{};
};

class LocalApic {
  public:
    /// Enabled, all local interrupts masked. `window`: its registers; nullptr switches to x2APIC.
    void enable(std::byte* window);

    ApicId id();

    void end_of_interrupt() { registers_.write<hw::lapic::Eoi>({0}); }

    void send(ApicId to, hw::lapic::CommandLow::Value command);

    // The timer counts down from `ticks` once, at a sixteenth of its clock; 0 stops it.
    void enable_timer();

    void start_timer(uint32_t ticks) { registers_.write<hw::lapic::TimerInitial>({ticks}); }

    uint32_t timer_ticks_left() { return registers_.read<hw::lapic::TimerCurrent>().raw; }

  private:
    hw::Block<ApicIo> registers_{};
};

/// The I/O APIC, from the first use on the property of the core that uses it.
class IoApic {
  public:
    IoApic(std::byte* window, uint32_t gsi_base);

    /// Masks every pin: firmware may have left some open.
    void mask_all();
    Result<> route(uint32_t gsi, abi::InterruptMode mode, ApicId core, uint8_t vector);
    void mask(uint32_t gsi, bool masked);

  private:
    static constexpr uint32_t pins_max = 120;

    std::optional<uint32_t> pin_of(uint32_t gsi) const;

    hw::ioapic::IoApic<hw::Mmio> device_;
    uint32_t gsi_base_;
    uint32_t pins_;
    std::array<hw::ioapic::Entry, pins_max> written_{};
};

} // namespace cpu
