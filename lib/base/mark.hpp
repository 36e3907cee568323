// Markers that our QEMU plugins see (tools/count, tools/isolation); elsewhere they do nothing.
#pragma once

#include <cstdint>

/// `nopl disp32(%rax)`: seven bytes, no privilege, no effect on any x86-64. Ids 1 and 2 open and
/// close the counting window, 10 to 12 stand before receive, after it and after send, and those
/// from 16 on are the benchmarks'.
template <uint16_t Id>
[[gnu::always_inline]] inline void mark() {
    static_assert(Id < 1024, "the plugin tells 1024 markers apart");
    asm volatile(".byte 0x0f, 0x1f, 0x80\n\t.long %c0" ::"i"(0x4b4d'0000 | Id) : "memory");
}

/// The 2 MiB block of RAM around `inside` goes to another owner: what this core touched in it until
/// now is no sharing. One byte load with prefixes that no compiler makes.
[[gnu::always_inline]] inline void mark_block_given(const void* inside) {
    uint8_t ignored;
    asm volatile(".byte 0x2e, 0x3e, 0x2e, 0x3e\n\tmovb (%%rbx), %%al"
                 : "=a"(ignored)
                 : "b"(inside)
                 : "memory");
}
