// Numbers that the assembler files use. The C++ half of this file asserts that each of them is
// what the structure says.
#pragma once

// abi::SaveArea
#define SAVE_RAX 0
#define SAVE_RBX 8
#define SAVE_RCX 16
#define SAVE_RDX 24
#define SAVE_RSI 32
#define SAVE_RDI 40
#define SAVE_RBP 48
#define SAVE_RSP 56
#define SAVE_R8 64
#define SAVE_R9 72
#define SAVE_R10 80
#define SAVE_R11 88
#define SAVE_R12 96
#define SAVE_R13 104
#define SAVE_R14 112
#define SAVE_R15 120
#define SAVE_RIP 128
#define SAVE_RFLAGS 136

// abi::StartEntry
#define START_ROOT 0
#define START_BOOT_INFO 8
#define START_ENTRY_BYTES 16

// Segment selectors
#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_DATA 0x1b
#define USER_CODE 0x23
#define TASK_STATE 0x28

// What cpu_handle_system_call answers: on goes the caller, and what C++ keeps is still in the CPU;
// another one, whose last entry was a system call, with the message that is sent; whoever it is;
// nobody.
#define GO_ON 0
#define SPOKEN_TO 1
#define LEAVE 2
#define IDLE 3

#define STACK_BYTES 0x4000
#define EXCEPTION_STACK_BYTES 0x1000
#define VECTORS 256
#define VECTOR_STUB_BYTES 16

#ifndef __ASSEMBLER__

#include <cstddef>

#include "lib/abi/boot_info.hpp"
#include "lib/abi/dispatcher_page.hpp"

namespace cpu {

static_assert(offsetof(abi::SaveArea, rax) == SAVE_RAX);
static_assert(offsetof(abi::SaveArea, rbx) == SAVE_RBX);
static_assert(offsetof(abi::SaveArea, rcx) == SAVE_RCX);
static_assert(offsetof(abi::SaveArea, rdx) == SAVE_RDX);
static_assert(offsetof(abi::SaveArea, rsi) == SAVE_RSI);
static_assert(offsetof(abi::SaveArea, rdi) == SAVE_RDI);
static_assert(offsetof(abi::SaveArea, rbp) == SAVE_RBP);
static_assert(offsetof(abi::SaveArea, rsp) == SAVE_RSP);
static_assert(offsetof(abi::SaveArea, r8) == SAVE_R8);
static_assert(offsetof(abi::SaveArea, r9) == SAVE_R9);
static_assert(offsetof(abi::SaveArea, r10) == SAVE_R10);
static_assert(offsetof(abi::SaveArea, r11) == SAVE_R11);
static_assert(offsetof(abi::SaveArea, r12) == SAVE_R12);
static_assert(offsetof(abi::SaveArea, r13) == SAVE_R13);
static_assert(offsetof(abi::SaveArea, r14) == SAVE_R14);
static_assert(offsetof(abi::SaveArea, r15) == SAVE_R15);
static_assert(offsetof(abi::SaveArea, rip) == SAVE_RIP);
static_assert(offsetof(abi::SaveArea, rflags) == SAVE_RFLAGS);
static_assert(offsetof(abi::StartEntry, root) == START_ROOT);
static_assert(offsetof(abi::StartEntry, boot_info) == START_BOOT_INFO);
static_assert(sizeof(abi::StartEntry) == START_ENTRY_BYTES);
// SYSRET takes its selectors from STAR: data at base + 8, 64-bit code at base + 16.
static_assert(USER_CODE == USER_DATA + 8);

} // namespace cpu

#endif
