// Finds every PCI function: walks buses through bridges without recursion, sizes base address
// registers with decoding off, walks capability lists with a bound. Reads of all ones, loops and
// sizes that cannot be are outside input: passed over and counted.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <utility>

#include "drivers/pci/config.hpp"
#include "lib/hw/pci.hpp"
#include "lib/hw/table.hpp"

namespace pci {

using hw::PciBar;
using hw::PciFunction;

constexpr size_t functions_max = 64;

struct Inventory {
    hw::Table<PciFunction, functions_max> functions;
    uint32_t bad_bars{};         // sizes that are no power of two, 64-bit halves missing
    uint32_t bad_capabilities{}; // lists that leave their space or do not end
    uint32_t bridges_skipped{};  // without a bus behind, or leading to one already seen
};

template <ConfigSpace C>
class Scanner {
  public:
    explicit Scanner(C& config) : config_{&config} {}

    Inventory run() {
        parents_.fill(no_parent);
        queue_[queued_++] = 0;
        seen_[0] = true;
        while (next_ < queued_)
            scan_bus(queue_[next_++]);
        return std::move(found_);
    }

  private:
    static constexpr uint16_t no_parent = 0xFFFF;

    void scan_bus(uint8_t bus) {
        for (uint8_t device = 0; device < 32; ++device) {
            if (!present({bus, device, 0})) continue;
            Function<C> first{{*config_, {bus, device, 0}}};
            const auto header = first.template read<HeaderType>();
            scan_function({bus, device, 0});
            if (!header.template get<HeaderType::MultiFunction>()) continue;
            for (uint8_t function = 1; function < 8; ++function)
                if (present({bus, device, function})) scan_function({bus, device, function});
        }
    }

    bool present(PciAddress at) {
        const uint16_t vendor =
            Function<C>{{*config_, at}}.template read<Identity>().template get<Identity::Vendor>();
        return vendor != 0xFFFF && vendor != 0;
    }

    void scan_function(PciAddress at) {
        Function<C> function{{*config_, at}};
        PciFunction record = identify(function, at);
        // Host bridges decode memory for everybody: their decoding is never switched off.
        const bool host_bridge =
            record.base_class == class_bridge && record.sub_class == bridge_host;
        if (!host_bridge) size_bars(function, record);
        find_capabilities(function, record);
        swizzle(record);
        found_.functions.add(record);
        if (record.header_layout == 1 && record.base_class == class_bridge) add_bus(function, at);
    }

    static PciFunction identify(Function<C>& function, PciAddress at) {
        const auto id = function.template read<Identity>();
        const auto code = function.template read<ClassCode>();
        return {
            .at = at,
            .vendor = id.template get<Identity::Vendor>(),
            .device = id.template get<Identity::Device>(),
            .base_class = code.template get<ClassCode::Base>(),
            .sub_class = code.template get<ClassCode::Sub>(),
            .interface = code.template get<ClassCode::Interface>(),
            .revision = code.template get<ClassCode::Revision>(),
            .header_layout =
                function.template read<HeaderType>().template get<HeaderType::Layout>(),
            .interrupt_pin = function.template read<InterruptPin>().raw,
            .interrupt_line = function.template read<InterruptLine>().raw,
        };
    }

    /// With decoding off, so that a half-sized window never lies over somebody's memory (6.2.5.1).
    void size_bars(Function<C>& function, PciFunction& record) {
        const uint32_t count = record.header_layout == 0 ? 6 : record.header_layout == 1 ? 2 : 0;
        if (count == 0) return;
        const auto command = function.template read<Command>();
        function.template write<Command>(
            command.with(Command::Io{false}).with(Command::Memory{false})
        );
        for (uint32_t i = 0; i < count; ++i) {
            const PciBar bar = size_bar(function, i, count);
            record.bars[i] = bar;
            if (bar.kind == PciBar::Kind::memory64) ++i; // its upper half is the next register
        }
        function.template write<Command>(command);
    }

    PciBar size_bar(Function<C>& function, uint32_t i, uint32_t count) {
        const auto low = function.template read<Bar>(i);
        const uint32_t low_mask = probe(function, i);
        if (low.template get<Bar::IsIo>()) {
            // The upper half may be hard-wired to 0: I/O space has 16 bits here.
            const uint32_t mask = (low_mask & ~uint32_t{3}) | 0xFFFF'0000;
            if ((low_mask & ~uint32_t{3}) == 0) return {};
            return checked({low.raw & ~uint32_t{3}, 0, PciBar::Kind::io, false}, 32, mask);
        }
        const bool prefetchable = low.template get<Bar::Prefetchable>();
        const uint64_t base = low.raw & ~uint32_t{15};
        if (low.template get<Bar::Type>() != 2) {
            if (low_mask == 0) return {};
            return checked({base, 0, PciBar::Kind::memory32, prefetchable}, 32, low_mask & ~15u);
        }
        if (i + 1 >= count) {
            ++found_.bad_bars;
            return {};
        }
        const uint64_t high = function.template read<Bar>(i + 1).raw;
        const uint64_t mask = uint64_t{probe(function, i + 1)} << 32 | (low_mask & ~15u);
        return checked({high << 32 | base, 0, PciBar::Kind::memory64, prefetchable}, 64, mask);
    }

    /// Which bits of a base address register are writable; it keeps its value.
    static uint32_t probe(Function<C>& function, uint32_t i) {
        const auto before = function.template read<Bar>(i);
        function.template write<Bar>(i, {0xFFFF'FFFF});
        const uint32_t mask = function.template read<Bar>(i).raw;
        function.template write<Bar>(i, before);
        return mask;
    }

    /// The writable bits must be all from some bit on up: their lowest is the size.
    PciBar checked(PciBar bar, unsigned width, uint64_t mask) {
        const uint64_t ones = width == 64 ? ~uint64_t{0} : 0xFFFF'FFFF;
        const uint64_t bytes = (~mask & ones) + 1;
        if (mask == 0 || !std::has_single_bit(bytes) || bar.base % bytes != 0) {
            ++found_.bad_bars;
            return {};
        }
        bar.bytes = bytes;
        return bar;
    }

    void find_capabilities(Function<C>& function, PciFunction& record) {
        if (!function.template read<Status>().template get<Status::Capabilities>()) return;
        if (record.header_layout > 1) return; // CardBus keeps its pointer elsewhere
        uint8_t at = function.template read<CapabilitiesPointer>().raw & 0xFC;
        for (unsigned steps = 0; at != 0; ++steps) {
            // 48 capabilities of 4 bytes fill the space from 0x40 on: more is a loop.
            if (at < 0x40 || steps == 48) {
                ++found_.bad_capabilities;
                return;
            }
            const uint16_t head = function.io.template load<uint16_t>(at);
            if (static_cast<uint8_t>(head) == capability_msi) record.msi = at;
            if (static_cast<uint8_t>(head) == capability_msix) record.msix = at;
            at = static_cast<uint8_t>(head >> 8) & 0xFC;
        }
    }

    /// A bridge turns the pins by the device number behind it (bridge 9.1, table 9-1).
    void swizzle(PciFunction& record) {
        if (record.interrupt_pin > 4) record.interrupt_pin = 0;
        record.root_device = record.at.device;
        record.root_pin = record.interrupt_pin;
        if (record.interrupt_pin == 0) return;
        // At most one step a bus: parents_ was built from bus 0 downwards and has no loop.
        for (uint16_t up = parents_[record.at.bus]; up != no_parent;) {
            const PciAddress bridge = PciAddress::from_raw(up);
            const unsigned pin = (record.root_pin - 1u + record.root_device) % 4 + 1;
            record.root_pin = static_cast<uint8_t>(pin);
            record.root_device = bridge.device;
            up = parents_[bridge.bus];
        }
    }

    void add_bus(Function<C>& function, PciAddress bridge) {
        const uint8_t bus = function.template read<SecondaryBus>().raw;
        if (bus == 0 || seen_[bus]) {
            ++found_.bridges_skipped;
            return;
        }
        seen_[bus] = true;
        parents_[bus] = static_cast<uint16_t>(bridge.raw());
        queue_[queued_++] = bus; // each bus at most once, so 256 places suffice
    }

    C* config_;
    Inventory found_{};
    std::array<uint16_t, 256> parents_{}; // of each bus: the bridge that leads to it
    std::array<bool, 256> seen_{};
    std::array<uint8_t, 256> queue_{};
    size_t next_{}, queued_{};
};

template <ConfigSpace C>
Inventory scan(C& config) {
    return Scanner<C>{config}.run();
}

} // namespace pci
