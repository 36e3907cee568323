// Devices as a driver domain sees them: registers, ports, an interrupt, memory for its DMA. What it
// may touch is what it was given by name (Domain::find_given).
#pragma once

#include "lib/base/invariant.hpp"
#include "lib/hw/mmio.hpp"
#include "lib/hw/port.hpp"
#include "lib/os/memory.hpp"

namespace os {

/// Memory-mapped registers, uncached.
class Registers {
  public:
    static Result<Registers> open(CapSlot device_frame) {
        const Description what = TRY(describe(device_frame));
        return open(device_frame, 0, what.bytes);
    }

    /// A part of a large device frame; offset in pages.
    static Result<Registers> open(CapSlot device_frame, uint64_t offset, uint64_t bytes) {
        return Registers{TRY(
            View::make(device_frame, offset, bytes, abi::read | abi::write, abi::MapFlags::uncached)
        )};
    }

    hw::Mmio mmio() const { return {view_.span().data(), view_.bytes()}; }

  private:
    explicit Registers(View view) : view_{std::move(view)} {}

    View view_;
};

/// The Io ports behind an IoPort capability, as hw::PortIo.
class Ports {
  public:
    explicit Ports(CapSlot slot) : range_{{slot}} {}

    uint8_t in8(uint16_t port) const { return static_cast<uint8_t>(in(port, 1)); }

    uint16_t in16(uint16_t port) const { return static_cast<uint16_t>(in(port, 2)); }

    uint32_t in32(uint16_t port) const { return in(port, 4); }

    void out8(uint16_t port, uint8_t v) const { out(port, 1, v); }

    void out16(uint16_t port, uint16_t v) const { out(port, 2, v); }

    void out32(uint16_t port, uint32_t v) const { out(port, 4, v); }

  private:
    uint32_t in(uint16_t port, unsigned width) const {
        const auto value = range_.in(port, width);
        INVARIANT(value, "the port is in the range that was handed to us");
        return *value;
    }

    void out(uint16_t port, unsigned width, uint32_t value) const {
        const auto done = range_.out(port, width, value);
        INVARIANT(done, "the port is in the range that was handed to us");
    }

    PortRange range_;
};

static_assert(hw::PortIo<Ports>);

} // namespace os
