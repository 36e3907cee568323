// The I/O APIC: three words in memory, behind two of which hide the indirect registers; and the
// redirection entry of each pin as a plain struct.
// Source: Intel 82093AA IOAPIC, 290566-001, section 3; EOI register: ICH9, 316972-004, 13.5.1.
#pragma once

#include <cstdint>

#include "lib/base/strong.hpp"
#include "lib/hw/reg.hpp"

namespace hw::ioapic {

constexpr uint32_t window_bytes = 0x44;
constexpr uint32_t pins_max = 240;

// clang-format off
struct Select : Reg<0x00> {                    // 3.1.1, IOREGSEL
    using Index = Field<7, 0, uint8_t>;
};
struct Window : Reg<0x10> {};                  // 3.1.2, IOWIN
struct Eoi : Reg<0x40, WriteOnly> {            // version 0x20 up; clears remote IRR by vector
    using Vector = Field<7, 0, uint8_t>;
};

// Indirect, by index: use over an Indirect.
struct Id : Reg<0x00> {                        // 3.2.1
    using Number = Field<27, 24, uint8_t>;
};
struct Version : Reg<0x01, ReadOnly> {         // 3.2.2
    using Number  = Field<7, 0, uint8_t>;
    using LastPin = Field<23, 16, uint8_t>;
};
struct EntryLow : RegArray<0x10, 2, 120> {};   // 3.2.4; see Entry
struct EntryHigh : RegArray<0x11, 2, 120> {};

// clang-format on

/// The Io of a Block of indirect registers: index first, then the window.
template <RegisterIo Io>
class Indirect {
  public:
    constexpr explicit Indirect(Io io) : block_{io} {}

    template <class T>
    T load(uint32_t index) {
        select(index);
        return block_.template read<Window>().raw;
    }

    void store(uint32_t index, uint32_t v) {
        select(index);
        block_.template write<Window>({v});
    }

  private:
    void select(uint32_t index) {
        block_.template write<Select>(Select::of(Select::Index{static_cast<uint8_t>(index)}));
    }

    Block<Io> block_;
};

enum class Delivery : uint8_t { fixed = 0, lowest = 1, smi = 2, nmi = 4, init = 5, extint = 7 };

/// One pin's redirection, 3.2.4.
struct Entry {
    uint8_t vector{};
    Delivery delivery{};
    bool logical{};
    bool active_low{};
    bool level{};
    bool masked{true};
    uint8_t destination{}; // xAPIC id (or logical set)
    bool pending{};        // RO: sent, not yet accepted
    bool remote_irr{};     // RO: level accepted, EOI outstanding
    friend constexpr bool operator==(const Entry&, const Entry&) = default;
};

namespace detail {
// clang-format off
struct Bits : Reg<0, ReadWrite, uint64_t> {
    using Vector      = Field<7, 0, uint8_t>;
    using Mode        = Field<10, 8, Delivery>;
    using Logical     = Bit<11>;
    using Pending     = Bit<12>;
    using ActiveLow   = Bit<13>;
    using RemoteIrr   = Bit<14>;
    using Level       = Bit<15>;
    using Masked      = Bit<16>;
    using Destination = Field<63, 56, uint8_t>;
};

// clang-format on
} // namespace detail

/// The 64 bits to be written; read-only fields are left 0.
constexpr uint64_t encode(const Entry& entry) {
    using B = detail::Bits;
    return B::of(
               B::Vector{entry.vector},
               B::Mode{entry.delivery},
               B::Logical{entry.logical},
               B::ActiveLow{entry.active_low},
               B::Level{entry.level},
               B::Masked{entry.masked},
               B::Destination{entry.destination}
    )
        .raw;
}

constexpr Entry decode(uint64_t bits) {
    using B = detail::Bits;
    const B::Value v{bits};
    return {
        .vector = v.get<B::Vector>(),
        .delivery = v.get<B::Mode>(),
        .logical = v.get<B::Logical>(),
        .active_low = v.get<B::ActiveLow>(),
        .level = v.get<B::Level>(),
        .masked = v.get<B::Masked>(),
        .destination = v.get<B::Destination>(),
        .pending = v.get<B::Pending>(),
        .remote_irr = v.get<B::RemoteIrr>(),
    };
}

/// An I/O APIC as its owner uses it. One core owns it; nobody else writes Select.
template <RegisterIo Io>
class IoApic {
  public:
    constexpr explicit IoApic(Io io) : direct_{io}, indirect_{Indirect<Io>{io}} {}

    uint8_t version() { return indirect_.template read<Version>().template get<Version::Number>(); }

    uint32_t pins() {
        const uint32_t last = indirect_.template read<Version>().template get<Version::LastPin>();
        return last < EntryLow::count ? last + 1 : EntryLow::count;
    }

    Entry read(uint32_t pin) {
        const uint64_t high = indirect_.template read<EntryHigh>(pin).raw;
        return decode(high << 32 | indirect_.template read<EntryLow>(pin).raw);
    }

    /// Masks first, so that a half-written entry never sends; the low half last unmasks.
    void write(uint32_t pin, const Entry& entry) {
        const uint64_t bits = encode(entry);
        const uint64_t masked = encode({.masked = true});
        indirect_.template write<EntryLow>(pin, {static_cast<uint32_t>(masked)});
        indirect_.template write<EntryHigh>(pin, {static_cast<uint32_t>(bits >> 32)});
        indirect_.template write<EntryLow>(pin, {static_cast<uint32_t>(bits)});
    }

    /// Changes the mask alone; `entry` is what was written last.
    void set_mask(uint32_t pin, Entry entry, bool masked) {
        entry.masked = masked;
        indirect_.template write<EntryLow>(pin, {static_cast<uint32_t>(encode(entry))});
    }

    /// Ends a level interrupt here, where the local APIC's EOI does not (directed EOI).
    void end_of_interrupt(uint8_t vector) {
        direct_.template write<Eoi>(Eoi::of(Eoi::Vector{vector}));
    }

  private:
    Block<Io> direct_;
    Block<Indirect<Io>> indirect_;
};

} // namespace hw::ioapic
