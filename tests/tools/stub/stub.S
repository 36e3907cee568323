// The smallest guest that tests of tools/run.py need: says hello on the serial line, echoes every
// byte, and switches QEMU off on `q`. Multiboot2, still in 32-bit protected mode.
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
    mov $hello, %esi
say:
    lodsb
    test %al, %al
    jz listen
    mov $0x3f8, %edx
    outb %al, %dx
    jmp say
listen:
    mov $0x3fd, %edx
wait:
    pause
    inb %dx, %al
    test $1, %al
    jz wait
    mov $0x3f8, %edx
    inb %dx, %al
    outb %al, %dx
    cmp $'q', %al
    jne listen
    mov $0x604, %edx
    mov $0x2000, %eax
    outw %ax, %dx
stop:
    hlt
    jmp stop

    .section .rodata
hello:
    .asciz "hello from the stub\r\n"
