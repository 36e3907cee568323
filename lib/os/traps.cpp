#include "lib/os/traps.hpp"

#include <array>

namespace os {

std::string_view name_of_trap(unsigned vector) {
    constexpr std::array<std::string_view, 22> names{
        "divide error",
        "debug",
        "non-maskable interrupt",
        "breakpoint",
        "overflow",
        "bound range",
        "invalid opcode",
        "no FPU",
        "double fault",
        "coprocessor overrun",
        "invalid TSS",
        "segment not present",
        "stack fault",
        "general protection",
        "page fault",
        "trap 15",
        "x87 error",
        "alignment check",
        "machine check",
        "SIMD error",
        "virtualization",
        "control protection",
    };
    return vector < names.size() ? names[vector] : "trap";
}

std::string_view access_of(unsigned code) {
    constexpr unsigned write = 2, fetch = 16;
    if ((code & fetch) != 0) return "execute";
    return (code & write) != 0 ? "write" : "read";
}

} // namespace os
