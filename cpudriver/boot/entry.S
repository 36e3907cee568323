// From the boot loader to 64-bit C++: Multiboot2 leaves us in 32-bit protected mode without paging
// (Multiboot2 Specification 2.0, 3.3). One line on the serial port for every step.

#define SERIAL 0x3f8
#define LOADER_MAGIC 0x36d76289
#define HEADER_MAGIC 0xe85250d6
#define STACK_BYTES 0x10000

    .section .multiboot2, "a"
    .balign 8
header:
    .long HEADER_MAGIC, 0, header_end - header
    .long 0x100000000 - HEADER_MAGIC - (header_end - header)
    .word 6, 0                      // 3.1.11: modules start on page boundaries
    .long 8
    .word 0, 0
    .long 8
header_end:

    .text
    .code32
    .globl boot_entry
boot_entry:
    movw $SERIAL + 1, %dx           // PC16550D 8.0: interrupts off, 115200 baud, 8N1, FIFOs
    xchgl %eax, %ecx
    movb $0x00, %al
    outb %al, %dx
    movl $serial_setup, %esi
1:  lodsw
    testw %ax, %ax
    jz 2f
    movb %ah, %dl
    outb %al, %dx
    jmp 1b
2:  movl $stack_top, %esp
    movl %ecx, %ebp
    movl $said_entry, %esi
    call say

    cmpl $LOADER_MAGIC, %ebp
    movl $said_no_loader, %esi
    jne stop
    movl %ebx, %ebp                 // the loader's information; CPUID takes ebx

    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    movl $said_no_long_mode, %esi
    jb stop
    movl $0x80000001, %eax
    cpuid
    btl $29, %edx                   // Intel SDM vol. 2A, CPUID 80000001H: Intel 64
    jnc stop

    // The first 4 GiB, each address onto itself, by pages of 2 MiB.
    movl $pointers + 3, root
    movl $directories + 3, %eax
    movl $pointers, %edi
    movl $4, %ecx
1:  movl %eax, (%edi)
    addl $0x1000, %eax
    addl $8, %edi
    loop 1b
    movl $0x83, %eax
    movl $directories, %edi
    movl $2048, %ecx
1:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 1b

    movl %cr4, %eax
    orl $0x20, %eax                 // PAE
    movl %eax, %cr4
    movl $root, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx          // EFER
    rdmsr
    orl $0x100, %eax                // LME
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax           // PG
    movl %eax, %cr0
    lgdt descriptors_register
    ljmp $8, $long_mode

say:                                // esi: text; no buffer, so that a hang has a last character
    movw $SERIAL + 5, %dx
    movl $100000, %ecx
1:  inb %dx, %al
    testb $0x20, %al
    loopz 1b
    movw $SERIAL, %dx
    lodsb
    testb %al, %al
    jz 2f
    outb %al, %dx
    jmp say
2:  ret

stop:
    call say
1:  cli
    hlt
    jmp 1b

    .code64
long_mode:
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movl $stack_top, %esp
    movl %ebp, %edi
    xorl %ebp, %ebp
    call boot_main
    ud2

// void boot_leave(root, boot_info, entry): the new tables map this code where it is.
    .globl boot_leave
boot_leave:
    movq %rdi, %cr3
    movq %rsi, %rdi
    jmp *%rdx

    .section .rodata
    .balign 8
descriptors:
    .quad 0
    .quad 0x00209a0000000000        // code, 64-bit, ring 0
descriptors_register:
    .word . - descriptors - 1
    .long descriptors
serial_setup:                       // value, low byte of the port
    .byte 0x80, 0xfb, 0x01, 0xf8, 0x00, 0xf9, 0x03, 0xfb, 0x07, 0xfa, 0x03, 0xfc, 0, 0
said_entry:
    .asciz "skerry boot: 32-bit entry\r\n"
said_no_loader:
    .asciz "skerry boot: not started by a Multiboot2 loader: halted\r\n"
said_no_long_mode:
    .asciz "skerry boot: this CPU has no 64-bit mode: halted\r\n"

    .bss
    .balign 4096
root:        .skip 4096
pointers:    .skip 4096
directories: .skip 4 * 4096
    .skip STACK_BYTES
stack_top:

    .section .note.GNU-stack, "", @progbits
