// One inline function an instruction. The only inline asm of the CPU driver and the boot program.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cpu {

inline void out8(uint16_t port, uint8_t v) {
    asm volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}

inline void out16(uint16_t port, uint16_t v) {
    asm volatile("outw %0, %1" ::"a"(v), "Nd"(port));
}

inline void out32(uint16_t port, uint32_t v) {
    asm volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}

inline uint8_t in8(uint16_t port) {
    uint8_t v;
    asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

inline uint16_t in16(uint16_t port) {
    uint16_t v;
    asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

inline uint32_t in32(uint16_t port) {
    uint32_t v;
    asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

/// The Io of lib/hw's port blocks.
struct Ports {
    uint8_t in8(uint16_t port) { return cpu::in8(port); }

    uint16_t in16(uint16_t port) { return cpu::in16(port); }

    uint32_t in32(uint16_t port) { return cpu::in32(port); }

    void out8(uint16_t port, uint8_t v) { cpu::out8(port, v); }

    void out16(uint16_t port, uint16_t v) { cpu::out16(port, v); }

    void out32(uint16_t port, uint32_t v) { cpu::out32(port, v); }
};

struct CpuidAnswer {
    uint32_t a, b, c, d;
};

inline CpuidAnswer cpuid(uint32_t leaf, uint32_t sub_leaf = 0) {
    CpuidAnswer r;
    asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(sub_leaf));
    return r;
}

inline uint64_t read_msr(uint32_t msr) {
    uint32_t low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return uint64_t{high} << 32 | low;
}

inline void write_msr(uint32_t msr, uint64_t v) {
    const auto low = static_cast<uint32_t>(v), high = static_cast<uint32_t>(v >> 32);
    asm volatile("wrmsr" ::"c"(msr), "a"(low), "d"(high) : "memory");
}

inline uint64_t read_tsc() {
    uint32_t low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return uint64_t{high} << 32 | low;
}

inline uint64_t read_cr0() {
    uint64_t v;
    asm volatile("movq %%cr0, %0" : "=r"(v));
    return v;
}

inline uint64_t read_cr2() {
    uint64_t v;
    asm volatile("movq %%cr2, %0" : "=r"(v));
    return v;
}

inline uint64_t read_cr3() {
    uint64_t v;
    asm volatile("movq %%cr3, %0" : "=r"(v));
    return v;
}

inline uint64_t read_cr4() {
    uint64_t v;
    asm volatile("movq %%cr4, %0" : "=r"(v));
    return v;
}

// "memory": what was written to page tables is written before they are used.
inline void write_cr0(uint64_t v) {
    asm volatile("movq %0, %%cr0" ::"r"(v) : "memory");
}

inline void write_cr3(uint64_t v) {
    asm volatile("movq %0, %%cr3" ::"r"(v) : "memory");
}

inline void write_cr4(uint64_t v) {
    asm volatile("movq %0, %%cr4" ::"r"(v) : "memory");
}

inline void write_dr7(uint64_t v) {
    asm volatile("movq %0, %%dr7" ::"r"(v));
}

inline void invalidate_page(uint64_t at) {
    asm volatile("invlpg (%0)" ::"r"(at) : "memory");
}

inline void write_xcr0(uint64_t v) {
    const auto low = static_cast<uint32_t>(v), high = static_cast<uint32_t>(v >> 32);
    asm volatile("xsetbv" ::"c"(0), "a"(low), "d"(high));
}

/// Extended registers of user programs; `area` is 64-byte aligned. All components of XCR0.
inline void xsave(void* area) {
    asm volatile("xsave64 (%0)" ::"r"(area), "a"(~0u), "d"(~0u) : "memory");
}

inline void xrstor(const void* area) {
    asm volatile("xrstor64 (%0)" ::"r"(area), "a"(~0u), "d"(~0u) : "memory");
}

inline void fxsave(void* area) {
    asm volatile("fxsave64 (%0)" ::"r"(area) : "memory");
}

inline void fxrstor(const void* area) {
    asm volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
}

inline uint64_t read_fs_base() {
    uint64_t v;
    asm volatile("rdfsbase %0" : "=r"(v));
    return v;
}

inline uint64_t read_gs_base() {
    uint64_t v;
    asm volatile("rdgsbase %0" : "=r"(v));
    return v;
}

inline void write_fs_base(uint64_t v) {
    asm volatile("wrfsbase %0" ::"r"(v));
}

inline void write_gs_base(uint64_t v) {
    asm volatile("wrgsbase %0" ::"r"(v));
}

/// Operand of LGDT and LIDT.
struct [[gnu::packed]] TableRegister {
    uint16_t limit;
    uint64_t base;
};

inline void load_gdt(const TableRegister& r) {
    asm volatile("lgdt %0" ::"m"(r) : "memory");
}

inline void load_idt(const TableRegister& r) {
    asm volatile("lidt %0" ::"m"(r) : "memory");
}

inline void load_task_register(uint16_t selector) {
    asm volatile("ltr %0" ::"r"(selector));
}

inline void pause() {
    asm volatile("pause");
}

inline void halt() {
    asm volatile("hlt");
}

inline void interrupts_off() {
    asm volatile("cli" ::: "memory");
}

/// Copies upwards; `to` may overlap `from` from below.
inline void repeat_move_bytes(void* to, const void* from, size_t count) {
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count)::"memory");
}

inline void repeat_move_words(void* to, const void* from, size_t count) {
    asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count)::"memory");
}

inline void repeat_store_bytes(void* to, uint8_t v, size_t count) {
    asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(v) : "memory");
}

inline void repeat_store_words(void* to, uint64_t v, size_t count) {
    asm volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(v) : "memory");
}

} // namespace cpu
