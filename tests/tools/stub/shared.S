// Two cores that write memory, for tests of tools/isolation. Multiboot2, 32 bits; the second core
// runs at 0x8000 in real mode. SHARED: both write one line; GIVEN: the first announces beforehand
// that it gives the block away; else each writes a line of its own.
    .section .multiboot, "a"
    .align 8
header:
    .long 0xe85250d6, 0, header_end - header, -(0xe85250d6 + (header_end - header))
    .short 0, 0
    .long 8
header_end:

    .code32
    .text
    .globl _start
_start:
    mov $0x1000, %eax       // one line only this core ever touches
    incl (%eax)
#if defined(SHARED)
    incl 0x2000             // the line that the second core writes
#endif
#if defined(GIVEN)
    mov $0x2000, %ebx
    .byte 0x2e, 0x3e, 0x2e, 0x3e
    movb (%ebx), %al
#endif
    cld
    mov $second, %esi       // the second core's code goes to 0x8000; by bytes, outside `from`
    mov $0x8000, %edi
    mov $(second_end - second), %ecx
    rep movsb
    mov $0xfee00300, %ebx   // local APIC, interrupt command: to all but self
    movl $0x000c4500, (%ebx)
    call pause_a_while
    movl $0x000c4608, (%ebx)
wait:
    pause
    mov $0x3000, %eax
    cmpl $0, (%eax)         // the second core says it is done: devices and words below are left out
    je wait
    mov $0x604, %edx
    mov $0x2000, %eax
    outw %ax, %dx
stop:
    hlt
    jmp stop
pause_a_while:
    mov $1000000, %ecx
1:  pause
    loop 1b
    ret

    .code16
second:
    xor %ax, %ax
    mov %ax, %ds
    incl 0x2000
    movl $1, 0x3000
2:  hlt
    jmp 2b
second_end:
