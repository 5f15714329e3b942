// int vm_enter(struct l2_registers *l2, int launched)
//
// Lets L2 run until its next VM-exit. VMLAUNCH or VMRESUME and the VM-exit load and save RIP, RSP, RFLAGS, the segments
// and the control registers of L2 through the VMCS; the other fifteen general registers are the hypervisor's to carry
// (Vol. 3C, 27.3 "Saving Guest State"). Returns 0 after a VM-exit, 1 after VMfailValid, 2 after VMfailInvalid (Vol. 3C,
// 30.2 "Conventions").
//
// HOST_RSP is &l2->l1_rsp, just above the registers: the pushes after a VM-exit fill *l2 from its end to its beginning.
// It never changes, so that HOST_RSP, which KVM does not shadow, is written once only.

#define L1_RSP 128  // offset of l1_rsp in struct l2_registers

    .text
    .code64
    .globl vm_enter, vm_exit_entry
vm_enter:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, L1_RSP(%rdi)
    mov %rdi, %rsp
    test %esi, %esi  // pop, mov and lea leave the flags alone
    pop %rax
    pop %rcx
    pop %rdx
    pop %rbx
    lea 8(%rsp), %rsp  // RSP's own place, unused
    pop %rbp
    pop %rsi
    pop %rdi
    pop %r8
    pop %r9
    pop %r10
    pop %r11
    pop %r12
    pop %r13
    pop %r14
    pop %r15
    jnz 1f
    vmlaunch
    jmp 2f
1:  vmresume
2:  mov (%rsp), %rsp  // only reached when it failed: RSP is still &l2->l1_rsp
    mov $1, %eax
    jnc 3f
    mov $2, %eax
    jmp 3f

vm_exit_entry:  // HOST_RIP
    push %r15
    push %r14
    push %r13
    push %r12
    push %r11
    push %r10
    push %r9
    push %r8
    push %rdi
    push %rsi
    push %rbp
    lea -8(%rsp), %rsp
    push %rbx
    push %rdx
    push %rcx
    push %rax
    mov L1_RSP(%rsp), %rsp
    xor %eax, %eax
3:  pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    .section .note.GNU-stack, "", @progbits
