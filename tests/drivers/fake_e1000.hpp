// A 82540EM in memory, as far as the driver can tell: registers, both DMA engines over a map from
// physical to host addresses, an EEPROM, interrupt causes. Behaves as QEMU's where that is odd.
#pragma once

#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <span>
#include <stdexcept>
#include <vector>

#include "drivers/e1000/regs.hpp"
#include "drivers/e1000/rings.hpp"

struct FakeCard {
    std::map<uint32_t, uint32_t> cells;
    std::array<uint16_t, 64> eeprom{0x5452, 0x1200, 0x5634};
    std::vector<std::pair<uint32_t, uint32_t>> writes;
    std::map<uint64_t, std::span<std::byte>> memory; // by physical base
    std::vector<std::vector<uint8_t>> sent;
    uint32_t loads{};
    bool dead{};
    bool reset_sticks{};
    bool eeprom_works{true};
    bool send_at_once{true};

    FakeCard() { cells[0x08] = 0x80; } // 1000 Mb/s, link down

    std::byte* at(uint64_t physical, size_t bytes) {
        for (auto& [base, span] : memory)
            if (physical >= base && physical + bytes <= base + span.size())
                return span.data() + (physical - base);
        throw std::runtime_error("the device was sent to memory that it was not given");
    }

    e1000::Descriptor* descriptor(uint32_t low, uint32_t high, uint32_t slot) {
        const uint64_t base = uint64_t{cells[high]} << 32 | cells[low];
        return static_cast<e1000::Descriptor*>(static_cast<void*>(at(base + slot * 16, 16)));
    }

    uint32_t slots(uint32_t length) { return cells[length] / 16; }

    uint32_t load(uint32_t offset) {
        ++loads;
        if (dead) return 0xFFFF'FFFF;
        if (offset == 0xC0 || (offset >= 0x4000 && offset < 0x4100)) { // read clears
            return std::exchange(cells[offset], 0);
        }
        if (offset == 0x14) {
            const uint32_t v = cells[0x14];
            if ((v & 1) == 0 || !eeprom_works) return v & ~16u;
            return v | 16 | uint32_t{eeprom.at(v >> 8 & 63)} << 16;
        }
        return cells[offset];
    }

    void store(uint32_t offset, uint32_t v) {
        writes.emplace_back(offset, v);
        switch (offset) {
        case 0x00: cells[0] = reset_sticks ? v : v & ~(1u << 26); break;
        case 0xD0: cells[0xD0] |= v; break;
        case 0xD8: cells[0xD0] &= ~v; break;
        default: cells[offset] = v;
        }
        if (offset == 0x3818 && send_at_once) transmit();
    }

    bool interrupting() { return (cells[0xC0] & cells[0xD0]) != 0; }

    void transmit() {
        if ((cells[0x400] & 2) == 0) return;
        uint32_t& head = cells[0x3810];
        while (head != cells[0x3818]) {
            e1000::Descriptor* d = descriptor(0x3800, 0x3804, head);
            const e1000::Tx::Value word{d->word};
            const size_t bytes = word.get<e1000::Tx::Length>();
            std::vector<uint8_t> frame(bytes);
            std::memcpy(frame.data(), at(d->address, bytes), bytes);
            sent.push_back(frame);
            if (word.get<e1000::Tx::Report>()) d->word |= uint64_t{1} << 32;
            head = (head + 1) % slots(0x3808);
            cells[0xC0] |= 3;
        }
    }

    /// Puts a frame on the wire; false when the device has no descriptor for it.
    bool receive(std::span<const uint8_t> frame, uint8_t errors = 0, bool last = true) {
        if ((cells[0x100] & 2) == 0) return false;
        uint32_t& head = cells[0x2810];
        if (head == cells[0x2818]) {
            cells[0xC0] |= 0x40;
            ++cells[0x40A0];
            return false;
        }
        e1000::Descriptor* d = descriptor(0x2800, 0x2804, head);
        std::memcpy(at(d->address, frame.size()), frame.data(), frame.size());
        d->word = frame.size() | uint64_t{1} << 32 | uint64_t{last} << 33 | uint64_t{errors} << 40;
        head = (head + 1) % slots(0x2808);
        cells[0xC0] |= 0x80;
        ++cells[0x4074];
        cells[0x4088] += static_cast<uint32_t>(frame.size());
        return true;
    }
};

struct CardIo {
    FakeCard* card;

    template <class T>
    T load(uint32_t offset) {
        static_assert(sizeof(T) == 4);
        return card->load(offset);
    }

    void store(uint32_t offset, uint32_t v) { card->store(offset, v); }
};
