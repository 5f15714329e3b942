// L2's program of pae-toggle: turns its PAE paging off and on, in several ways. pae-toggle.c says what each step
// teaches. ESI and EDI hold the addresses of the frames A and B (layout.h). The code is mapped one to one in every
// mode.
#include "layout.h"
#include "vmx.h"

.macro request what
    mov $\what, %eax
    vmcall                      // 18 VMCALL
.endm

.macro look                     // 10 CPUID: an exit and an entry for their own sake
    xor %eax, %eax
    cpuid
.endm

.macro paging_off
    mov %cr0, %eax
    and $~CR0_PG, %eax
    mov %eax, %cr0
.endm

.macro paging_on
    mov %cr0, %eax
    or $CR0_PG, %eax
    mov %eax, %cr0
.endm

.macro go_to_32bit_paging frame
    paging_off
    mov %cr4, %eax
    and $~CR4_PAE, %eax
    mov %eax, %cr4
    lea FRAME_32BIT_DIRECTORY(\frame), %eax
    mov %eax, %cr3
    paging_on
.endm

.macro go_to_pae_paging frame
    paging_off
    mov %cr4, %eax
    or $CR4_PAE, %eax
    mov %eax, %cr4
    lea FRAME_PAE_PDPT(\frame), %eax
    mov %eax, %cr3
    paging_on
.endm

.macro check_frame frame
    mov \frame, %ecx
    mov WINDOW, %ebx
    cmp %ebx, %ecx
    jne wrong_tables
.endm

    .text
    .code32
    .globl l2_program_toggle
l2_program_toggle:
    // Step 1: in PAE paging, as L1 or the last round left it.
    check_frame %esi
    look
    look

    // Step 2: L2 leaves PAE paging by itself.
    paging_off
    look
    paging_on
    go_to_32bit_paging %esi
    check_frame %esi
    look
    request L2_TOUCH_FIELD
    look

    // Step 3: L1 owns CR0.PG and turns PAE paging on for L2.
    request L2_OWN_PG
    go_to_pae_paging %esi
    check_frame %esi
    look
    request L2_RELEASE_PG

    // Step 4: L1 turns PAE paging on behind L2's back, and forgets the PDPTEs.
    go_to_32bit_paging %esi
    look
    request L2_TURN_ON_PAE
    mov WINDOW, %ebx
    request L2_SAW_FRAME
    mov %cr3, %eax              // 28 control-register access: CR3-store exiting
    mov %eax, %cr3              // loads the PDPTEs: all is well again
    check_frame %edi
    look

    // Step 5: L2 leaves PAE paging and comes back, by itself.
    go_to_32bit_paging %esi
    look
    go_to_pae_paging %esi
    check_frame %esi
    look
    request L2_ROUND_DONE
    jmp l2_program_toggle

wrong_tables:
    request L2_WRONG_TABLES
    hlt

    .section .note.GNU-stack, "", @progbits
