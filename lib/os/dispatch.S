// First instruction of a domain, and its upcalls: stack, extended registers, and on to C++.
// Entries get rdi = address of the dispatcher page, rsp = 16-byte aligned top, disabled = 1.

#define RESUME 21      /* abi::Op::resume: checked in start.cpp */
#define SELF 3         /* abi::slot::dispatcher */
#define WANTS 8        /* abi::DispatcherPage::wants_run_upcall */
#define AREA_ENABLED 0 /* abi::Area::enabled */
#define AREA_FAULT 1   /* abi::Area::fault */

    .section .text._start, "ax", @progbits
    .global _start
    .type _start, @function
_start:
    xorl %ebp, %ebp            // ends backtraces
    call os_start
    ud2
    .size _start, . - _start

// The handler may use SSE; the CPU driver saved the general registers only (docs/abi.md, Faults).
// Of a thread all state is kept in its block (lib/os/threads/block.hpp, extended at offset 0), as
// it may have to wait; for the loop what this code could change, on the stack.
    .macro upcall name, handler, area, ring=0
    .section .text.\name, "ax", @progbits
    .global \name
    .type \name, @function
\name:
    .if \ring
    // The loop looks by itself, and whatever holds a thread looks at its end: nothing but that is
    // to be noted, and of the stack nothing may be touched, as this may come on top of an upcall
    // that is about to leave it.
    cmpq $0, os_current_thread(%rip)
    je 4f
    cmpl $0, os_thread_held(%rip)
    jne 4f
    .endif
    xorl %ebp, %ebp
    movq os_current_thread(%rip), %rbx
    testq %rbx, %rbx
    jnz 2f
    subq $512, %rsp            // FXSAVE area, 16-byte aligned (SDM vol. 1, 10.5)
    fxsave64 (%rsp)
    call \handler
    fxrstor64 (%rsp)
1:  movl $RESUME, %eax
    movl $SELF, %edi
    movl $\area, %esi
    syscall                    // does not return
    ud2
2:  movl os_extended_mask(%rip), %eax
    testl %eax, %eax
    jnz 3f
    fxsave64 (%rbx)
    call \handler
    fxrstor64 (%rbx)
    jmp 1b
3:  xorl %edx, %edx
    xsave64 (%rbx)
    call \handler
    movl os_extended_mask(%rip), %eax
    xorl %edx, %edx
    xrstor64 (%rbx)
    jmp 1b
    .if \ring
4:  movl $1, os_rest_due(%rip)
    movq $0, WANTS(%rdi)       // once is enough: the event is there until the loop takes it
    jmp 1b
    .endif
    .size \name, . - \name
    .endm

    upcall os_upcall_page_fault, os_on_page_fault, AREA_FAULT
    upcall os_upcall_trap, os_on_trap, AREA_FAULT
    upcall os_upcall_run, os_on_ring, AREA_ENABLED, 1

    .section .note.GNU-stack, "", @progbits
