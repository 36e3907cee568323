// Where a started core begins: real mode, at the first start-up page. Core boot copies this
// section there; it works at any page below 1 MiB. Many cores run it at once, so it has no stack,
// and what it writes is the same word from every core.
// The second start-up page has an abi::StartEntry for every APIC id.
// Source: Intel SDM vol. 3A 8.4 (MP initialization), 9.8.5 (switching to IA-32e mode).

#include "cpudriver/x86_64/offsets.hpp"

#define SECOND_PAGE 0x1000

    .section .trampoline, "a"
    .code16
trampoline:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    movzwl %ax, %ebp
    shll $4, %ebp                   // physical address of this page

    xorl %eax, %eax                 // own APIC id: leaf 0x0b where there is one, else leaf 1
    cpuid
    cmpl $0x0b, %eax
    jb 1f
    movl $0x0b, %eax
    xorl %ecx, %ecx
    cpuid
    movl %edx, %edi
    testl %ebx, %ebx
    jnz 2f
1:  movl $1, %eax
    cpuid
    shrl $24, %ebx
    movl %ebx, %edi
2:  cmpl $255, %edi
    ja stop
    shll $4, %edi
    movl SECOND_PAGE + START_ROOT(%edi), %esi
    testl %esi, %esi
    jz stop                         // nobody has prepared anything for this core

    leal (descriptors - trampoline)(%ebp), %eax
    movl %eax, descriptors_address - trampoline
    leal (long_mode - trampoline)(%ebp), %eax
    movl %eax, long_mode_address - trampoline
    lgdtl descriptors_register - trampoline

    movl %cr4, %eax
    orl $0x20, %eax                 // PAE
    movl %eax, %cr4
    movl %esi, %cr3
    movl $0xc0000080, %ecx          // EFER
    rdmsr
    orl $0x100, %eax                // LME
    wrmsr
    movl %cr0, %eax
    andl $0x9fffffff, %eax          // caches on: INIT leaves them off
    orl $0x80000001, %eax           // PG, PE
    movl %eax, %cr0
    ljmpl *(long_mode_address - trampoline)

stop:
    cli
    hlt
    jmp stop

    .code64
long_mode:
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movl %ebp, %ebp                 // upper halves are undefined after the switch
    movl %edi, %edi
    movq SECOND_PAGE + START_BOOT_INFO(%rbp, %rdi), %rdi
    movq $image_begin, %rax
    jmp *%rax

    .balign 8
descriptors:
    .quad 0
    .quad 0x00209a0000000000        // code, 64-bit, ring 0
descriptors_register:
    .word . - descriptors - 1
descriptors_address:
    .long 0
long_mode_address:
    .long 0
    .word 8

    .section .note.GNU-stack, "", @progbits
