// Markers that the instruction-counting plugin (tools/count) sees; elsewhere they are no-ops.
#pragma once

#include <cstdint>

/// `nopl disp32(%rax)`: seven bytes, no privilege, no effect on any x86-64. Ids 1 and 2 open and
/// close the plugin's window, 10 to 12 stand before receive, after it and after send, and those
/// from 16 on are the benchmarks'.
template <uint16_t Id>
[[gnu::always_inline]] inline void mark() {
    static_assert(Id < 1024, "the plugin tells 1024 markers apart");
    asm volatile(".byte 0x0f, 0x1f, 0x80\n\t.long %c0" ::"i"(0x4b4d'0000 | Id) : "memory");
}
