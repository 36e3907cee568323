// A 82540EM in memory, as far as the driver can tell: registers, both DMA engines over a map from
// physical to host addresses, an EEPROM, interrupt causes. Behaves as QEMU's where that is odd.
#pragma once

#include <array>
#include <bit>
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

    /// Where the headers lie, as the last context of its kind said.
    struct Context {
        uint8_t ip_start{}, ip_field{}, start{}, field{}, header_bytes{};
        uint16_t ip_last{}, last{}, segment_bytes{};
        uint32_t data_bytes{};
        bool tcp{};
    };

    struct Sending {
        std::vector<uint8_t> bytes;
        uint64_t word{}; // of its first descriptor
    };

    Context plain_context, cutting_context;
    Sending sending;

    void transmit() {
        if ((cells[0x400] & 2) == 0) return;
        uint32_t& head = cells[0x3810];
        while (head != cells[0x3818]) {
            take(*descriptor(0x3800, 0x3804, head));
            head = (head + 1) % slots(0x3808);
            cells[0xC0] |= 3;
        }
    }

    void take(e1000::Descriptor& d) {
        const auto bit = [&](unsigned n) { return (d.word >> n & 1) != 0; };
        const bool extended = bit(29);
        if (extended && (d.word >> 20 & 15) == 0) return remember(d);
        if (sending.bytes.empty()) sending.word = d.word;
        const size_t bytes = d.word & (extended ? 0xF'FFFF : 0xFFFF);
        const auto* from = std::bit_cast<const uint8_t*>(at(d.address, bytes));
        sending.bytes.insert(sending.bytes.end(), from, from + bytes);
        if (bit(27)) d.word |= uint64_t{1} << 32;
        if (bit(24)) finish();
    }

    void remember(const e1000::Descriptor& d) {
        const auto part = [](uint64_t word, unsigned low, unsigned bits) {
            return static_cast<uint32_t>(word >> low & ((uint64_t{1} << bits) - 1));
        };
        Context& c = part(d.word, 26, 1) != 0 ? cutting_context : plain_context;
        c.ip_start = static_cast<uint8_t>(part(d.address, 0, 8));
        c.ip_field = static_cast<uint8_t>(part(d.address, 8, 8));
        c.ip_last = static_cast<uint16_t>(part(d.address, 16, 16));
        c.start = static_cast<uint8_t>(part(d.address, 32, 8));
        c.field = static_cast<uint8_t>(part(d.address, 40, 8));
        c.last = static_cast<uint16_t>(part(d.address, 48, 16));
        c.data_bytes = part(d.word, 0, 20);
        c.tcp = part(d.word, 24, 1) != 0;
        c.header_bytes = static_cast<uint8_t>(part(d.word, 40, 8));
        c.segment_bytes = static_cast<uint16_t>(part(d.word, 48, 16));
    }

    using Frame = std::vector<uint8_t>;

    static uint32_t get(const Frame& frame, size_t where, size_t bytes) {
        uint32_t v = 0;
        for (size_t i = 0; i < bytes; ++i)
            v = v << 8 | frame.at(where + i);
        return v;
    }

    static void put(Frame& frame, size_t where, uint32_t v, size_t bytes) {
        for (size_t i = bytes; i-- > 0; v >>= 8)
            frame.at(where + i) = static_cast<uint8_t>(v);
    }

    /// What is in the field is summed too: the sum of the pseudo-header, or zero.
    static void sum_up(Frame& frame, size_t from, size_t last, size_t field) {
        const size_t end = last == 0 ? frame.size() : last + 1;
        uint32_t sum = 0;
        for (size_t i = from; i < end; ++i)
            sum += uint32_t{frame.at(i)} << ((i - from) % 2 == 0 ? 8 : 0);
        while (sum > 0xFFFF)
            sum = (sum & 0xFFFF) + (sum >> 16);
        put(frame, field, sum == 0xFFFF ? 0xFFFF : ~sum, 2);
    }

    /// The last descriptor of a frame: it goes, in one piece or cut.
    void finish() {
        const Sending whole = std::exchange(sending, {});
        const auto bit = [&](unsigned n) { return (whole.word >> n & 1) != 0; };
        const bool extended = bit(29), cuts = extended && bit(26);
        const Context& c = cuts ? cutting_context : plain_context;
        const size_t each = cuts ? c.segment_bytes : whole.bytes.size();
        const size_t head = cuts ? c.header_bytes : 0;
        if (cuts && whole.bytes.size() - head != c.data_bytes)
            throw std::runtime_error("the context lies about the data");
        for (size_t from = head; from < whole.bytes.size(); from += each) {
            const size_t to = std::min(from + each, whole.bytes.size());
            Frame frame{whole.bytes.begin(), whole.bytes.begin() + static_cast<long>(head)};
            frame.insert(
                frame.end(),
                whole.bytes.begin() + static_cast<long>(from),
                whole.bytes.begin() + static_cast<long>(to)
            );
            if (cuts) renumber(frame, c, from - head, to == whole.bytes.size());
            if (extended && bit(41)) sum_up(frame, c.start, c.last, c.field);
            if (extended && bit(40)) sum_up(frame, c.ip_start, c.ip_last, c.ip_field);
            sent.push_back(frame);
        }
    }

    static void renumber(Frame& frame, const Context& c, size_t offset, bool last) {
        const auto length = static_cast<uint32_t>(frame.size());
        put(frame, c.ip_start + 2u, length - c.ip_start, 2);
        const auto number = static_cast<uint32_t>(offset / c.segment_bytes);
        put(frame, c.ip_start + 4u, get(frame, c.ip_start + 4u, 2) + number, 2);
        put(frame, c.start + 4u, get(frame, c.start + 4u, 4) + static_cast<uint32_t>(offset), 4);
        if (!last) frame.at(c.start + 13u) &= static_cast<uint8_t>(~9); // PSH, FIN
        uint32_t sum = get(frame, c.field, 2) + length - c.start;
        sum = (sum & 0xFFFF) + (sum >> 16);
        put(frame, c.field, sum, 2);
    }

    /// Puts a frame on the wire; false when the device has no descriptor for it.
    ///   status   more bits of the descriptor's status
    bool receive(
        std::span<const uint8_t> frame, uint8_t errors = 0, bool last = true, uint8_t status = 0
    ) {
        if ((cells[0x100] & 2) == 0) return false;
        uint32_t& head = cells[0x2810];
        if (head == cells[0x2818]) {
            cells[0xC0] |= 0x40;
            ++cells[0x40A0];
            return false;
        }
        e1000::Descriptor* d = descriptor(0x2800, 0x2804, head);
        std::memcpy(at(d->address, frame.size()), frame.data(), frame.size());
        d->word = frame.size() | uint64_t{1} << 32 | uint64_t{last} << 33 | uint64_t{status} << 32 |
                  uint64_t{errors} << 40;
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
