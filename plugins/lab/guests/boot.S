// From the boot loader to l1_main() in 64-bit mode: the first processor from a multiboot loader (QEMU's -kernel, GRUB,
// mboot.c32), the second from a start-up IPI.
#include "layout.h"
#include "vmx.h"

#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_HAS_ADDRESSES 0x10000  // so that the loader does not look at the ELF header: QEMU refuses ELF64

    .section .boot, "ax"
    .code32
    .balign 4
multiboot_header:
    .long MULTIBOOT_MAGIC, MULTIBOOT_HAS_ADDRESSES, -(MULTIBOOT_MAGIC + MULTIBOOT_HAS_ADDRESSES)
    .long multiboot_header, image_start, image_load_end, image_end, start32

// Multiboot: 32-bit protected mode, paging off, interrupts off, flat segments, no stack, the GDT not to be relied on.
    .globl start32
start32:
    cld
    lgdt gdt_pointer
    ljmp $SELECTOR_CODE32, $1f
1:  mov $SELECTOR_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %eax, %fs
    mov %eax, %gs

    // L1's own page tables: the first 4 GiB one to one, in pages of 2 MiB (Vol. 3A, 4.5 "4-Level Paging").
    movl $l1_pdpt + 3, l1_pml4
    mov $l1_directories + 3, %eax
    mov $l1_pdpt, %edi
    mov $4, %ecx
2:  mov %eax, (%edi)
    add $4096, %eax
    add $8, %edi
    loop 2b
    mov $0x83, %eax  // present, writable, 2 MiB
    mov $l1_directories, %edi
    mov $2048, %ecx
3:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 3b
    jmp enter_long_mode

// Every processor, in 32-bit protected mode with flat segments: on to 64-bit mode
// (Vol. 3A, 9.8.5 "Initializing IA-32e Mode"), each with its own number and stack.
enter_long_mode:
    mov %cr4, %eax
    or $CR4_PAE, %eax
    mov %eax, %cr4
    mov $l1_pml4, %eax
    mov %eax, %cr3
    mov $IA32_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov %cr0, %eax
    and $~(CR0_CD | CR0_NW), %eax  // INIT leaves the caches off
    or $CR0_PG, %eax
    mov %eax, %cr0
    ljmp $SELECTOR_CODE64, $4f
    .code64
4:  mov $1, %edi
    lock xadd %edi, processors_started(%rip)
    cmp $MAX_CPUS, %edi
    jae 5f
    imul $STACK_SIZE, %edi, %eax
    lea l1_stacks + STACK_SIZE(%rax), %rsp
    xor %ebp, %ebp
    call l1_main
5:  cli
    hlt
    jmp 5b

// The second processor's first instructions: real mode, CS = TRAMPOLINE / 16, IP = 0
// (Vol. 3A, 8.4 "Multiple-Processor (MP) Initialization"). start_other_processor() copies them to TRAMPOLINE.
    .code16
    .globl trampoline, trampoline_end
trampoline:
    cli
    cld
    lgdtl %cs:gdt_pointer_in_trampoline - trampoline
    mov %cr0, %eax
    or $CR0_PE, %eax
    mov %eax, %cr0
    ljmpl $SELECTOR_CODE32, $start32_other
gdt_pointer_in_trampoline:
    .word gdt_end - gdt - 1
    .long gdt
trampoline_end:

    .code32
start32_other:
    mov $SELECTOR_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %eax, %fs
    mov %eax, %gs
    jmp enter_long_mode

    .data
    .balign 16
    .globl gdt
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff  // SELECTOR_CODE32: flat, 4 GiB
    .quad 0x00cf93000000ffff  // SELECTOR_DATA
    .quad 0x00af9b000000ffff  // SELECTOR_CODE64
    .quad 0x00008b0000000067  // SELECTOR_TSS: a busy TSS at 0 with no use but that a VM-exit must load TR (27.5.2)
    .quad 0
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt
    .globl processors_started
processors_started:
    .long 0

    .bss
    .balign 4096
l1_pml4:        .skip 4096
l1_pdpt:        .skip 4096
l1_directories: .skip 4 * 4096
l1_stacks:      .skip MAX_CPUS * STACK_SIZE

    .section .note.GNU-stack, "", @progbits
