// The end of a CPU driver: what happened, where, by which way, on the serial port; then this core
// halts for ever and the others go on.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "lib/abi/boot_info.hpp"
#include "lib/base/format.hpp"

namespace cpu {

/// Gives a panic the core's number and the ELF file with the names of functions.
void prepare_panic(const abi::BootInfo& info);

/// `frame`: the frame pointer to walk from; `at`: an address to name first, or 0.
[[noreturn]] void panic_from(uint64_t frame, uint64_t at, std::string_view text);

template <class... Args>
[[noreturn]] void panic(Format<Args...> text, const Args&... args) {
    std::array<char, 240> buffer;
    const std::string_view line = format_to(buffer, text, args...);
    panic_from(std::bit_cast<uint64_t>(__builtin_frame_address(0)), 0, line);
}

} // namespace cpu
