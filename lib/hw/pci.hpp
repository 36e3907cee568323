// What the rest of the system knows of a PCI function: who it is, where its registers are, which
// interrupt it raises. Filled by drivers/pci, handed to drivers.
#pragma once

#include <array>
#include <compare>
#include <cstdint>

#include "lib/base/strong.hpp"

namespace hw {

/// Where a function sits. Ordered by bus, device, function.
struct PciAddress {
    uint8_t bus{};
    uint8_t device{};   // 0..31
    uint8_t function{}; // 0..7
    friend constexpr auto operator<=>(PciAddress, PciAddress) = default;

    constexpr uint32_t raw() const { // as the interfaces carry it
        return uint32_t{bus} << 8 | uint32_t{device} << 3 | function;
    }

    static constexpr PciAddress from_raw(uint32_t raw) {
        return {
            static_cast<uint8_t>(raw >> 8),
            static_cast<uint8_t>(raw >> 3 & 31),
            static_cast<uint8_t>(raw & 7)
        };
    }
};

/// One window of registers, [base, base + bytes).
struct PciBar {
    enum class Kind : uint8_t { none, io, memory32, memory64 };
    uint64_t base{};
    uint64_t bytes{};
    Kind kind{};
    bool prefetchable{};

    constexpr bool is_memory() const { return kind == Kind::memory32 || kind == Kind::memory64; }
};

struct PciFunction {
    PciAddress at;
    uint16_t vendor{}, device{};
    uint8_t base_class{}, sub_class{}, interface{}, revision{};
    uint8_t header_layout{}; // 0 device, 1 bridge, 2 CardBus bridge
    std::array<PciBar, 6> bars{};
    uint8_t interrupt_pin{};  // 0 none, 1..4 for INTA..INTD, at the function
    uint8_t interrupt_line{}; // what the firmware wrote; not to be trusted
    uint8_t root_device{};    // the same after all bridges: device and pin on bus 0
    uint8_t root_pin{};
    uint8_t msi{}, msix{}; // offset of the capability, 0 when absent

    constexpr uint32_t class_code() const {
        return uint32_t{base_class} << 16 | uint32_t{sub_class} << 8 | interface;
    }

    constexpr bool is(uint16_t vendor_id, uint16_t device_id) const {
        return vendor == vendor_id && device == device_id;
    }
};

} // namespace hw
