// The one page a dispatcher shares with its core's CPU driver. Hostile by assumption: the CPU
// driver reads each word once and checks it; nothing it needs for itself is kept here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace abi {

/// General registers as the CPU driver saves and loads them; asm knows the offsets.
struct SaveArea {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags, fs_base, gs_base;
};

static_assert(sizeof(SaveArea) == 160 && offsetof(SaveArea, rip) == 128);

/// Save areas by number, as `resume` takes them.
enum class Area : uint64_t { enabled = 0, fault = 1 };

/// When upcall_run is entered instead of going on.
namespace run_upcall {
constexpr uint64_t never = 0, after_preemption = 1, on_event = 2; // or-ed
} // namespace run_upcall

struct DispatcherPage {
    // written by the domain
    uint64_t disabled;          // nonzero: no upcalls; a fault now ends the domain
    uint64_t wants_run_upcall;  // run_upcall: on_event means while `pending` is not 0
    uint64_t upcall_run;        // entry addresses; each starts with rdi = this page's address,
    uint64_t upcall_page_fault; // rsp = upcall_stack, disabled = 1
    uint64_t upcall_trap;
    uint64_t upcall_stack; // top, 16-byte aligned
    uint64_t reserved_a[2];
    // written by the CPU driver
    uint64_t pending;      // event bits, or-ed in; taken and cleared by `wait`
    uint64_t fault_vector; // 14 for upcall_page_fault, else the trap's vector
    uint64_t fault_code;
    uint64_t fault_address; // CR2
    uint64_t tsc_khz;
    uint64_t tsc_at_start; // TSC that is Instant{0} of this core
    uint64_t core;         // index of the core
    uint64_t reserved_b;
    SaveArea save[2]; // by Area
};

static_assert(sizeof(DispatcherPage) <= 4096);
static_assert(offsetof(DispatcherPage, pending) == 64 && offsetof(DispatcherPage, save) == 128);

} // namespace abi
