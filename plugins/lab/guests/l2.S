// L2's program for all guests but pae-toggle, once in 32-bit and once in 64-bit code. Each instruction marked with an
// exit reason leaves for L1. ESI and EDI hold the addresses of the frames A and B (layout.h).
#include "layout.h"
#include "vmx.h"

.macro l2_program ax bx
1:  xor %eax, %eax
    cpuid                       // 10 CPUID
    mov $IA32_EFER, %ecx
    rdmsr                       // 31 RDMSR
    out %al, $0x80              // 30 I/O instruction
    mov %cr0, \ax
    or $CR0_TS, %eax
    mov \ax, %cr0               // 28 control-register access: L1 owns CR0.TS
    clts                        // 28 likewise

    // From one set of page tables to the other: frame A has an even number, frame B the odd one after it. In PAE paging
    // the processor loads the four PDPTEs from the new table by itself.
    mov %cr3, \ax               // 28 control-register access: CR3-store exiting
    xor $FRAME_SIZE, %eax
    mov \ax, %cr3               // no exit
    mov %eax, %ecx
    and $~(FRAME_SIZE - 1), %ecx
    mov $WINDOW, %ebx
    mov (\bx), %ebx
    cmp %ebx, %ecx
    jne 2f

    mov $DEMAND_ADDRESS, %ebx
    mov (\bx), %eax             // 48 EPT violation, or 0 page fault
    hlt                         // 12 HLT
    mov $L2_ROUND_DONE, %eax
    vmcall                      // 18 VMCALL
    jmp 1b

2:  mov $L2_WRONG_TABLES, %eax
    vmcall
    hlt
.endm

    .text
    .globl l2_program_32bit, l2_program_64bit
    .code32
l2_program_32bit:
    l2_program %eax %ebx
    .code64
l2_program_64bit:
    l2_program %rax %rbx

    .section .note.GNU-stack, "", @progbits
