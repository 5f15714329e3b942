// From a processor in 64-bit mode to a VMCS that can be launched (Vol. 3C, 31.5 "VMM Setup & Tear Down" and
// 31.6 "Preparation and Launching a Virtual Machine").
#include "l1.h"

#define CPUID_1_ECX_VMX (1u << 5)
#define FEATURE_CONTROL_LOCK 0x1
#define FEATURE_CONTROL_VMX_OUTSIDE_SMX 0x4
#define BASIC_TRUE_CONTROLS (1ull << 55)

extern const char gdt[];

u64 vmread(enum vmcs_field field) {
    u64 value;
    if (!vmread_ok(field, &value)) fail_vmx("VMREAD", field);
    return value;
}

void vmwrite(enum vmcs_field field, u64 value) {
    if (!vmwrite_ok(field, value)) fail_vmx("VMWRITE", field);
}

/// A.7, A.8: bits of CR0 and CR4 that must be 1, or 0, in VMX operation.
static u64 fixed(u64 value, enum vmx_msr fixed0, enum vmx_msr fixed1) {
    return (value | rdmsr(fixed0)) & rdmsr(fixed1);
}

// 23.6 "Discovering Support for VMX", 23.7 "Enabling and Entering VMX Operation"
void enter_vmx_operation(struct cpu *cpu) {
    if (!(cpuid_ecx(1) & CPUID_1_ECX_VMX)) fail("this processor has no VMX: CPUID.1:ECX is", cpuid_ecx(1));

    // Firmware locks this MSR; where it did not, VMX is ours to allow.
    u64 control = rdmsr(IA32_FEATURE_CONTROL);
    if (!(control & FEATURE_CONTROL_LOCK)) {
        control |= FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX;
        wrmsr(IA32_FEATURE_CONTROL, control);
    }
    if (!(control & FEATURE_CONTROL_VMX_OUTSIDE_SMX)) {
        fail("the firmware forbids VMX: IA32_FEATURE_CONTROL is", control);
    }

    write_cr0(fixed(read_cr0(), IA32_VMX_CR0_FIXED0, IA32_VMX_CR0_FIXED1));
    write_cr4(fixed(read_cr4() | CR4_VMXE, IA32_VMX_CR4_FIXED0, IA32_VMX_CR4_FIXED1));

    // 24.11.5 "VMXON Region", 24.2 "Format of the VMCS Region": both begin with the revision identifier
    const u32 revision = (u32)rdmsr(IA32_VMX_BASIC) & 0x7fffffff;
    const u64 vmxon_region = cpu->frame[0] + FRAME_VMXON;
    const u64 vmcs = cpu->frame[0] + FRAME_VMCS;
    *(u32 *)vmxon_region = revision;
    *(u32 *)vmcs = revision;
    if (!vmxon(vmxon_region)) fail("VMXON failed, with its region at", vmxon_region);
    if (!vmclear(vmcs)) fail_vmx("VMCLEAR", vmcs);
    if (!vmptrld(vmcs)) fail_vmx("VMPTRLD", vmcs);
}

/// A.2 to A.5: the low half of a capability MSR has the controls that must be 1, the high half those that may be.
/// The TRUE MSR, where there is one, frees controls that the plain one reports as always 1.
static u64 control_capability(enum vmx_msr plain, enum vmx_msr true_msr) {
    return rdmsr(rdmsr(IA32_VMX_BASIC) & BASIC_TRUE_CONTROLS ? true_msr : plain);
}

bool controls_offered(enum vmcs_field field, u32 bits) {
    u64 capability = 0;
    switch (field) {
    case PIN_BASED_CONTROLS:
        capability = control_capability(IA32_VMX_PINBASED_CTLS, IA32_VMX_TRUE_PINBASED_CTLS);
        break;
    case PRIMARY_CONTROLS:
        capability = control_capability(IA32_VMX_PROCBASED_CTLS, IA32_VMX_TRUE_PROCBASED_CTLS);
        break;
    case SECONDARY_CONTROLS: capability = rdmsr(IA32_VMX_PROCBASED_CTLS2); break;
    case EXIT_CONTROLS: capability = control_capability(IA32_VMX_EXIT_CTLS, IA32_VMX_TRUE_EXIT_CTLS); break;
    case ENTRY_CONTROLS: capability = control_capability(IA32_VMX_ENTRY_CTLS, IA32_VMX_TRUE_ENTRY_CTLS); break;
    default: fail("not a field of controls:", field);
    }
    return !(bits & ~(u32)(capability >> 32));
}

static u32 allowed_controls(u32 wanted, enum vmx_msr plain, enum vmx_msr true_msr) {
    const u64 capability = control_capability(plain, true_msr);
    const u32 allowed = (wanted | (u32)capability) & (u32)(capability >> 32);
    if (wanted & ~allowed) fail("this processor lacks a VMX control that the guest needs:", wanted & ~allowed);
    return allowed;
}

// 24.6 "VM-Execution Control Fields", 24.7 "VM-Exit Control Fields", 24.8 "VM-Entry Control Fields"
static void set_up_controls(const struct cpu *cpu) {
    const u32 secondary = (guest.nested_ept ? SECONDARY_ENABLE_EPT : 0) |
                          (guest.unrestricted_guest ? SECONDARY_UNRESTRICTED_GUEST : 0);
    vmwrite(PIN_BASED_CONTROLS, allowed_controls(0, IA32_VMX_PINBASED_CTLS, IA32_VMX_TRUE_PINBASED_CTLS));
    // MOV from CR3 exits, MOV to CR3 does not if the processor allows that: it then loads the PDPTEs by itself.
    vmwrite(PRIMARY_CONTROLS, allowed_controls(PRIMARY_HLT_EXITING | PRIMARY_CR3_STORE_EXITING |
                                                   PRIMARY_UNCONDITIONAL_IO_EXITING |
                                                   (secondary ? PRIMARY_ACTIVATE_SECONDARY : 0),
                                               IA32_VMX_PROCBASED_CTLS, IA32_VMX_TRUE_PROCBASED_CTLS));
    if (secondary) {
        vmwrite(SECONDARY_CONTROLS, allowed_controls(secondary, IA32_VMX_PROCBASED_CTLS2, IA32_VMX_PROCBASED_CTLS2));
    }
    if (guest.nested_ept) vmwrite(EPT_POINTER, cpu->eptp);
    vmwrite(EXIT_CONTROLS, allowed_controls(EXIT_HOST_ADDRESS_SPACE_SIZE | EXIT_SAVE_EFER | EXIT_LOAD_EFER,
                                            IA32_VMX_EXIT_CTLS, IA32_VMX_TRUE_EXIT_CTLS));
    vmwrite(ENTRY_CONTROLS, allowed_controls(ENTRY_LOAD_EFER | (guest.mode == L2_LONG ? ENTRY_IA32E_MODE_GUEST : 0),
                                             IA32_VMX_ENTRY_CTLS, IA32_VMX_TRUE_ENTRY_CTLS));

    vmwrite(EXCEPTION_BITMAP, 0xffffffff);  // L2 has no IDT: each exception of its own is L1's to see
    vmwrite(PAGE_FAULT_ERROR_CODE_MASK, 0);
    vmwrite(PAGE_FAULT_ERROR_CODE_MATCH, 0);
    vmwrite(CR3_TARGET_COUNT, 0);
    vmwrite(EXIT_MSR_STORE_COUNT, 0);
    vmwrite(EXIT_MSR_LOAD_COUNT, 0);
    vmwrite(ENTRY_MSR_LOAD_COUNT, 0);
    vmwrite(ENTRY_INTERRUPTION_INFORMATION, 0);
}

// 24.5 "Host-State Area": where a VM-exit comes back to
static void set_up_host_state(struct cpu *cpu) {
    enum { ES, CS, SS, DS, FS, GS, TR, COUNT };
    for (int i = 0; i < COUNT; i++) {
        vmwrite(HOST_ES_SELECTOR + 2 * i, i == CS ? SELECTOR_CODE64 : i == TR ? SELECTOR_TSS : SELECTOR_DATA);
    }
    vmwrite(HOST_CR0, read_cr0());
    vmwrite(HOST_CR3, read_cr3());
    vmwrite(HOST_CR4, read_cr4());
    vmwrite(HOST_IA32_EFER, rdmsr(IA32_EFER));
    vmwrite(HOST_FS_BASE, 0);
    vmwrite(HOST_GS_BASE, 0);
    vmwrite(HOST_TR_BASE, 0);
    vmwrite(HOST_GDTR_BASE, (u64)gdt);
    vmwrite(HOST_IDTR_BASE, 0);
    vmwrite(HOST_SYSENTER_CS, 0);
    vmwrite(HOST_SYSENTER_ESP, 0);
    vmwrite(HOST_SYSENTER_EIP, 0);
    vmwrite(HOST_RSP, (u64)&cpu->l2.l1_rsp);
    vmwrite(HOST_RIP, (u64)vm_exit_entry);
}

// 24.4.1 "Guest Register State": flat segments. Access rights as in Table 24-2.
static void set_up_guest_segments(void) {
    enum { ES, CS, SS, DS, FS, GS, LDTR, TR, COUNT };
    const u32 code = guest.mode == L2_LONG ? 0xa09b : 0xc09b;  // 64-bit (L), or 32-bit with 4 GiB (D/B, G)
    const u32 data = 0xc093, unusable = 0x10000, busy_tss = 0x8b;
    for (int i = 0; i < COUNT; i++) {
        const u16 selector = i == CS ? (guest.mode == L2_LONG ? SELECTOR_CODE64 : SELECTOR_CODE32)
                             : i == TR ? SELECTOR_TSS : i == LDTR ? 0 : SELECTOR_DATA;
        vmwrite(GUEST_ES_SELECTOR + 2 * i, selector);
        vmwrite(GUEST_ES_LIMIT + 2 * i, i == TR || i == LDTR ? 0x67 : 0xffffffff);
        vmwrite(GUEST_ES_ACCESS_RIGHTS + 2 * i, i == CS ? code : i == TR ? busy_tss : i == LDTR ? unusable : data);
        vmwrite(GUEST_ES_BASE + 2 * i, 0);
    }
    vmwrite(GUEST_GDTR_BASE, (u64)gdt);
    vmwrite(GUEST_GDTR_LIMIT, 0x2f);
    vmwrite(GUEST_IDTR_BASE, 0);
    vmwrite(GUEST_IDTR_LIMIT, 0);
}

// 24.4 "Guest-State Area", 26.3.1 "Checks on the Guest State Area"
static void set_up_guest_state(const struct cpu *cpu) {
    const u64 cr4 = guest.mode == L2_32BIT ? CR4_PSE : CR4_PAE | CR4_PSE;
    vmwrite(GUEST_CR0, read_cr0() & ~(u64)CR0_TS);
    vmwrite(GUEST_CR3, l2_cr3(guest.mode, cpu->frame[0]));
    vmwrite(GUEST_CR4, fixed(cr4 | CR4_VMXE, IA32_VMX_CR4_FIXED0, IA32_VMX_CR4_FIXED1));
    // 24.6.6 "Guest/Host Masks and Read Shadows": L1 owns CR0.TS, so that L2's changes of it exit, and hides CR4.VMXE.
    vmwrite(CR0_GUEST_HOST_MASK, CR0_TS);
    vmwrite(CR0_READ_SHADOW, vmread(GUEST_CR0));
    vmwrite(CR4_GUEST_HOST_MASK, CR4_VMXE);
    vmwrite(CR4_READ_SHADOW, cr4);
    vmwrite(GUEST_IA32_EFER, guest.mode == L2_LONG ? EFER_LME | EFER_LMA : 0);
    // 26.3.2.4 "Loading Page-Directory-Pointer-Table Entries": with EPT, a guest in PAE paging has its PDPTEs from the
    // VMCS; without, the processor reads them from the table at CR3.
    if (guest.nested_ept && guest.mode == L2_PAE) load_pdptes();

    vmwrite(GUEST_RIP, (u64)guest.l2_code);
    vmwrite(GUEST_RSP, cpu->frame[0] + FRAME_L2_STACK_TOP);
    vmwrite(GUEST_RFLAGS, 0x2);
    vmwrite(GUEST_DR7, 0x400);
    vmwrite(GUEST_SYSENTER_CS, 0);
    vmwrite(GUEST_SYSENTER_ESP, 0);
    vmwrite(GUEST_SYSENTER_EIP, 0);
    vmwrite(GUEST_INTERRUPTIBILITY, 0);
    vmwrite(GUEST_ACTIVITY_STATE, 0);
    vmwrite(GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
    vmwrite(VMCS_LINK_POINTER, ~0ull);
}

void set_up_vmcs(struct cpu *cpu) {
    set_up_controls(cpu);
    set_up_host_state(cpu);
    set_up_guest_segments();
    set_up_guest_state(cpu);
    // L2's programs find their frames here.
    cpu->l2.gpr[RSI] = cpu->frame[0];
    cpu->l2.gpr[RDI] = cpu->frame[1];
}
