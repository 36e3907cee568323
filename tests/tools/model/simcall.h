/* Guest side of the coherence.c hypercall.
 *
 * The magic is one real x86 instruction, a store with redundant segment
 * prefixes (2e 3e 2e 3e 48 89 03 = movq %rax,(%rbx)); on hardware or without
 * the plugin it is just that store.  With the plugin, the 64-byte block at
 * (%rbx) is read after the store and answered in place. */
#ifndef SIMCALL_H
#define SIMCALL_H
#include <stdint.h>

enum { SIM_BEGIN = 1, SIM_END = 2, SIM_CLOCK = 3, SIM_DETAIL = 4, SIM_NOTE = 5, SIM_ALIGN = 6 };

struct simcall {
    uint64_t op, arg, res;
    char name[40];
} __attribute__((aligned(64)));

static inline uint64_t simcall(uint64_t op, uint64_t arg, const char* name) {
    struct simcall c = {.op = 0, .arg = arg, .res = 0};
    for (int i = 0; i < 39 && name && name[i]; i++)
        c.name[i] = name[i];
    asm volatile(".byte 0x2e,0x3e,0x2e,0x3e,0x48,0x89,0x03" : : "a"(op), "b"(&c) : "memory");
    return *(volatile uint64_t*)&c.res;
}
#endif
