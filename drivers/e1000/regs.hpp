// The registers and descriptors of the 82540EM.
// Source: Intel PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual,
// 317453, rev 4.0; section numbers are its own.
#pragma once

#include <cstdint>

#include "lib/hw/reg.hpp"

namespace e1000 {

constexpr uint16_t vendor_id = 0x8086, device_id = 0x100E; // 82540EM
// 82574L: as QEMU 7.2 has it, it sends a long segment as fragments of IP (docs/e1000.md).
constexpr uint16_t uncut_device_id = 0x10D3;
constexpr uint64_t register_bytes = 0x2'0000; // the size of BAR 0

constexpr uint32_t gone_value = 0xFFFF'FFFF; // what a lost device reads as

enum class LinkSpeed : uint8_t { mbit_10 = 0, mbit_100 = 1, mbit_1000 = 2, mbit_1000_too = 3 };

// clang-format off
struct Ctrl : hw::Reg<0x0000> {                      // 13.4.1, Device Control
    using FullDuplex  = Bit<0>;
    using LinkReset   = Bit<3>;
    using AutoSpeed   = Bit<5>;
    using SetLinkUp   = Bit<6>;
    using InvertLoss  = Bit<7>;
    using Reset       = Bit<26>;                     // self-clearing
    using ReceiveFlow = Bit<27>;
    using SendFlow    = Bit<28>;
    using Vlan        = Bit<30>;
    using PhyReset    = Bit<31>;
};
struct Status : hw::Reg<0x0008, hw::ReadOnly> {      // 13.4.2, Device Status
    using FullDuplex = Bit<0>;
    using LinkUp     = Bit<1>;
    using Speed      = Field<7, 6, LinkSpeed>;
};
struct Eerd : hw::Reg<0x0014> {                      // 13.4.4, EEPROM Read (82540EM layout)
    using Start   = Bit<0>;
    using Done    = Bit<4>;
    using Address = Field<15, 8, uint8_t>;
    using Data    = Field<31, 16, uint16_t>;
};
// Flow control off: all four are written 0 (13.4.7 to 13.4.9).
struct FlowAddressLow : hw::Reg<0x0028> {};
struct FlowAddressHigh : hw::Reg<0x002C> {};
struct FlowType : hw::Reg<0x0030> {};
struct FlowTimer : hw::Reg<0x0170> {};

/// The interrupt causes, the same bits in ICR, IMS and IMC (13.4.17, 13.4.20, 13.4.21).
template <class R>
struct CauseBits {
    using SendWritten  = typename R::template Bit<0>;   // TXDW, a descriptor with RS was done
    using SendEmpty    = typename R::template Bit<1>;   // TXQE
    using LinkChange   = typename R::template Bit<2>;   // LSC
    using ReceiveLow   = typename R::template Bit<4>;   // RXDMT0, few descriptors are left
    using Overrun      = typename R::template Bit<6>;   // RXO, a frame found no descriptor
    using ReceiveTimer = typename R::template Bit<7>;   // RXT0, frames have arrived
};
struct Icr : hw::Reg<0x00C0, hw::ReadClears>, CauseBits<hw::Reg<0x00C0, hw::ReadClears>> {};
struct Itr : hw::Reg<0x00C4> {                       // 13.4.18
    using Interval = Field<15, 0, uint16_t>;         // least time between interrupts, 256 ns each
};
struct Ims : hw::Reg<0x00D0, hw::WriteClears>, CauseBits<hw::Reg<0x00D0, hw::WriteClears>> {};
struct Imc : hw::Reg<0x00D8, hw::WriteOnly>, CauseBits<hw::Reg<0x00D8, hw::WriteOnly>> {};

struct Rctl : hw::Reg<0x0100> {                      // 13.4.22, Receive Control
    using Enable        = Bit<1>;
    using BadFrames     = Bit<2>;
    using AllUnicast    = Bit<3>;
    using AllMulticast  = Bit<4>;
    using LongFrames    = Bit<5>;
    using LowThreshold  = Field<9, 8, uint8_t>;      // 0: half the ring, 1: a quarter, 2: an eighth
    using Broadcast     = Bit<15>;
    using BufferSize    = Field<17, 16, uint8_t>;    // 0: 2048 bytes
    using StripCrc      = Bit<26>;
};
struct Tctl : hw::Reg<0x0400> {                      // 13.4.33, Transmit Control
    using Enable    = Bit<1>;
    using PadShort  = Bit<3>;
    using Threshold = Field<11, 4, uint8_t>;         // retries after a collision
    using Distance  = Field<21, 12, uint16_t>;       // collision distance, bytes
};
struct Tipg : hw::Reg<0x0410> {                      // 13.4.34, gap between frames
    using BackToBack = Field<9, 0, uint16_t>;
    using Part1      = Field<19, 10, uint16_t>;
    using Part2      = Field<29, 20, uint16_t>;
};

struct Rdbal : hw::Reg<0x2800> {};                   // 13.4.25 to 13.4.31: the receive ring
struct Rdbah : hw::Reg<0x2804> {};
struct Rdlen : hw::Reg<0x2808> {};
struct Rdh : hw::Reg<0x2810> {};
struct Rdt : hw::Reg<0x2818> {};
struct Rdtr : hw::Reg<0x2820> {};                    // wait after each frame, 1.024 us each
struct Radv : hw::Reg<0x282C> {};                    // wait in all, 1.024 us each
struct Tdbal : hw::Reg<0x3800> {};                   // 13.4.36 to 13.4.40: the transmit ring
struct Tdbah : hw::Reg<0x3804> {};
struct Tdlen : hw::Reg<0x3808> {};
struct Tdh : hw::Reg<0x3810> {};
struct Tdt : hw::Reg<0x3818> {};
struct Tidv : hw::Reg<0x3820> {};
struct Tadv : hw::Reg<0x382C> {};

struct Rxcsum : hw::Reg<0x5000> {                    // 13.5, receive checksum offload
    using Ip        = Bit<8>;
    using Transport = Bit<9>;                        // TCP and UDP
};
struct Mta : hw::RegArray<0x5200, 4, 128> {};        // 13.5.1, multicast table, 4096 bits
struct Ral : hw::RegArray<0x5400, 8, 16> {};         // 13.5.2, receive address low
struct Rah : hw::RegArray<0x5404, 8, 16> {           // 13.5.3
    using High  = Field<15, 0, uint16_t>;
    using Valid = Bit<31>;
};

// Statistics, 13.7. All clear when read and stick at their maximum.
struct CrcErrors : hw::Reg<0x4000, hw::ReadClears> {};
struct ReceiveErrors : hw::Reg<0x400C, hw::ReadClears> {};
struct Missed : hw::Reg<0x4010, hw::ReadClears> {};          // no room in the device
struct LengthErrors : hw::Reg<0x4040, hw::ReadClears> {};
struct GoodReceived : hw::Reg<0x4074, hw::ReadClears> {};
struct GoodSent : hw::Reg<0x4080, hw::ReadClears> {};
struct BytesReceivedLow : hw::Reg<0x4088, hw::ReadClears> {};    // read low, then high
struct BytesReceivedHigh : hw::Reg<0x408C, hw::ReadClears> {};
struct BytesSentLow : hw::Reg<0x4090, hw::ReadClears> {};
struct BytesSentHigh : hw::Reg<0x4094, hw::ReadClears> {};
struct NoBuffer : hw::Reg<0x40A0, hw::ReadClears> {};            // no descriptor for a frame
struct Undersize : hw::Reg<0x40A4, hw::ReadClears> {};
struct Oversize : hw::Reg<0x40AC, hw::ReadClears> {};

// The second half of a legacy descriptor; the first is the buffer's physical address.
struct Rx : hw::Reg<8, hw::ReadWrite, uint64_t> {    // 3.2.3
    using Length    = Field<15, 0, uint16_t>;
    using Done      = Bit<32>;
    using EndOfPacket = Bit<33>;
    using Errors    = Field<47, 40, uint8_t>;
    using IgnoreSums      = Bit<34>;                 // IXSM: the next two say nothing
    using TransportSummed = Bit<37>;                 // TCPCS: of TCP or UDP
    using IpSummed        = Bit<38>;                 // IPCS
};
// CE, SE, SEQ, CXE, RXE; with TCPE or IPE a frame goes up, and the stack sums it up (3.2.3.2).
constexpr uint8_t rx_frame_errors = 0b1001'0111, rx_sum_errors = 0b0110'0000;

struct Tx : hw::Reg<8, hw::ReadWrite, uint64_t> {    // 3.3.3
    using Length      = Field<15, 0, uint16_t>;
    using EndOfPacket = Bit<24>;
    using InsertCrc   = Bit<25>;
    using Report      = Bit<27>;                     // RS: write Done back
    using Done        = Bit<32>;
    using Collisions  = Field<34, 33, uint8_t>;      // excess, late: the frame was not sent
};

// What follows are the descriptors with DEXT set; before one or more data descriptors there is a
// context, which says where the headers lie (3.3.5 to 3.3.7).

// First half of a context: where a checksum begins (S), where its field is (O), where it ends (E,
// 0: with the packet).
struct TxSums : hw::Reg<0, hw::ReadWrite, uint64_t> { // 3.3.6
    using IpStart        = Field<7, 0, uint8_t>;
    using IpField        = Field<15, 8, uint8_t>;
    using IpLast         = Field<31, 16, uint16_t>;
    using TransportStart = Field<39, 32, uint8_t>;
    using TransportField = Field<47, 40, uint8_t>;
    using TransportLast  = Field<63, 48, uint16_t>;
};

// Second half of it.
struct TxContext : hw::Reg<8, hw::ReadWrite, uint64_t> { // 3.3.6
    using DataBytes    = Field<19, 0, uint32_t>;     // PAYLEN, of all segments; if Segment
    using Tcp          = Bit<24>;                    // else UDP
    using Ipv4         = Bit<25>;
    using Segment      = Bit<26>;                    // TSE
    using Extended     = Bit<29>;                    // DEXT
    using HeaderBytes  = Field<47, 40, uint8_t>;
    using SegmentBytes = Field<63, 48, uint16_t>;    // MSS
};

struct TxData : hw::Reg<8, hw::ReadWrite, uint64_t> { // 3.3.7
    using Length       = Field<19, 0, uint32_t>;
    using Type         = Field<23, 20, uint8_t>;     // 1: data
    using EndOfPacket  = Bit<24>;
    using InsertCrc    = Bit<25>;
    using Segment      = Bit<26>;
    using Report       = Bit<27>;
    using Extended     = Bit<29>;
    using SumIp        = Bit<40>;                    // POPTS: IXSM,
    using SumTransport = Bit<41>;                    // TXSM
};

// clang-format on

} // namespace e1000
