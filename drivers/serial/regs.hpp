// The registers of a 16550 UART, one byte each.
// Source: National Semiconductor PC16550D data sheet, section 8.
#pragma once

#include <cstdint>

#include "lib/hw/reg.hpp"

namespace serial {

enum class Parity : uint8_t { none = 0, odd = 1, even = 3 };
enum class Cause : uint8_t { // section 8.6, table IV; the one of highest priority
    modem = 0b000,
    sender_empty = 0b001,
    received = 0b010,
    line_status = 0b011,
    timeout = 0b110
};

// clang-format off
struct Receive : hw::Reg<0, hw::ReadClears, uint8_t> {};       // takes one byte off the FIFO
struct Send : hw::Reg<0, hw::WriteOnly, uint8_t> {};
struct InterruptEnable : hw::Reg<1, hw::ReadWrite, uint8_t> {  // 8.7
    using Received    = Bit<0>;
    using SenderEmpty = Bit<1>;
    using LineStatus  = Bit<2>;
};
struct InterruptIdent : hw::Reg<2, hw::ReadClears, uint8_t> {  // 8.6; clears "sender empty"
    using None  = Bit<0>;
    using Which = Field<3, 1, Cause>;
};
struct FifoControl : hw::Reg<2, hw::WriteOnly, uint8_t> {      // 8.5
    using Enable       = Bit<0>;
    using ClearReceive = Bit<1>;
    using ClearSend    = Bit<2>;
    using Trigger      = Field<7, 6, uint8_t>;                 // 1, 4, 8, 14 bytes
};
struct LineControl : hw::Reg<3, hw::ReadWrite, uint8_t> {      // 8.1
    using WordLength   = Field<1, 0, uint8_t>;                 // 3: 8 bits
    using TwoStops     = Bit<2>;
    using ParityKind   = Field<5, 3, Parity>;
    using DivisorLatch = Bit<7>;                               // offsets 0, 1 are the divisor
};
struct ModemControl : hw::Reg<4, hw::ReadWrite, uint8_t> {     // 8.8
    using Ready    = Bit<0>;
    using Request  = Bit<1>;
    using Out2     = Bit<3>;                                   // gates the interrupt on a PC
    using Loop     = Bit<4>;
};
struct LineStatus : hw::Reg<5, hw::ReadClears, uint8_t> {      // 8.4; clears the error bits
    using Ready       = Bit<0>;
    using Overrun     = Bit<1>;
    using ParityError = Bit<2>;
    using FrameError  = Bit<3>;
    using Break       = Bit<4>;
    using SenderEmpty = Bit<5>;
};
struct ModemStatus : hw::Reg<6, hw::ReadClears, uint8_t> {};   // 8.9
struct Scratch : hw::Reg<7, hw::ReadWrite, uint8_t> {};        // 8.10
struct DivisorLow : hw::Reg<0, hw::ReadWrite, uint8_t> {};     // 8.3
struct DivisorHigh : hw::Reg<1, hw::ReadWrite, uint8_t> {};

// clang-format on

} // namespace serial
