// Whose frames the card takes: its own address, and the groups it was told to hear.
// Source: 317453 rev 4.0, sections 5.6.1 (EEPROM), 13.4.4 and 13.5.1 to 13.5.3.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "drivers/e1000/regs.hpp"
#include "lib/base/result.hpp"
#include "lib/base/time.hpp"

namespace e1000 {

using MacAddress = std::array<uint8_t, 6>;

constexpr bool is_station(const MacAddress& mac) { // unicast, and not all zeros
    constexpr MacAddress zero{};
    return (mac[0] & 1) == 0 && mac != zero;
}

/// A group's place in the multicast table: 12 bits of the address (13.5.1).
constexpr uint32_t multicast_hash(const MacAddress& group) {
    return (uint32_t{group[5]} << 4 | uint32_t{group[4]} >> 4) & 0xFFF;
}

template <class Io>
void write_groups(hw::Block<Io>& regs, std::span<const MacAddress> groups) {
    std::array<uint32_t, Mta::count> words{};
    for (const MacAddress& group : groups) {
        const uint32_t hash = multicast_hash(group);
        words[hash / 32] |= uint32_t{1} << (hash % 32);
    }
    for (uint32_t i = 0; i < Mta::count; ++i)
        regs.template write<Mta>(i, {words[i]});
}

/// The unicast address to receive: entry 0 of 16.
template <class Io>
void write_address(hw::Block<Io>& regs, const MacAddress& mac) {
    const uint32_t low =
        uint32_t{mac[0]} | uint32_t{mac[1]} << 8 | uint32_t{mac[2]} << 16 | uint32_t{mac[3]} << 24;
    const auto high = static_cast<uint16_t>(mac[4] | mac[5] << 8);
    regs.template write<Ral>(0, {low});
    regs.template write<Rah>(0, Rah::of(Rah::High{high}, Rah::Valid{true}));
}

/// No group, and no address but entry 0.
template <class Io>
void clear_filters(hw::Block<Io>& regs) {
    write_groups(regs, {});
    for (uint32_t i = 1; i < Rah::count; ++i) {
        regs.template write<Rah>(i, {0});
        regs.template write<Ral>(i, {0});
    }
}

namespace detail {

constexpr MacAddress join(uint32_t w0, uint32_t w1, uint32_t w2) { // 5.6.1: low byte first
    const auto byte = [](uint32_t v) { return static_cast<uint8_t>(v & 0xFF); };
    return {byte(w0), byte(w0 >> 8), byte(w1), byte(w1 >> 8), byte(w2), byte(w2 >> 8)};
}

template <class Io, class Delay>
Result<uint16_t> read_eeprom(hw::Block<Io>& regs, uint8_t word, Delay& delay) { // 13.4.4
    regs.template write<Eerd>(Eerd::of(Eerd::Start{true}, Eerd::Address{word}));
    for (unsigned tries = 0; tries < 100; ++tries) {
        const auto eerd = regs.template read<Eerd>();
        if (eerd.template get<Eerd::Done>()) return eerd.template get<Eerd::Data>();
        delay(microseconds(50));
    }
    return fail(Err::device_fault);
}

} // namespace detail

/// From the receive address that the device loaded itself, else from the EEPROM.
///   errors   device_fault (neither gives an address of a station)
template <class Io, class Delay>
Result<MacAddress> read_own_address(hw::Block<Io>& regs, Delay& delay) {
    const uint32_t low = regs.template read<Ral>(0).raw;
    const auto high = regs.template read<Rah>(0);
    const uint32_t top = high.template get<Rah::High>();
    const MacAddress loaded = detail::join(low & 0xFFFF, low >> 16, top);
    if (high.template get<Rah::Valid>() && is_station(loaded)) return loaded;
    std::array<uint32_t, 3> words{};
    for (uint8_t i = 0; i < words.size(); ++i)
        words[i] = TRY(detail::read_eeprom(regs, i, delay));
    const MacAddress stored = detail::join(words[0], words[1], words[2]);
    if (!is_station(stored)) return fail(Err::device_fault);
    return stored;
}

} // namespace e1000
