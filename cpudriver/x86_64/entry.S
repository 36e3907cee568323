// Ways into the CPU driver and out of it. Interrupts are off in here; every way in starts with the
// one stack empty, as a CPU driver never waits: what a dispatcher was doing is in its registers,
// saved where `cpu_current_registers` points. Globals are reached without a segment base, since no
// other core maps them.
// Source: Intel SDM vol. 3A 6.14 (64-bit interrupts), vol. 2B SYSCALL, SYSRET, IRET.

#include "cpudriver/x86_64/offsets.hpp"

// The first byte of the image. rdi = physical address of abi::BootInfo.
    .section .text.entry, "ax"
    .globl cpu_entry
cpu_entry:
    leaq kernel_stack_top(%rip), %rsp
    xorl %ebp, %ebp
    call cpu_start
    jmp cpu_leave

    .text

// Those that any way out loads, but rax.
    .macro general_registers
    movq SAVE_RDX(%rsp), %rdx
    movq SAVE_RSI(%rsp), %rsi
    movq SAVE_RDI(%rsp), %rdi
    movq SAVE_RBP(%rsp), %rbp
    movq SAVE_R8(%rsp), %r8
    movq SAVE_R9(%rsp), %r9
    movq SAVE_R10(%rsp), %r10
    movq SAVE_R12(%rsp), %r12
    movq SAVE_R13(%rsp), %r13
    .endm

// SYSCALL: rcx = rip, r11 = rflags, rsp still the caller's. If the caller goes on, what C++
// functions keep is still in the CPU.
    .globl cpu_system_call
    .type cpu_system_call, @function
cpu_system_call:
    movq %rsp, user_stack_pointer(%rip)
    movq cpu_current_registers(%rip), %rsp
    movq %rax, SAVE_RAX(%rsp)
    movq %rbx, SAVE_RBX(%rsp)
    movq %rcx, SAVE_RCX(%rsp)
    movq %rdx, SAVE_RDX(%rsp)
    movq %rsi, SAVE_RSI(%rsp)
    movq %rdi, SAVE_RDI(%rsp)
    movq %rbp, SAVE_RBP(%rsp)
    movq %r8, SAVE_R8(%rsp)
    movq %r9, SAVE_R9(%rsp)
    movq %r10, SAVE_R10(%rsp)
    movq %r11, SAVE_R11(%rsp)
    movq %r12, SAVE_R12(%rsp)
    movq %r13, SAVE_R13(%rsp)
    movq %r14, SAVE_R14(%rsp)
    movq %r15, SAVE_R15(%rsp)
    movq %rcx, SAVE_RIP(%rsp)
    movq %r11, SAVE_RFLAGS(%rsp)
    movq user_stack_pointer(%rip), %rax
    movq %rax, SAVE_RSP(%rsp)
    leaq kernel_stack_top(%rip), %rsp
    xorl %ebp, %ebp
    call cpu_handle_system_call
    testl %eax, %eax
    jnz 1f
    movq cpu_current_registers(%rip), %rsp
    movq SAVE_RCX(%rsp), %rcx
    movq SAVE_R11(%rsp), %r11
    jmp return_from_call
1:  cmpl $SPOKEN_TO, %eax
    jne 2f
    movq cpu_sender_registers(%rip), %rax
    movq cpu_current_registers(%rip), %rsp
    movq SAVE_RDX(%rax), %rdx       // words 1..6
    movq SAVE_R10(%rax), %r10
    movq SAVE_R8(%rax), %r8
    movq SAVE_R9(%rax), %r9
    movq SAVE_R12(%rax), %r12
    movq SAVE_R13(%rax), %r13
    movq SAVE_RBX(%rsp), %rbx
    movq SAVE_RCX(%rsp), %rcx
    movq SAVE_RSI(%rsp), %rsi
    movq SAVE_RDI(%rsp), %rdi
    movq SAVE_RBP(%rsp), %rbp
    movq SAVE_R11(%rsp), %r11
    movq SAVE_R14(%rsp), %r14
    movq SAVE_R15(%rsp), %r15
    xorl %eax, %eax
    movq SAVE_RSP(%rsp), %rsp
    sysretq
2:  cmpl $LEAVE, %eax
    movq cpu_current_registers(%rip), %rax
    je cpu_leave
    jmp idle

// rax = registers of the dispatcher to go on with, or 0: nobody has anything to do.
    .globl cpu_leave
    .type cpu_leave, @function
cpu_leave:
    testq %rax, %rax
    jz idle
    movq %rax, %rsp
    movq SAVE_RBX(%rsp), %rbx
    movq SAVE_R14(%rsp), %r14
    movq SAVE_R15(%rsp), %r15
    // SYSRET loads rip from rcx and rflags from r11: right when they are equal anyway, as after
    // SYSCALL. The handlers have seen to it that rip is in the user half.
    movq SAVE_RCX(%rsp), %rcx
    movq SAVE_R11(%rsp), %r11
    cmpq SAVE_RIP(%rsp), %rcx
    jne 1f
    cmpq SAVE_RFLAGS(%rsp), %r11
    jne 1f
return_from_call:
    general_registers
    movq SAVE_RAX(%rsp), %rax
    movq SAVE_RSP(%rsp), %rsp
    sysretq
1:  general_registers
    leaq kernel_stack_top(%rip), %rsp
    pushq $USER_DATA
    pushq SAVE_RSP(%rax)
    pushq SAVE_RFLAGS(%rax)
    pushq $USER_CODE
    pushq SAVE_RIP(%rax)
    movq SAVE_RAX(%rax), %rax
    iretq

idle:
    leaq kernel_stack_top(%rip), %rsp
    xorl %ebp, %ebp
    sti                             // works after the next instruction: no wake-up is lost
    hlt
idle_interrupted:                   // what wakes us leaves by `interrupt`, so this does not run on
    ud2

// One stub a vector, VECTOR_STUB_BYTES apart: error code (0 where the CPU pushes none), vector.
    .balign VECTOR_STUB_BYTES
    .globl cpu_vector_stubs
cpu_vector_stubs:
    .set vector, 0
    .rept VECTORS
    .balign VECTOR_STUB_BYTES
    .if vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21
    .if vector != 29 && vector != 30
    pushq $0
    .endif
    .endif
    pushq $vector
    jmp interrupt
    .set vector, vector + 1
    .endr

// On the stack: vector, error code, rip, cs, rflags, rsp, ss.
    .type interrupt, @function
interrupt:
    testb $3, 24(%rsp)
    jz interrupt_in_kernel
    pushq %rax
    movq cpu_current_registers(%rip), %rax
    movq %rbx, SAVE_RBX(%rax)
    movq %rcx, SAVE_RCX(%rax)
    movq %rdx, SAVE_RDX(%rax)
    movq %rsi, SAVE_RSI(%rax)
    movq %rdi, SAVE_RDI(%rax)
    movq %rbp, SAVE_RBP(%rax)
    movq %r8, SAVE_R8(%rax)
    movq %r9, SAVE_R9(%rax)
    movq %r10, SAVE_R10(%rax)
    movq %r11, SAVE_R11(%rax)
    movq %r12, SAVE_R12(%rax)
    movq %r13, SAVE_R13(%rax)
    movq %r14, SAVE_R14(%rax)
    movq %r15, SAVE_R15(%rax)
    popq SAVE_RAX(%rax)
    popq %rdi
    popq %rsi
    popq SAVE_RIP(%rax)
    addq $8, %rsp
    popq SAVE_RFLAGS(%rax)
    popq SAVE_RSP(%rax)
    leaq kernel_stack_top(%rip), %rsp
    pushq $2                        // direction, alignment check and the like are the user's
    popfq
    xorl %ebp, %ebp
    call cpu_handle_interrupt       // rdi = vector, rsi = error code
    jmp cpu_leave

interrupt_in_kernel:
    cmpq $idle_interrupted, 16(%rsp)
    jne 1f
    popq %rdi
    leaq kernel_stack_top(%rip), %rsp
    xorl %ebp, %ebp
    call cpu_handle_idle_interrupt  // rdi = vector
    jmp cpu_leave
1:  cmpq $1, (%rsp)                 // a trap put off by the user's MOV SS until after SYSCALL
    jne 2f
    addq $16, %rsp
    iretq
2:  movq %rsp, %rdi                 // vector, error code, rip, cs, rflags, rsp
    movq %rbp, %rsi
    pushq %rbp
    movq %rsp, %rbp
    andq $-16, %rsp
    call cpu_handle_own_fault
    ud2

// The only stack, and those of the exceptions that may come when it cannot be trusted. Below each
// lies a page that is never mapped.
    .macro stack name, bytes
    .globl \name\()_guard
\name\()_guard:
    .skip 4096
    .skip \bytes
    .globl \name\()_top
\name\()_top:
    .endm

    .section .stacks, "aw", @nobits
    .balign 4096
    stack kernel_stack, STACK_BYTES
    stack debug_stack, EXCEPTION_STACK_BYTES
    stack nmi_stack, EXCEPTION_STACK_BYTES
    stack double_fault_stack, EXCEPTION_STACK_BYTES
    stack machine_check_stack, EXCEPTION_STACK_BYTES

    .bss
    .balign 8
user_stack_pointer:
    .skip 8

    .section .note.GNU-stack, "", @progbits
