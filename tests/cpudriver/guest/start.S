// First instruction and upcalls of the guest; it is linked without lib/os.
    .text
    .globl _start
_start:                         // rdi = dispatcher page
    xorl %ebp, %ebp
    call guest_main
    ud2

    .globl guest_upcall
guest_upcall:                   // rdi = dispatcher page, rsp = its stack
    xorl %ebp, %ebp
    call guest_on_fault
    ud2

// Touches memory or runs what the caller says; if it faults the upcall goes on at 1: with rax = 1.
    .globl guest_try_read, guest_try_write, guest_try_jump, guest_try_halt, guest_try_break
    .globl guest_recover
guest_try_read:
    movb (%rdi), %al
    xorl %eax, %eax
    ret
guest_try_write:
    movb $1, (%rdi)
    xorl %eax, %eax
    ret
guest_try_halt:
    hlt
    xorl %eax, %eax
    ret
guest_try_break:
    int3
    xorl %eax, %eax
    ret
guest_try_jump:
    jmp *%rdi
guest_recover:
    movl $1, %eax
    ret

// bool guest_call_keeps_sse(seed, slot of an endpoint, abi::Op::call): every xmm register holds its
// own value over a call to another dispatcher, which fills them all with others.
    .globl guest_call_keeps_sse
guest_call_keeps_sse:
    pushq %rbx
    pushq %r12
    pushq %r13
    movq %rdi, %rbx
    .irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    leaq \i(%rbx), %rax
    movq %rax, %xmm\i
    .endr
    movq %rsi, %rdi
    movq %rdx, %rax
    xorl %esi, %esi
    movq %rbx, %rdx
    syscall
    testq %rax, %rax
    jnz 1f
    .irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movq %xmm\i, %rax
    subq $\i, %rax
    cmpq %rax, %rbx
    jne 1f
    .endr
    movl $1, %eax
    jmp 2f
1:  xorl %eax, %eax
2:  popq %r13
    popq %r12
    popq %rbx
    ret

// The same with all of the ymm registers, whose lower and upper halves hold the same.
    .globl guest_call_keeps_avx
guest_call_keeps_avx:
    pushq %rbx
    pushq %r12
    pushq %r13
    movq %rdi, %rbx
    call guest_fill_avx
    movq %rsi, %rdi
    movq %rdx, %rax
    xorl %esi, %esi
    movq %rbx, %rdx
    syscall
    testq %rax, %rax
    jnz 1f
    .irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovq %xmm\i, %rax
    vextractf128 $1, %ymm\i, %xmm\i
    vmovq %xmm\i, %rdx
    subq $\i, %rax
    subq $\i, %rdx
    cmpq %rax, %rbx
    jne 1f
    cmpq %rdx, %rbx
    jne 1f
    .endr
    movl $1, %eax
    jmp 2b
1:  xorl %eax, %eax
    jmp 2b

// void guest_fill_avx(seed): register i holds seed + i, in both halves.
    .globl guest_fill_avx
guest_fill_avx:
    .irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    leaq \i(%rdi), %rax
    vmovq %rax, %xmm\i
    vinsertf128 $1, %xmm\i, %ymm\i, %ymm\i
    .endr
    ret

// bool guest_avx_is_zero(): no register holds anything.
    .globl guest_avx_is_zero
guest_avx_is_zero:
    .irp i, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vorps %ymm\i, %ymm0, %ymm0
    .endr
    xorl %eax, %eax
    vptest %ymm0, %ymm0
    setz %al
    ret

    .section .note.GNU-stack, "", @progbits
