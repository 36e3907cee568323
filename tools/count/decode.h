/* Which instructions cost far more than one, repeat themselves, or are markers. For insncount.c. */
#ifndef SKERRY_DECODE_H
#define SKERRY_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum special {
    CR3_LOAD, CR_LOAD, INVLPG, WRMSR, RDMSR, PORT_IO, HLT, SYSCALL, IRET, SWAPGS, LOCKED, FENCE,
    PAUSE, CPUID, RDTSC, DEVICE_LOAD, DEVICE_STORE, SPECIALS
};

static const char *const special_names[SPECIALS] = {
    "cr3_load", "cr0_cr4_load", "invlpg", "wrmsr", "rdmsr", "port_io", "hlt", "syscall", "iret",
    "swapgs", "lock_prefix", "fence", "pause", "cpuid", "rdtsc", "device_load", "device_store",
};

static bool is_prefix(uint8_t byte) {
    switch (byte) {
    case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x66: case 0x67:
    case 0xf0: case 0xf2: case 0xf3: return true;
    default: return (byte & 0xf0) == 0x40;
    }
}

static int second_byte(const uint8_t *b, size_t n, bool f3) {
    if (n < 2) return -1;
    uint8_t modrm = n > 2 ? b[2] : 0;
    unsigned reg = modrm >> 3 & 7;
    switch (b[1]) {
    case 0x05: return SYSCALL;
    case 0x22: return reg == 3 ? CR3_LOAD : CR_LOAD;
    case 0x30: return WRMSR;
    case 0x31: return RDTSC;
    case 0x32: return RDMSR;
    case 0xa2: return CPUID;
    case 0xae: return n > 2 && modrm >= 0xe8 && !f3 ? FENCE : -1;
    case 0x01:
        if (modrm == 0xf8) return SWAPGS;
        if (modrm == 0xf9) return RDTSC; /* RDTSCP */
        return n > 2 && modrm < 0xc0 && reg == 7 ? INVLPG : -1;
    default: return -1;
    }
}

/* Which special instruction this is, or -1; `repeats` tells a REP string instruction. */
static int classify(const uint8_t *b, size_t n, bool *repeats) {
    bool locked = false, f3 = false, rep = false;
    *repeats = false;
    for (; n && is_prefix(*b); b++, n--) {
        locked |= *b == 0xf0;
        f3 |= *b == 0xf3;
        rep |= *b == 0xf3 || *b == 0xf2;
    }
    if (!n) return -1;
    bool string = (*b >= 0xa4 && *b <= 0xa7) || (*b >= 0xaa && *b <= 0xaf);
    *repeats = rep && (string || (*b >= 0x6c && *b <= 0x6f));
    if (locked) return LOCKED;
    switch (*b) {
    case 0x86: case 0x87: return n > 1 && b[1] < 0xc0 ? LOCKED : -1; /* XCHG locks by itself */
    case 0x90: return f3 ? PAUSE : -1;
    case 0xcf: return IRET;
    case 0xf4: return HLT;
    case 0x0f: return second_byte(b, n, f3);
    case 0x6c: case 0x6d: case 0x6e: case 0x6f: case 0xe4: case 0xe5: case 0xe6: case 0xe7:
    case 0xec: case 0xed: case 0xee: case 0xef: return PORT_IO;
    default: return -1;
    }
}

/* 0F 1F 80 imm32 with imm32 = 0x4B4D0000 | id. */
static bool is_marker(const uint8_t *b, size_t n) {
    return n == 7 && !memcmp(b, "\x0f\x1f\x80", 3) && b[5] == 0x4d && b[6] == 0x4b;
}

#endif
