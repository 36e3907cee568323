// The local APIC's registers, by their xAPIC offsets. In x2APIC mode the same registers are MSRs
// 0x800 + offset / 16, and the interrupt command register is one of 64 bits.
// Source: Intel SDM vol. 3A, chapter "Advanced Programmable Interrupt Controller", sections as
// numbered in 325384-077 (chapter 10; later editions say 11).
#pragma once

#include <cstdint>

#include "lib/base/strong.hpp"
#include "lib/hw/reg.hpp"

namespace hw::lapic {

constexpr uint32_t window_bytes = 4096;
constexpr PhysAddr default_base = phys(0xFEE0'0000); // 10.4.1

enum class Delivery : uint8_t { // 10.6.1; sipi and init only by interrupt command
    fixed = 0,
    lowest = 1,
    smi = 2,
    nmi = 4,
    init = 5,
    sipi = 6,
    extint = 7
};
enum class TimerMode : uint8_t { one_shot = 0, periodic = 1, tsc_deadline = 2 }; // 10.5.4
enum class Shorthand : uint8_t { none = 0, self = 1, all = 2, others = 3 };      // 10.6.1

// clang-format off
struct Id : Reg<0x020, ReadOnly> {               // 10.4.6; in x2APIC mode all 32 bits are the id
    using XApicId = Field<31, 24, uint8_t>;
};
struct Version : Reg<0x030, ReadOnly> {          // 10.4.8
    using Number       = Field<7, 0, uint8_t>;   // 0x10..0x15: integrated
    using MaxLvtEntry  = Field<23, 16, uint8_t>;
    using EoiSuppress  = Bit<24>;                // directed EOI can be had
};
struct TaskPriority : Reg<0x080> {               // 10.8.3.1
    using Class = Field<7, 4, uint8_t>;
};
struct ProcessorPriority : Reg<0x0A0, ReadOnly> {};  // 10.8.3.1
struct Eoi : Reg<0x0B0, WriteOnly> {};               // 10.8.5; write 0
struct LogicalDestination : Reg<0x0D0> {             // 10.6.2.2
    using Logical = Field<31, 24, uint8_t>;
};
struct DestinationFormat : Reg<0x0E0> {              // 10.6.2.2; absent in x2APIC mode
    using Model = Field<31, 28, uint8_t>;            // 15: flat
};
struct Spurious : Reg<0x0F0> {                       // 10.9
    using Vector        = Field<7, 0, uint8_t>;
    using SoftwareOn    = Bit<8>;
    using NoBroadcastEoi = Bit<12>;                  // needs Version::EoiSuppress
};
// 8 words of 32 vectors each, 10.8.4.
struct InService : RegArray<0x100, 0x10, 8, ReadOnly> {};
struct TriggerMode : RegArray<0x180, 0x10, 8, ReadOnly> {};
struct Request : RegArray<0x200, 0x10, 8, ReadOnly> {};
struct ErrorStatus : Reg<0x280, WriteClears> {       // 10.5.3; write before read
    using SendIllegalVector    = Bit<5>;
    using ReceiveIllegalVector = Bit<6>;
    using IllegalRegister      = Bit<7>;
};
struct CommandLow : Reg<0x300> {                     // 10.6.1; writing it sends
    using Vector      = Field<7, 0, uint8_t>;
    using Mode        = Field<10, 8, Delivery>;
    using Logical     = Bit<11>;
    using Pending     = Bit<12>;                     // RO; xAPIC only
    using Assert      = Bit<14>;                     // 0 only for INIT de-assert
    using Level       = Bit<15>;
    using To          = Field<19, 18, Shorthand>;
};
struct CommandHigh : Reg<0x310> {                    // 10.6.1; write it first; xAPIC only
    using Destination = Field<31, 24, uint8_t>;
};
struct Command : Reg<0x300, ReadWrite, uint64_t> {   // 10.12.9; x2APIC only: one MSR
    using Low         = Field<31, 0, uint32_t>;      // fields as CommandLow, without Pending
    using Destination = Field<63, 32, uint32_t>;
};
// Local vector table, 10.5.1. All start masked.
struct LvtTimer : Reg<0x320> {
    using Vector  = Field<7, 0, uint8_t>;
    using Pending = Bit<12>;
    using Masked  = Bit<16>;
    using Mode    = Field<18, 17, TimerMode>;
};
struct LvtThermal : Reg<0x330> {
    using Masked = Bit<16>;
};
struct LvtPerformance : Reg<0x340> {
    using Masked = Bit<16>;
};
struct LvtLint0 : Reg<0x350> {
    using Vector = Field<7, 0, uint8_t>;
    using Mode   = Field<10, 8, Delivery>;
    using Masked = Bit<16>;
};
struct LvtLint1 : Reg<0x360> {
    using Vector = Field<7, 0, uint8_t>;
    using Mode   = Field<10, 8, Delivery>;
    using Masked = Bit<16>;
};
struct LvtError : Reg<0x370> {
    using Vector = Field<7, 0, uint8_t>;
    using Masked = Bit<16>;
};
struct TimerInitial : Reg<0x380> {};                 // 10.5.4; writing 0 stops, else starts
struct TimerCurrent : Reg<0x390, ReadOnly> {};       // 10.5.4
struct TimerDivide : Reg<0x3E0> {                    // figure 10-10; see divide_by
    using Low  = Field<1, 0, uint8_t>;
    using High = Bit<3>;
};
struct SelfIpi : Reg<0x3F0, WriteOnly> {             // 10.12.11; x2APIC only
    using Vector = Field<7, 0, uint8_t>;
};
// The MSR that holds mode and base, 10.4.3, 10.12.1: not in the window.
struct BaseMsr : Reg<0x1B, ReadWrite, uint64_t> {
    using Bootstrap = Bit<8>;                        // RO
    using X2Apic    = Bit<10>;
    using Enable    = Bit<11>;
    using Page      = Field<51, 12, uint64_t>;       // frame number of the window
};

// clang-format on

/// The timer counts once in 2^`log2` ticks of its clock, log2 in 0..7 (figure 10-10).
constexpr TimerDivide::Value divide_by(unsigned log2) {
    const unsigned code = (log2 + 7) & 7; // 0 is divide by 2, 7 is divide by 1
    return TimerDivide::of(
        TimerDivide::Low{static_cast<uint8_t>(code & 3)}, TimerDivide::High{(code & 4) != 0}
    );
}

constexpr uint32_t x2apic_msr(uint32_t offset) {
    return 0x800 + offset / 16;
} // 10.12.1.2

/// An inter-processor interrupt of that vector; the destination goes beside it.
constexpr CommandLow::Value ipi(uint8_t vector) {
    return CommandLow::of(
        CommandLow::Vector{vector}, CommandLow::Mode{Delivery::fixed}, CommandLow::Assert{true}
    );
}

/// INIT, and the start-up interrupt with its real-mode page (10.6.1; MP initialization 8.4).
constexpr CommandLow::Value init_ipi() {
    return CommandLow::of(
        CommandLow::Mode{Delivery::init}, CommandLow::Assert{true}, CommandLow::Level{true}
    );
}

constexpr CommandLow::Value nmi_ipi() {
    return CommandLow::of(CommandLow::Mode{Delivery::nmi}, CommandLow::Assert{true});
}

constexpr CommandLow::Value startup_ipi(uint8_t page) {
    return CommandLow::of(
        CommandLow::Vector{page}, CommandLow::Mode{Delivery::sipi}, CommandLow::Assert{true}
    );
}

} // namespace hw::lapic
