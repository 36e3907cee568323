// Markers that our QEMU plugins see (tools/count, isolation, messages); elsewhere they do nothing.
#pragma once

#include <cstdint>

/// `nopl disp32(%rax)`: seven bytes, no privilege, no effect on any x86-64. Ids 1 and 2 open and
/// close the counting window, 10 to 12 stand before receive, after it and after send, 13 is an
/// interrupt sent to another core, and those from 16 on are the benchmarks'.
template <uint16_t Id>
[[gnu::always_inline]] inline void mark() {
    static_assert(Id < 1024, "the plugin tells 1024 markers apart");
    asm volatile(".byte 0x0f, 0x1f, 0x80\n\t.long %c0" ::"i"(0x4b4d'0000 | Id) : "memory");
}

// The markers of memory are a load with prefixes that no compiler makes: the plugin learns from it
// where in RAM its operand lies.

/// The 2 MiB block of RAM around `inside` is given up: this core does not touch it from here on.
[[gnu::always_inline]] inline void mark_block_given(const void* inside) {
    uint8_t ignored;
    asm volatile(".byte 0x2e, 0x3e, 0x2e, 0x3e\n\tmovb (%%rbx), %%al"
                 : "=a"(ignored)
                 : "b"(inside)
                 : "memory");
}

/// The 2 MiB block around `inside` is this core's from here on: what others touched in it until now
/// is no sharing.
[[gnu::always_inline]] inline void mark_block_taken(const void* inside) {
    uint8_t ignored;
    asm volatile(".byte 0x3e, 0x2e, 0x3e, 0x2e\n\tmovb (%%rbx), %%al"
                 : "=a"(ignored)
                 : "b"(inside)
                 : "memory");
}

/// What memory between `first` and `last` (the addresses of its first and last line, contiguous in
/// RAM) is used for from here on, and no more for what was said before.
enum class MarkedUse : uint8_t {
    channel, // two control lines and two rings of lib/ump: each line has one writer
    queue,   // an area of lib/netq: each buffer has one owner at a time
    nothing, // it goes back, to whatever it is used for next
};

template <MarkedUse use>
[[gnu::always_inline]] inline void mark_use(const void* first, const void* last) {
    if constexpr (use == MarkedUse::channel)
        asm volatile(".byte 0x3e, 0x2e, 0x3e, 0x2e\n\tcmpsb" : "+S"(first), "+D"(last)::"memory");
    else if constexpr (use == MarkedUse::queue)
        asm volatile(".byte 0x3e, 0x3e, 0x2e, 0x2e\n\tcmpsb" : "+S"(first), "+D"(last)::"memory");
    else
        asm volatile(".byte 0x2e, 0x3e, 0x2e, 0x3e\n\tcmpsb" : "+S"(first), "+D"(last)::"memory");
}
