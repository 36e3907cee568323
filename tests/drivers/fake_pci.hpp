// A PCI machine in memory: ports 0xCF8 and 0xCFC over a map of functions whose base address
// registers answer to sizing as hardware does.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "lib/hw/pci.hpp"

struct FakeFunction {
    std::array<uint8_t, 256> space{};
    std::array<uint32_t, 6> bar_mask{}; // writable bits
    bool decoded_while_sizing{};

    template <class T>
    void set(size_t at, T value) {
        for (size_t i = 0; i < sizeof(T); ++i)
            space.at(at + i) = static_cast<uint8_t>(static_cast<uint64_t>(value) >> (8 * i));
    }

    uint32_t get(size_t at, size_t width) const {
        uint32_t v = 0;
        for (size_t i = 0; i < width; ++i)
            v |= uint32_t{space.at(at + i)} << (8 * i);
        return v;
    }

    FakeFunction& id(uint16_t vendor, uint16_t device, uint32_t class_code) {
        set<uint16_t>(0, vendor);
        set<uint16_t>(2, device);
        set<uint32_t>(8, class_code << 8);
        return *this;
    }

    FakeFunction& bar(size_t i, uint32_t value, uint32_t writable) {
        set<uint32_t>(0x10 + 4 * i, value);
        bar_mask[i] = writable;
        return *this;
    }
};

class FakePci {
  public:
    std::map<hw::PciAddress, FakeFunction> functions;
    uint32_t address{};

    uint32_t in(uint16_t port, size_t width) {
        if (port == 0xCF8) return address;
        FakeFunction* f = selected();
        return f == nullptr ? 0xFFFF'FFFF : f->get(offset(port), width);
    }

    void out(uint16_t port, size_t width, uint32_t v) {
        if (port == 0xCF8) {
            address = v;
            return;
        }
        FakeFunction* f = selected();
        if (f == nullptr) return;
        const size_t at = offset(port);
        if (at >= 0x10 && at < 0x28) {
            const size_t i = (at - 0x10) / 4;
            if (v == 0xFFFF'FFFF && (f->space[4] & 3) != 0) f->decoded_while_sizing = true;
            v = (v & f->bar_mask[i]) | (f->get(at, 4) & ~f->bar_mask[i]);
        }
        for (size_t i = 0; i < width; ++i)
            f->space.at(at + i) = static_cast<uint8_t>(v >> (8 * i));
    }

    uint8_t in8(uint16_t p) { return static_cast<uint8_t>(in(p, 1)); }

    uint16_t in16(uint16_t p) { return static_cast<uint16_t>(in(p, 2)); }

    uint32_t in32(uint16_t p) { return in(p, 4); }

    void out8(uint16_t p, uint8_t v) { out(p, 1, v); }

    void out16(uint16_t p, uint16_t v) { out(p, 2, v); }

    void out32(uint16_t p, uint32_t v) { out(p, 4, v); }

  private:
    FakeFunction* selected() {
        if ((address >> 31) == 0) return nullptr;
        const auto it = functions.find(hw::PciAddress::from_raw(address >> 8 & 0xFFFF));
        return it == functions.end() ? nullptr : &it->second;
    }

    size_t offset(uint16_t port) const { return (address & 0xFC) + (port - 0xCFCu); }
};
