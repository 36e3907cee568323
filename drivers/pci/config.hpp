// Configuration space: how a register of a function is reached (mechanism 1, two ports), and the
// registers of the standard header.
// Source: PCI Local Bus Specification 3.0, chapter 6; PCI-to-PCI Bridge Architecture 1.2,
// chapter 3.
#pragma once

#include <concepts>
#include <cstdint>

#include "lib/hw/pci.hpp"
#include "lib/hw/port.hpp"
#include "lib/hw/reg.hpp"

namespace pci {

using hw::PciAddress;

/// Access to configuration space, 8, 16 or 32 bits wide, `offset` a multiple of the width.
template <class C>
concept ConfigSpace = requires(C config, PciAddress at, uint32_t offset) {
    { config.template load<uint8_t>(at, offset) } -> std::same_as<uint8_t>;
    { config.template load<uint16_t>(at, offset) } -> std::same_as<uint16_t>;
    { config.template load<uint32_t>(at, offset) } -> std::same_as<uint32_t>;
    config.store(at, offset, uint8_t{});
    config.store(at, offset, uint16_t{});
    config.store(at, offset, uint32_t{});
};

/// Mechanism 1 (3.2.2.3.2): address in one port, data in the other. Two steps, so one owner.
template <hw::PortIo P>
class PortConfig {
  public:
    static constexpr uint16_t address_port = 0xCF8, data_port = 0xCFC;

    constexpr explicit PortConfig(P& ports) : ports_{&ports} {}

    template <class T>
    T load(PciAddress at, uint32_t offset) {
        const uint16_t port = select(at, offset);
        if constexpr (sizeof(T) == 1)
            return ports_->in8(port);
        else if constexpr (sizeof(T) == 2)
            return ports_->in16(port);
        else
            return ports_->in32(port);
    }

    void store(PciAddress at, uint32_t offset, uint8_t v) { ports_->out8(select(at, offset), v); }

    void store(PciAddress at, uint32_t offset, uint16_t v) { ports_->out16(select(at, offset), v); }

    void store(PciAddress at, uint32_t offset, uint32_t v) { ports_->out32(select(at, offset), v); }

  private:
    uint16_t select(PciAddress at, uint32_t offset) {
        ports_->out32(address_port, 0x8000'0000 | at.raw() << 8 | (offset & 0xFC));
        return static_cast<uint16_t>(data_port + (offset & 3));
    }

    P* ports_;
};

/// The Io of a Block of one function's registers.
template <ConfigSpace C>
class FunctionIo {
  public:
    constexpr FunctionIo(C& config, PciAddress at) : config_{&config}, at_{at} {}

    template <class T>
    T load(uint32_t offset) {
        return config_->template load<T>(at_, offset);
    }

    void store(uint32_t offset, uint8_t v) { config_->store(at_, offset, v); }

    void store(uint32_t offset, uint16_t v) { config_->store(at_, offset, v); }

    void store(uint32_t offset, uint32_t v) { config_->store(at_, offset, v); }

  private:
    C* config_;
    PciAddress at_;
};

template <ConfigSpace C>
using Function = hw::Block<FunctionIo<C>>;

// clang-format off
struct Identity : hw::Reg<0x00, hw::ReadOnly> {                // 6.2.1
    using Vendor = Field<15, 0, uint16_t>;                     // 0xFFFF: nobody there
    using Device = Field<31, 16, uint16_t>;
};
struct Command : hw::Reg<0x04, hw::ReadWrite, uint16_t> {      // 6.2.2
    using Io          = Bit<0>;
    using Memory      = Bit<1>;
    using BusMaster   = Bit<2>;
    using IntxDisable = Bit<10>;
};
struct Status : hw::Reg<0x06, hw::WriteClears, uint16_t> {     // 6.2.3
    using Interrupt    = Bit<3>;
    using Capabilities = Bit<4>;
};
struct ClassCode : hw::Reg<0x08, hw::ReadOnly> {               // 6.2.1
    using Revision  = Field<7, 0, uint8_t>;
    using Interface = Field<15, 8, uint8_t>;
    using Sub       = Field<23, 16, uint8_t>;
    using Base      = Field<31, 24, uint8_t>;
};
struct HeaderType : hw::Reg<0x0E, hw::ReadOnly, uint8_t> {     // 6.2.1
    using Layout        = Field<6, 0, uint8_t>;
    using MultiFunction = Bit<7>;
};
struct Bar : hw::RegArray<0x10, 4, 6> {                        // 6.2.5.1
    using IsIo         = Bit<0>;
    using Type         = Field<2, 1, uint8_t>;                 // 0: 32 bits, 2: 64 bits
    using Prefetchable = Bit<3>;
};
struct CapabilitiesPointer : hw::Reg<0x34, hw::ReadOnly, uint8_t> {};  // 6.7
struct InterruptLine : hw::Reg<0x3C, hw::ReadWrite, uint8_t> {};       // 6.2.4
struct InterruptPin : hw::Reg<0x3D, hw::ReadOnly, uint8_t> {};
struct SecondaryBus : hw::Reg<0x19, hw::ReadWrite, uint8_t> {};        // bridge 3.2.5.3

// clang-format on

constexpr uint8_t capability_msi = 0x05, capability_msix = 0x11; // appendix H
constexpr uint8_t class_bridge = 0x06, bridge_host = 0x00;

/// Which of its abilities a function may use from now on.
struct Enable {
    bool memory{}, io{}, bus_master{}, intx{};
};

/// Sets exactly these abilities: what is not named is off afterwards.
template <ConfigSpace C>
void enable(C& config, PciAddress at, Enable what) {
    Function<C> function{{config, at}};
    function.template modify<Command>(
        Command::Memory{what.memory},
        Command::Io{what.io},
        Command::BusMaster{what.bus_master},
        Command::IntxDisable{!what.intx}
    );
}

} // namespace pci
