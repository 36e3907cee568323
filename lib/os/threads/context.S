// Switching between threads of one dispatcher, and going on with one that a page fault interrupted.
// Offsets are those of os::Context and os::ThreadBlock (block.hpp).

#define RESUME 21          /* abi::Op::resume: checked in start.cpp */
#define SELF 3             /* abi::slot::dispatcher */
#define AREA_ENABLED 0     /* abi::Area::enabled */
#define PAGE 0xd10000      /* abi::dispatcher_page_at */
#define PAGE_SAVE 128      /* abi::DispatcherPage::save */
#define REGISTERS 832      /* ThreadBlock::registers */
#define HELD 992           /* ThreadBlock::held */
#define SAVED_WORDS 20

    .section .text.os_switch, "ax", @progbits
    .global os_switch
    .type os_switch, @function
os_switch:
    movq (%rsp), %rax
    leaq 8(%rsp), %rcx
    movq %rcx, (%rdi)
    movq %rbp, 8(%rdi)
    movq %rbx, 16(%rdi)
    movq %r12, 24(%rdi)
    movq %r13, 32(%rdi)
    movq %r14, 40(%rdi)
    movq %r15, 48(%rdi)
    movq %rax, 56(%rdi)
    movq %rsi, %rdi
    .global os_enter
    .type os_enter, @function
os_enter:
    movq (%rdi), %rsp
    movq 8(%rdi), %rbp
    movq 16(%rdi), %rbx
    movq 24(%rdi), %r12
    movq 32(%rdi), %r13
    movq 40(%rdi), %r14
    movq 48(%rdi), %r15
    jmpq *56(%rdi)
    .size os_switch, . - os_switch

    .section .text.os_begin_thread, "ax", @progbits
    .global os_begin_thread
    .type os_begin_thread, @function
os_begin_thread:
    xorl %ebp, %ebp            // ends backtraces
    pushq %rbp                 // and aligns the stack for the call
    call os_run_thread
    ud2
    .size os_begin_thread, . - os_begin_thread

// There is no stack here: the thread's own may be what was missing.
    .section .text.os_resume_thread, "ax", @progbits
    .global os_resume_thread
    .type os_resume_thread, @function
os_resume_thread:
    movl $PAGE, %edx
    movq $1, (%rdx)            // disabled: the save area is ours until `resume` is done with it
    cmpl $0, os_rest_due(%rip) // what comes from here on `resume` sees
    jne 3f
    movl HELD(%rbx), %eax
    movl %eax, os_thread_held(%rip)
    leaq REGISTERS(%rbx), %rsi
    leaq PAGE_SAVE(%rdx), %rdi
    movl $SAVED_WORDS, %ecx
    rep movsq
    movl os_extended_mask(%rip), %eax
    xorl %edx, %edx
    testl %eax, %eax
    jnz 1f
    fxrstor64 (%rbx)
    jmp 2f
1:  xrstor64 (%rbx)
2:  movl $RESUME, %eax
    movl $SELF, %edi
    movl $AREA_ENABLED, %esi
    syscall                    // does not return
    ud2
3:  movq $0, (%rdx)            // the loop first
    movq os_loop_context(%rip), %rdi
    jmp os_enter
    .size os_resume_thread, . - os_resume_thread

// FS can be loaded by a resume only. Comes back as if nothing had happened but that; rdi is the
// base.
    .section .text.os_set_fs_base, "ax", @progbits
    .global os_set_fs_base
    .type os_set_fs_base, @function
os_set_fs_base:
    movl $PAGE, %edx
    movq $1, (%rdx)
    addq $PAGE_SAVE, %rdx
    movq %rbx, 8(%rdx)
    movq %rbp, 48(%rdx)
    popq %rax
    movq %rsp, 56(%rdx)
    movq %r12, 96(%rdx)
    movq %r13, 104(%rdx)
    movq %r14, 112(%rdx)
    movq %r15, 120(%rdx)
    movq %rax, 128(%rdx)       // rip
    movq $0x202, 136(%rdx)     // rflags
    movq %rdi, 144(%rdx)       // fs_base
    movq $0, 152(%rdx)
    movl $RESUME, %eax
    movl $SELF, %edi
    movl $AREA_ENABLED, %esi
    syscall                    // does not return
    ud2
    .size os_set_fs_base, . - os_set_fs_base

    .section .note.GNU-stack, "", @progbits
