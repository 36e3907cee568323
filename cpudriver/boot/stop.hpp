// How the boot program speaks: one line a stage, and one sentence when it cannot go on.
#pragma once

#include "cpudriver/x86_64/serial.hpp"
#include "lib/base/log.hpp"

namespace boot {

template <class... Args>
void say(Format<Args...> text, const Args&... args) {
    cpu::serial::put("skerry boot: ");
    cpu::serial::line(text, args...);
}

/// Says what is wrong, and ends there.
template <class... Args>
[[noreturn]] void stop(Format<Args...> text, const Args&... args) {
    cpu::serial::put("skerry boot: ");
    std::array<char, 240> buffer;
    cpu::serial::put(format_to(buffer, text, args...));
    cpu::serial::put(": halted\n");
    for (;;) {
        cpu::interrupts_off();
        cpu::halt();
    }
}

} // namespace boot
