// Known stretches of instructions between markers, for tests of tools/count. Multiboot2, 32 bits.
#define MARK(id) .byte 0x0f, 0x1f, 0x80; .long 0x4b4d0000 + id

    .section .multiboot, "a"
    .align 8
header:
    .long 0xe85250d6, 0, header_end - header, -(0xe85250d6 + (header_end - header))
    .short 0, 0
    .long 8
header_end:

    .code32
    .text
    .globl _start, poll_begin, poll_end
_start:
    mov $50, %ecx
    MARK(1)
    .rept 100
    nop
    .endr
    MARK(16)
    lea buffer, %edi
    mov $8, %ecx
    rep stosl           // TCG: one turn a word, and one that finds the count at 0
    lock incl buffer
    MARK(17)
    mov $10, %ecx
poll_begin:
    pause
    dec %ecx
    jnz poll_begin
poll_end:
    MARK(2)
    nop
    MARK(20)
    lea channel, %esi   // two control lines and two others, as mark_use<channel> says it
    lea channel + 192, %edi
    .byte 0x3e, 0x2e, 0x3e, 0x2e, 0xa6
    MARK(21)
    movl $1, channel + 56
    movl $1, channel + 128
    movl $1, channel + 128 + 56
    movl $1, channel + 192 + 56
    movl $1, buffer + 56
    MARK(22)
    mov $0x604, %edx
    mov $0x2000, %eax
    outw %ax, %dx
stop:
    hlt
    jmp stop

    .bss
    .align 4096
channel:
    .skip 4096
buffer:
    .skip 64
