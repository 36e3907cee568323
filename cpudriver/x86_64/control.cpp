#include "cpudriver/x86_64/control.hpp"

#include <bit>

#include "cpudriver/x86_64/image.hpp"
#include "cpudriver/x86_64/memory.hpp"
#include "cpudriver/x86_64/offsets.hpp"

namespace cpu {

namespace {

namespace msr {
constexpr uint32_t pat = 0x277, efer = 0xc000'0080;
constexpr uint32_t star = 0xc000'0081, lstar = 0xc000'0082, fmask = 0xc000'0084;
constexpr uint32_t fs_base = 0xc000'0100, gs_base = 0xc000'0101;
} // namespace msr

namespace cr0 {
constexpr uint64_t monitor_coprocessor = 1 << 1, emulation = 1 << 2, task_switched = 1 << 3;
constexpr uint64_t numeric_error = 1 << 5, write_protect = 1 << 16;
} // namespace cr0

namespace cr4 {
constexpr uint64_t machine_check = 1 << 6, global_pages = 1 << 7, fxsr = 1 << 9,
                   simd_exceptions = 1 << 10;
constexpr uint64_t umip = 1 << 11, fsgsbase = 1 << 16, pcid = 1 << 17, xsave = 1 << 18;
constexpr uint64_t smep = 1 << 20, smap = 1 << 21;
} // namespace cr4

// WB, WC, UC-, UC; then the defaults of a reset. kernel/page_table.hpp uses entries 0, 1 and 3.
constexpr uint64_t memory_types = 0x0007'0406'0007'0106;

// All that a program can set: carry .. overflow, trap, interrupt, direction, IOPL, NT, AC.
constexpr uint64_t flags_cleared_by_syscall = 0x4'7fd5;

} // namespace

void enable_page_attributes() {
    write_msr(msr::pat, memory_types);
    constexpr uint64_t no_execute = 1 << 11;
    write_msr(msr::efer, read_msr(msr::efer) | no_execute);
}

void enable_features(const Features& f) {
    uint64_t c0 = read_cr0() & ~(cr0::emulation | cr0::task_switched);
    c0 |= cr0::monitor_coprocessor | cr0::numeric_error | cr0::write_protect;
    write_cr0(c0);
    uint64_t c4 = read_cr4() | cr4::global_pages | cr4::fxsr | cr4::simd_exceptions;
    if (f.mce) c4 |= cr4::machine_check;
    if (f.smep) c4 |= cr4::smep;
    if (f.smap) c4 |= cr4::smap;
    if (f.umip) c4 |= cr4::umip;
    if (f.fsgsbase) c4 |= cr4::fsgsbase;
    if (f.pcid) c4 |= cr4::pcid; // CR3 has tag 0: the kernel's own root
    if (f.xsave) c4 |= cr4::xsave;
    write_cr4(c4);
    constexpr uint64_t user_base = USER_DATA - 8, kernel_base = KERNEL_CODE;
    static_assert(KERNEL_DATA == KERNEL_CODE + 8);
    write_msr(msr::star, user_base << 48 | kernel_base << 32);
    write_msr(msr::lstar, address_of(std::bit_cast<const void*>(&cpu_system_call)));
    write_msr(msr::fmask, flags_cleared_by_syscall);
    constexpr uint64_t system_calls = 1;
    write_msr(msr::efer, read_msr(msr::efer) | system_calls);
    write_msr(msr::fs_base, 0);
    write_msr(msr::gs_base, 0);
    write_dr7(0);
}

void ExtendedState::enable(const Features& f) {
    xsave_ = f.xsave;
    if (!xsave_) return;
    constexpr uint64_t x87 = 1, sse = 2, avx = 4, avx512 = 0xe0;
    constexpr uint32_t xsave_leaf = 0x0d;
    const uint64_t known = cpuid(xsave_leaf).a;
    uint64_t components = x87 | sse;
    if (f.avx && (known & avx) != 0) components |= avx;
    write_xcr0(components);
    if (!f.avx512 || (known & avx512) != avx512 || (components & avx) == 0) return;
    write_xcr0(components | avx512);
    if (cpuid(xsave_leaf).b > area_bytes) write_xcr0(components);
}

void ExtendedState::make_fresh(std::byte* area) const {
    // SDM vol. 1 table 10-2: all exceptions masked. XRSTOR takes MXCSR from memory even when the
    // header says that the component is in its initial state.
    constexpr uint16_t control_word = 0x37f;
    constexpr uint32_t mxcsr = 0x1f80;
    constexpr size_t mxcsr_at = 24;
    // The image of FXSAVE and the header behind it; what the header calls initial is not read.
    constexpr size_t read_bytes = 512 + 64;
    fill_bytes(area, 0, read_bytes);
    copy_bytes(area, &control_word, sizeof control_word);
    copy_bytes(area + mxcsr_at, &mxcsr, sizeof mxcsr);
}

} // namespace cpu
