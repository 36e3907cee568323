// The first serial port as the boot program and a CPU driver use it: lines out, nothing in. Once
// init has handed the port to the console domain only a panic still writes here.
// Source: National Semiconductor PC16550D data sheet, 8.0.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "cpudriver/x86_64/instructions.hpp"
#include "lib/base/format.hpp"

namespace cpu::serial {

constexpr uint16_t data_port = 0x3f8;
constexpr uint16_t line_status_port = 0x3fd;
constexpr uint8_t transmitter_empty = 0x20;

inline void put(char c) {
    // Bounded: a machine without the port reads as ones, one with a stuck port still boots.
    for (unsigned tries = 0; tries < 100'000; ++tries) {
        if ((in8(line_status_port) & transmitter_empty) != 0) break;
        pause();
    }
    out8(data_port, static_cast<uint8_t>(c));
}

inline void put(std::string_view text) {
    for (char c : text) {
        if (c == '\n') put('\r');
        put(c);
    }
}

/// One line; what exceeds 240 characters is cut off.
template <class... Args>
void line(Format<Args...> text, const Args&... args) {
    std::array<char, 240> buffer;
    put(format_to(buffer, text, args...));
    put("\n");
}

} // namespace cpu::serial
