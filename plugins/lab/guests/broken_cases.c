// A line for each rule, with the identifier that vmx/entry_check/ has for it. Sections are the SDM's, volume 3C (vmx.h).
// The VMCS that the changes start from: L2 in 32-bit PAE paging, EPT, unrestricted guest (broken-entries.c).
#include "broken_cases.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define BIT(n) (1ull << (n))
#define NOT_CANONICAL BIT(63)
#define TOO_WIDE BIT(51)  // of a physical address: no processor that this runs on has 52 bits of them
#define ABOVE_4G BIT(32)

// --- what the changes point to ---------------------------------------------------------------------------------------

struct msr_entry {  // Table 24-15 "Format of an MSR Entry"
    u32 msr, reserved;
    u64 value;
};
#define MSR_AREA(name, ...) static const struct msr_entry name[] __attribute__((aligned(16))) = {__VA_ARGS__}
MSR_AREA(load_fs_base, {IA32_FS_BASE, 0, 0});
MSR_AREA(load_gs_base_second, {IA32_SYSENTER_CS, 0, 0}, {IA32_GS_BASE, 0, 0});
MSR_AREA(load_x2apic, {IA32_X2APIC_TPR, 0, 0});
MSR_AREA(load_reserved, {IA32_SYSENTER_CS, 1, 0});
MSR_AREA(load_smm_monitor, {IA32_SMM_MONITOR_CTL, 0, 0});
MSR_AREA(load_microcode, {IA32_BIOS_UPDT_TRIG, 0, 0});
MSR_AREA(load_bad_value, {IA32_PAT, 0, 2});
MSR_AREA(load_good, {IA32_SYSENTER_CS, 0, 0}, {IA32_SYSENTER_CS, 0, 0});

/// For what is never looked into: bitmaps, APIC pages; and a VMCS region whose revision is 0.
static u8 page[4096] __attribute__((aligned(4096)));
static const u64 pdpt_reserved[4] __attribute__((aligned(32))) = {0x3, 0, 0, 0};  // present; bit 1 is reserved

// --- answers and what several cases share ----------------------------------------------------------------------------

// clang-format off
#define CONTROLS {VMFAIL, false, VMFAIL_CONTROLS, 0}
#define HOST_STATE {VMFAIL, false, VMFAIL_HOST_STATE, 0}
#define GUEST_STATE {EXIT, true, EXIT_ENTRY_FAILED_GUEST_STATE, 0}
#define PDPTE {EXIT, true, EXIT_ENTRY_FAILED_GUEST_STATE, ENTRY_FAILED_PDPTE}
#define NMI_INJECTION {EXIT, true, EXIT_ENTRY_FAILED_GUEST_STATE, ENTRY_FAILED_NMI_INJECTION}
#define LINK_POINTER {EXIT, true, EXIT_ENTRY_FAILED_GUEST_STATE, ENTRY_FAILED_LINK_POINTER}
#define MSR_LOADING(entry) {EXIT, true, EXIT_ENTRY_FAILED_MSR_LOADING, entry}
#define ENTERS {EXIT, false, EXIT_CPUID, 0}

#define EVENT(type, vector) (1u << 31 | (type) << 8 | (vector))
enum { EXTERNAL_INTERRUPT = 0, RESERVED_TYPE = 1, NMI = 2, HARDWARE_EXCEPTION = 3, SOFTWARE_INTERRUPT = 4, OTHER_EVENT = 7 };
#define DELIVER_ERROR_CODE (1u << 11)

#define IN_64_BIT_MODE                                                                                     \
    {WITH, ENTRY_CONTROLS, ENTRY_IA32E_MODE_GUEST}, {SET, GUEST_IA32_EFER, EFER_LME | EFER_LMA},           \
        {SET, GUEST_CR3, FRAME_A(0) + FRAME_PML4}, {SET, GUEST_CS_SELECTOR, SELECTOR_CODE64},              \
        {SET, GUEST_CS_ACCESS_RIGHTS, 0xa09b}
#define RESTRICTED {OFF, SECONDARY_CONTROLS, SECONDARY_UNRESTRICTED_GUEST}
#define TPR_SHADOW {WITH, PRIMARY_CONTROLS, PRIMARY_USE_TPR_SHADOW}, {SET, VIRTUAL_APIC_ADDRESS, (u64)page}
#define DEBUG_CONTROLS {WITH, ENTRY_CONTROLS, ENTRY_LOAD_DEBUG_CONTROLS}
#define INTERRUPTS_ON {ON, GUEST_RFLAGS, RFLAGS_IF}
#define LDTR_USABLE {SET, GUEST_LDTR_ACCESS_RIGHTS, 0x82}
#define MSR_LOAD(area) {SET, ENTRY_MSR_LOAD_ADDRESS, (u64)(area)}, {SET, ENTRY_MSR_LOAD_COUNT, COUNT(area)}

const struct broken_case broken_cases[] = {
    // 26.2.1.1 "VM-Execution Control Fields"
    {"control.pin.required", CONTROLS, {{OFF, PIN_BASED_CONTROLS, BIT(1)}}},
    {"control.pin.allowed", CONTROLS, {{ON, PIN_BASED_CONTROLS, BIT(31)}}},
    {"control.proc.required", CONTROLS, {{OFF, PRIMARY_CONTROLS, BIT(1)}}},
    {"control.proc.allowed", CONTROLS, {{ON, PRIMARY_CONTROLS, BIT(0)}}},
    {"control.secondary.allowed", CONTROLS, {{ON, SECONDARY_CONTROLS, BIT(31)}}},
    {"control.cr3-target-count", CONTROLS, {{SET, CR3_TARGET_COUNT, 5}}},
    {"control.io-bitmap-a.aligned", CONTROLS, {{WITH, PRIMARY_CONTROLS, PRIMARY_USE_IO_BITMAPS}, {SET, IO_BITMAP_A, 1}, {SET, IO_BITMAP_B, (u64)page}}},
    {"control.io-bitmap-b.width", CONTROLS, {{WITH, PRIMARY_CONTROLS, PRIMARY_USE_IO_BITMAPS}, {SET, IO_BITMAP_A, (u64)page}, {SET, IO_BITMAP_B, TOO_WIDE}}},
    {"control.msr-bitmap.aligned", CONTROLS, {{WITH, PRIMARY_CONTROLS, PRIMARY_USE_MSR_BITMAPS}, {SET, MSR_BITMAP, 0x800}}},
    {"control.virtual-apic.aligned", CONTROLS, {{WITH, PRIMARY_CONTROLS, PRIMARY_USE_TPR_SHADOW}, {SET, VIRTUAL_APIC_ADDRESS, 0x10}}},
    {"control.tpr-threshold", CONTROLS, {TPR_SHADOW, {SET, TPR_THRESHOLD, 0x10}}},
    {"control.tpr-threshold.above-vtpr", CONTROLS, {TPR_SHADOW, {SET, TPR_THRESHOLD, 5}}},
    {"control.x2apic-mode.needs-tpr-shadow", CONTROLS, {{WITH, SECONDARY_CONTROLS, SECONDARY_VIRTUALIZE_X2APIC_MODE}}},
    {"control.apic-registers.needs-tpr-shadow", CONTROLS, {{WITH, SECONDARY_CONTROLS, SECONDARY_APIC_REGISTER_VIRTUALIZATION}}},
    {"control.interrupt-delivery.needs-tpr-shadow", CONTROLS, {{WITH, SECONDARY_CONTROLS, SECONDARY_VIRTUAL_INTERRUPT_DELIVERY}, {WITH, PIN_BASED_CONTROLS, PIN_EXTERNAL_INTERRUPT_EXITING}}},
    {"control.interrupt-delivery.needs-interrupt-exiting", CONTROLS, {TPR_SHADOW, {WITH, SECONDARY_CONTROLS, SECONDARY_VIRTUAL_INTERRUPT_DELIVERY}}},
    {"control.x2apic-mode.excludes-apic-accesses", CONTROLS, {TPR_SHADOW, {WITH, SECONDARY_CONTROLS, SECONDARY_VIRTUALIZE_X2APIC_MODE | SECONDARY_VIRTUALIZE_APIC_ACCESSES}, {SET, APIC_ACCESS_ADDRESS, (u64)page}}},
    {"control.apic-access.aligned", CONTROLS, {{WITH, SECONDARY_CONTROLS, SECONDARY_VIRTUALIZE_APIC_ACCESSES}, {SET, APIC_ACCESS_ADDRESS, 8}}},
    {"control.virtual-nmis.needs-nmi-exiting", CONTROLS, {{WITH, PIN_BASED_CONTROLS, PIN_VIRTUAL_NMIS}, {OFF, PIN_BASED_CONTROLS, PIN_NMI_EXITING}}},
    {"control.nmi-window.needs-virtual-nmis", CONTROLS, {{WITH, PRIMARY_CONTROLS, PRIMARY_NMI_WINDOW_EXITING}}},
    {"control.posted-interrupts.needs-interrupt-delivery", CONTROLS, {{WITH, PIN_BASED_CONTROLS, PIN_PROCESS_POSTED_INTERRUPTS}}},
    {"control.vpid", CONTROLS, {{WITH, SECONDARY_CONTROLS, SECONDARY_ENABLE_VPID}, {SET, VIRTUAL_PROCESSOR_ID, 0}}},
    {"control.eptp.memory-type", CONTROLS, {{ON, EPT_POINTER, BIT(0)}}},
    {"control.eptp.walk-length", CONTROLS, {{OFF, EPT_POINTER, BIT(3) | BIT(4)}}},
    {"control.eptp.reserved", CONTROLS, {{ON, EPT_POINTER, BIT(11)}}},
    {"control.eptp.width", CONTROLS, {{ON, EPT_POINTER, TOO_WIDE}}},
    {"control.unrestricted-guest.needs-ept", CONTROLS, {{OFF, SECONDARY_CONTROLS, SECONDARY_ENABLE_EPT}}},
    {"control.pml.needs-ept", CONTROLS, {{WITH, SECONDARY_CONTROLS, SECONDARY_ENABLE_PML}, {SET, PML_ADDRESS, (u64)page}, {OFF, SECONDARY_CONTROLS, SECONDARY_ENABLE_EPT | SECONDARY_UNRESTRICTED_GUEST}}},
    {"control.pml.aligned", CONTROLS, {{WITH, SECONDARY_CONTROLS, SECONDARY_ENABLE_PML}, {SET, PML_ADDRESS, 1}}},
    {"control.vmread-bitmap.aligned", CONTROLS, {{WITH, SECONDARY_CONTROLS, SECONDARY_VMCS_SHADOWING}, {SET, VMREAD_BITMAP, 1}, {SET, VMWRITE_BITMAP, (u64)page}}},
    {"control.vmwrite-bitmap.aligned", CONTROLS, {{WITH, SECONDARY_CONTROLS, SECONDARY_VMCS_SHADOWING}, {SET, VMREAD_BITMAP, (u64)page}, {SET, VMWRITE_BITMAP, 1}}},
    {"control.vm-functions.allowed", CONTROLS, {{WITH, SECONDARY_CONTROLS, SECONDARY_ENABLE_VM_FUNCTIONS}, {SET, VM_FUNCTION_CONTROLS, BIT(63)}}},
    {"control.eptp-list.aligned", CONTROLS, {{WITH, SECONDARY_CONTROLS, SECONDARY_ENABLE_VM_FUNCTIONS}, {SET, VM_FUNCTION_CONTROLS, BIT(0)}, {SET, EPTP_LIST_ADDRESS, 8}}},

    // 26.2.1.2 "VM-Exit Control Fields"
    {"control.exit.required", CONTROLS, {{OFF, EXIT_CONTROLS, BIT(0)}}},
    {"control.exit.allowed", CONTROLS, {{ON, EXIT_CONTROLS, BIT(31)}}},
    {"control.save-preemption-timer.needs-timer", CONTROLS, {{WITH, EXIT_CONTROLS, EXIT_SAVE_PREEMPTION_TIMER}}},
    {"control.exit-msr-store.aligned", CONTROLS, {{SET, EXIT_MSR_STORE_COUNT, 1}, {SET, EXIT_MSR_STORE_ADDRESS, 8}}},
    {"control.exit-msr-load.width", CONTROLS, {{SET, EXIT_MSR_LOAD_COUNT, 1}, {SET, EXIT_MSR_LOAD_ADDRESS, TOO_WIDE}}},

    // 26.2.1.3 "VM-Entry Control Fields"
    {"control.entry.required", CONTROLS, {{OFF, ENTRY_CONTROLS, BIT(0)}}},
    {"control.entry.allowed", CONTROLS, {{ON, ENTRY_CONTROLS, BIT(31)}}},
    {"control.entry-msr-load.aligned", CONTROLS, {{SET, ENTRY_MSR_LOAD_COUNT, 1}, {SET, ENTRY_MSR_LOAD_ADDRESS, 8}}},
    {"control.injection.type", CONTROLS, {{SET, ENTRY_INTERRUPTION_INFORMATION, EVENT(RESERVED_TYPE, 0x20)}}},
    {"control.injection.vector", CONTROLS, {{WITH, PRIMARY_CONTROLS, PRIMARY_MONITOR_TRAP_FLAG}, {SET, ENTRY_INTERRUPTION_INFORMATION, EVENT(OTHER_EVENT, 1)}}},
    {"control.injection.vector", CONTROLS, {{SET, ENTRY_INTERRUPTION_INFORMATION, EVENT(NMI, 3)}}},
    {"control.injection.vector", CONTROLS, {{SET, ENTRY_INTERRUPTION_INFORMATION, EVENT(HARDWARE_EXCEPTION, 32)}}},
    {"control.injection.error-code.allowed", CONTROLS, {{SET, ENTRY_INTERRUPTION_INFORMATION, EVENT(HARDWARE_EXCEPTION, 6) | DELIVER_ERROR_CODE}}},
    {"control.injection.error-code.required", CONTROLS, {{SET, ENTRY_INTERRUPTION_INFORMATION, EVENT(HARDWARE_EXCEPTION, 13)}}},
    {"control.injection.error-code.reserved", CONTROLS, {{SET, ENTRY_INTERRUPTION_INFORMATION, EVENT(HARDWARE_EXCEPTION, 13) | DELIVER_ERROR_CODE}, {SET, ENTRY_EXCEPTION_ERROR_CODE, BIT(20)}}},
    {"control.injection.reserved", CONTROLS, {{SET, ENTRY_INTERRUPTION_INFORMATION, EVENT(HARDWARE_EXCEPTION, 6) | BIT(30)}}},
    {"control.injection.length", CONTROLS, {{SET, ENTRY_INTERRUPTION_INFORMATION, EVENT(SOFTWARE_INTERRUPT, 0x80)}, {SET, ENTRY_INSTRUCTION_LENGTH, 16}}},

    // 26.2.2 "Checks on Host Control Registers, MSRs, and SSP"
    {"host.cr0.required", HOST_STATE, {{OFF, HOST_CR0, CR0_NE}}},
    {"host.cr4.required", HOST_STATE, {{OFF, HOST_CR4, CR4_VMXE}}},
    {"host.cr3.width", HOST_STATE, {{ON, HOST_CR3, TOO_WIDE}}},
    {"host.sysenter-esp", HOST_STATE, {{SET, HOST_SYSENTER_ESP, NOT_CANONICAL}}},
    {"host.sysenter-eip", HOST_STATE, {{SET, HOST_SYSENTER_EIP, NOT_CANONICAL}}},
    {"host.pat", HOST_STATE, {{WITH, EXIT_CONTROLS, EXIT_LOAD_PAT}, {SET, HOST_IA32_PAT, 2}}},
    {"host.efer.reserved", HOST_STATE, {{ON, HOST_IA32_EFER, BIT(1)}}},
    {"host.efer.lma", HOST_STATE, {{OFF, HOST_IA32_EFER, EFER_LMA}}},
    {"host.efer.lme", HOST_STATE, {{OFF, HOST_IA32_EFER, EFER_LME}}},
    // 26.2.3 "Checks on Host Segment and Descriptor-Table Registers"
    {"host.es.selector", HOST_STATE, {{ON, HOST_ES_SELECTOR, 3}}},
    {"host.cs.selector", HOST_STATE, {{ON, HOST_CS_SELECTOR, 3}}},
    {"host.ss.selector", HOST_STATE, {{ON, HOST_SS_SELECTOR, 4}}},
    {"host.ds.selector", HOST_STATE, {{ON, HOST_DS_SELECTOR, 4}}},
    {"host.fs.selector", HOST_STATE, {{ON, HOST_FS_SELECTOR, 1}}},
    {"host.gs.selector", HOST_STATE, {{ON, HOST_GS_SELECTOR, 2}}},
    {"host.tr.selector", HOST_STATE, {{ON, HOST_TR_SELECTOR, 4}}},
    {"host.cs.null", HOST_STATE, {{SET, HOST_CS_SELECTOR, 0}}},
    {"host.tr.null", HOST_STATE, {{SET, HOST_TR_SELECTOR, 0}}},
    {"host.fs.base", HOST_STATE, {{SET, HOST_FS_BASE, NOT_CANONICAL}}},
    {"host.gs.base", HOST_STATE, {{SET, HOST_GS_BASE, NOT_CANONICAL}}},
    {"host.tr.base", HOST_STATE, {{SET, HOST_TR_BASE, NOT_CANONICAL}}},
    {"host.gdtr.base", HOST_STATE, {{SET, HOST_GDTR_BASE, NOT_CANONICAL}}},
    {"host.idtr.base", HOST_STATE, {{SET, HOST_IDTR_BASE, NOT_CANONICAL}}},
    // 26.2.4 "Checks Related to Address-Space Size"
    {"host.address-space-size", HOST_STATE, {{OFF, EXIT_CONTROLS, EXIT_HOST_ADDRESS_SPACE_SIZE}, {OFF, HOST_IA32_EFER, EFER_LMA | EFER_LME}}},
    {"host.cr4.pae", HOST_STATE, {{OFF, HOST_CR4, CR4_PAE}}},
    {"host.rip.canonical", HOST_STATE, {{ON, HOST_RIP, NOT_CANONICAL}}},

    // Entries that are not broken, for what the cases below start from
    {"good.64-bit-mode", ENTERS, {IN_64_BIT_MODE}},
    {"good.restricted", ENTERS, {RESTRICTED}},
    {"good.msr-load", ENTERS, {MSR_LOAD(load_good)}},
    {"good.sti-blocking", ENTERS, {INTERRUPTS_ON, {SET, GUEST_INTERRUPTIBILITY, BLOCKING_BY_STI}}},
    {"good.ldtr", ENTERS, {LDTR_USABLE}},

    // 26.3.1.1 "Checks on Guest Control Registers, Debug Registers, and MSRs"
    {"guest.cr0.required", GUEST_STATE, {{OFF, GUEST_CR0, CR0_NE}}},
    {"guest.cr0.required", GUEST_STATE, {RESTRICTED, {OFF, GUEST_CR0, CR0_PG}}},
    {"guest.cr0.pg-needs-pe", GUEST_STATE, {{OFF, GUEST_CR0, CR0_PE}}},
    {"guest.cr4.required", GUEST_STATE, {{OFF, GUEST_CR4, CR4_VMXE}}},
    {"guest.debugctl", GUEST_STATE, {DEBUG_CONTROLS, {SET, GUEST_IA32_DEBUGCTL, BIT(31)}}},
    {"guest.cr4.ia32e-needs-pae", GUEST_STATE, {IN_64_BIT_MODE, {OFF, GUEST_CR4, CR4_PAE}}},
    {"guest.cr0.ia32e-needs-pg", GUEST_STATE, {IN_64_BIT_MODE, {OFF, GUEST_CR0, CR0_PG}}},
    {"guest.cr4.pcide-needs-ia32e", GUEST_STATE, {{ON, GUEST_CR4, CR4_PCIDE}}},
    {"guest.cr3.width", GUEST_STATE, {{ON, GUEST_CR3, TOO_WIDE}}},
    {"guest.dr7", GUEST_STATE, {DEBUG_CONTROLS, {ON, GUEST_DR7, BIT(32)}}},
    {"guest.sysenter-esp", GUEST_STATE, {{SET, GUEST_SYSENTER_ESP, NOT_CANONICAL}}},
    {"guest.sysenter-eip", GUEST_STATE, {{SET, GUEST_SYSENTER_EIP, NOT_CANONICAL}}},
    {"guest.pat", GUEST_STATE, {{WITH, ENTRY_CONTROLS, ENTRY_LOAD_PAT}, {SET, GUEST_IA32_PAT, 2}}},
    {"guest.efer.reserved", GUEST_STATE, {{ON, GUEST_IA32_EFER, BIT(1)}}},
    {"guest.efer.lma", GUEST_STATE, {{ON, GUEST_IA32_EFER, EFER_LMA | EFER_LME}}},
    {"guest.efer.lme", GUEST_STATE, {{ON, GUEST_IA32_EFER, EFER_LME}}},

    // 26.3.1.2 "Checks on Guest Segment Registers"
    {"guest.tr.selector", GUEST_STATE, {{ON, GUEST_TR_SELECTOR, 4}}},
    {"guest.ldtr.selector", GUEST_STATE, {LDTR_USABLE, {ON, GUEST_LDTR_SELECTOR, 4}}},
    {"guest.ss.rpl", GUEST_STATE, {RESTRICTED, {ON, GUEST_SS_SELECTOR, 3}, {SET, GUEST_SS_ACCESS_RIGHTS, 0xc0f3}, {SET, GUEST_CS_ACCESS_RIGHTS, 0xc09f}}},
    {"guest.tr.base.canonical", GUEST_STATE, {{SET, GUEST_TR_BASE, NOT_CANONICAL}}},
    {"guest.fs.base.canonical", GUEST_STATE, {{SET, GUEST_FS_BASE, NOT_CANONICAL}}},
    {"guest.gs.base.canonical", GUEST_STATE, {{SET, GUEST_GS_BASE, NOT_CANONICAL}}},
    {"guest.ldtr.base.canonical", GUEST_STATE, {LDTR_USABLE, {SET, GUEST_LDTR_BASE, NOT_CANONICAL}}},
    {"guest.cs.base.wide", GUEST_STATE, {{SET, GUEST_CS_BASE, ABOVE_4G}}},
    {"guest.ss.base.wide", GUEST_STATE, {{SET, GUEST_SS_BASE, ABOVE_4G}}},
    {"guest.ds.base.wide", GUEST_STATE, {{SET, GUEST_DS_BASE, ABOVE_4G}}},
    {"guest.es.base.wide", GUEST_STATE, {{SET, GUEST_ES_BASE, ABOVE_4G}}},
    {"guest.cs.type", GUEST_STATE, {{SET, GUEST_CS_ACCESS_RIGHTS, 0xc09a}}},
    {"guest.ss.type", GUEST_STATE, {{SET, GUEST_SS_ACCESS_RIGHTS, 0xc091}}},
    {"guest.ds.type.accessed", GUEST_STATE, {{SET, GUEST_DS_ACCESS_RIGHTS, 0xc092}}},
    {"guest.es.type.readable", GUEST_STATE, {{SET, GUEST_ES_ACCESS_RIGHTS, 0xc099}}},
    {"guest.cs.s", GUEST_STATE, {{SET, GUEST_CS_ACCESS_RIGHTS, 0xc08b}}},
    {"guest.ss.s", GUEST_STATE, {{SET, GUEST_SS_ACCESS_RIGHTS, 0xc083}}},
    {"guest.fs.s", GUEST_STATE, {{SET, GUEST_FS_ACCESS_RIGHTS, 0xc083}}},
    {"guest.cs.dpl.nonconforming", GUEST_STATE, {{SET, GUEST_CS_ACCESS_RIGHTS, 0xc0fb}}},
    {"guest.ss.dpl.rpl", GUEST_STATE, {RESTRICTED, {SET, GUEST_SS_ACCESS_RIGHTS, 0xc0f3}, {SET, GUEST_CS_ACCESS_RIGHTS, 0xc09f}}},
    {"guest.ds.dpl", GUEST_STATE, {RESTRICTED, {ON, GUEST_DS_SELECTOR, 3}}},
    {"guest.cs.p", GUEST_STATE, {{SET, GUEST_CS_ACCESS_RIGHTS, 0xc01b}}},
    {"guest.ss.p", GUEST_STATE, {{SET, GUEST_SS_ACCESS_RIGHTS, 0xc013}}},
    {"guest.gs.p", GUEST_STATE, {{SET, GUEST_GS_ACCESS_RIGHTS, 0xc013}}},
    {"guest.cs.reserved", GUEST_STATE, {{ON, GUEST_CS_ACCESS_RIGHTS, BIT(8)}}},
    {"guest.ds.reserved", GUEST_STATE, {{ON, GUEST_DS_ACCESS_RIGHTS, BIT(20)}}},
    {"guest.cs.db", GUEST_STATE, {IN_64_BIT_MODE, {SET, GUEST_CS_ACCESS_RIGHTS, 0xe09b}}},
    {"guest.cs.g.pages", GUEST_STATE, {{OFF, GUEST_CS_ACCESS_RIGHTS, BIT(15)}}},
    {"guest.es.g.bytes", GUEST_STATE, {{SET, GUEST_ES_LIMIT, 0xffff0000}}},
    {"guest.tr.type", GUEST_STATE, {{SET, GUEST_TR_ACCESS_RIGHTS, 0x89}}},
    {"guest.tr.type", GUEST_STATE, {IN_64_BIT_MODE, {SET, GUEST_TR_ACCESS_RIGHTS, 0x83}}},
    {"guest.tr.s", GUEST_STATE, {{SET, GUEST_TR_ACCESS_RIGHTS, 0x9b}}},
    {"guest.tr.p", GUEST_STATE, {{SET, GUEST_TR_ACCESS_RIGHTS, 0x0b}}},
    {"guest.tr.reserved", GUEST_STATE, {{SET, GUEST_TR_ACCESS_RIGHTS, 0x18b}}},
    {"guest.tr.g.bytes", GUEST_STATE, {{SET, GUEST_TR_ACCESS_RIGHTS, 0x808b}}},
    {"guest.tr.usable", GUEST_STATE, {{SET, GUEST_TR_ACCESS_RIGHTS, 0x1008b}}},
    {"guest.ldtr.type", GUEST_STATE, {{SET, GUEST_LDTR_ACCESS_RIGHTS, 0x83}}},
    {"guest.ldtr.s", GUEST_STATE, {{SET, GUEST_LDTR_ACCESS_RIGHTS, 0x92}}},
    {"guest.ldtr.p", GUEST_STATE, {{SET, GUEST_LDTR_ACCESS_RIGHTS, 0x02}}},
    {"guest.ldtr.reserved", GUEST_STATE, {{SET, GUEST_LDTR_ACCESS_RIGHTS, 0x182}}},
    {"guest.ldtr.g.bytes", GUEST_STATE, {{SET, GUEST_LDTR_ACCESS_RIGHTS, 0x8082}}},
    // 26.3.1.3 "Checks on Guest Descriptor-Table Registers"
    {"guest.gdtr.base", GUEST_STATE, {{SET, GUEST_GDTR_BASE, NOT_CANONICAL}}},
    {"guest.idtr.base", GUEST_STATE, {{SET, GUEST_IDTR_BASE, NOT_CANONICAL}}},
    {"guest.gdtr.limit", GUEST_STATE, {{SET, GUEST_GDTR_LIMIT, 0x10000}}},
    {"guest.idtr.limit", GUEST_STATE, {{SET, GUEST_IDTR_LIMIT, 0x10000}}},
    // 26.3.1.4 "Checks on Guest RIP, RFLAGS, and SSP"
    {"guest.rip.wide", GUEST_STATE, {{ON, GUEST_RIP, ABOVE_4G}}},
    {"guest.rip.upper", GUEST_STATE, {IN_64_BIT_MODE, {ON, GUEST_RIP, NOT_CANONICAL}}},
    {"guest.rflags.reserved", GUEST_STATE, {{ON, GUEST_RFLAGS, BIT(15)}}},
    {"guest.rflags.bit-1", GUEST_STATE, {{OFF, GUEST_RFLAGS, BIT(1)}}},
    {"guest.rflags.if", GUEST_STATE, {{SET, ENTRY_INTERRUPTION_INFORMATION, EVENT(EXTERNAL_INTERRUPT, 0x20)}}},
    // 26.3.1.5 "Checks on Guest Non-Register State"
    {"guest.activity.defined", GUEST_STATE, {{SET, GUEST_ACTIVITY_STATE, 4}}},
    {"guest.activity.supported", GUEST_STATE, {{SET, GUEST_ACTIVITY_STATE, ACTIVITY_SHUTDOWN}, {LACKS, 0, MISC_ACTIVITY_SHUTDOWN}}},
    {"guest.activity.blocking", GUEST_STATE, {{SET, GUEST_ACTIVITY_STATE, ACTIVITY_HLT}, INTERRUPTS_ON, {SET, GUEST_INTERRUPTIBILITY, BLOCKING_BY_STI}, {SET, ENTRY_INTERRUPTION_INFORMATION, EVENT(HARDWARE_EXCEPTION, 1)}}},
    {"guest.interruptibility.reserved", GUEST_STATE, {{SET, GUEST_INTERRUPTIBILITY, BIT(31)}}},
    {"guest.interruptibility.sti-and-mov-ss", GUEST_STATE, {INTERRUPTS_ON, {SET, GUEST_INTERRUPTIBILITY, BLOCKING_BY_STI | BLOCKING_BY_MOV_SS}}},
    {"guest.interruptibility.sti-needs-if", GUEST_STATE, {{SET, GUEST_INTERRUPTIBILITY, BLOCKING_BY_STI}}},
    {"guest.interruptibility.interrupt", GUEST_STATE, {INTERRUPTS_ON, {SET, GUEST_INTERRUPTIBILITY, BLOCKING_BY_STI}, {SET, ENTRY_INTERRUPTION_INFORMATION, EVENT(EXTERNAL_INTERRUPT, 0x20)}}},
    {"guest.interruptibility.nmi-mov-ss", GUEST_STATE, {{SET, GUEST_INTERRUPTIBILITY, BLOCKING_BY_MOV_SS}, {SET, ENTRY_INTERRUPTION_INFORMATION, EVENT(NMI, 2)}}},
    {"guest.interruptibility.virtual-nmi", GUEST_STATE, {{WITH, PIN_BASED_CONTROLS, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS}, {SET, GUEST_INTERRUPTIBILITY, BLOCKING_BY_NMI}, {SET, ENTRY_INTERRUPTION_INFORMATION, EVENT(NMI, 2)}}},
    {"guest.interruptibility.nmi-sti", NMI_INJECTION, {INTERRUPTS_ON, {SET, GUEST_INTERRUPTIBILITY, BLOCKING_BY_STI}, {SET, ENTRY_INTERRUPTION_INFORMATION, EVENT(NMI, 2)}}},
    {"guest.interruptibility.smi", GUEST_STATE, {{SET, GUEST_INTERRUPTIBILITY, BLOCKING_BY_SMI}}},
    {"guest.pending-debug.reserved", GUEST_STATE, {{SET, GUEST_PENDING_DEBUG_EXCEPTIONS, BIT(4)}}},
    {"guest.pending-debug.bs-set", GUEST_STATE, {{ON, GUEST_RFLAGS, RFLAGS_IF | RFLAGS_TF}, {SET, GUEST_INTERRUPTIBILITY, BLOCKING_BY_STI}}},
    {"guest.pending-debug.bs-clear", GUEST_STATE, {INTERRUPTS_ON, {SET, GUEST_INTERRUPTIBILITY, BLOCKING_BY_STI}, {SET, GUEST_PENDING_DEBUG_EXCEPTIONS, BIT(14)}}},
    {"guest.link-pointer.aligned", LINK_POINTER, {{SET, VMCS_LINK_POINTER, 8}}},
    {"guest.link-pointer.width", LINK_POINTER, {{SET, VMCS_LINK_POINTER, TOO_WIDE}}},
    {"guest.link-pointer.revision", LINK_POINTER, {{SET, VMCS_LINK_POINTER, (u64)page}}},
    {"guest.link-pointer.current", LINK_POINTER, {{SET, VMCS_LINK_POINTER, FRAME_A(0) + FRAME_VMCS}}},
    // 26.3.1.6 "Checks on Guest Page-Directory-Pointer-Table Entries"
    {"guest.pdpte0", PDPTE, {{ON, GUEST_PDPTE0, BIT(1)}}},
    {"guest.pdpte3", PDPTE, {{ON, GUEST_PDPTE3, TOO_WIDE}}},
    {"guest.pdpte.in-memory", PDPTE, {{OFF, SECONDARY_CONTROLS, SECONDARY_ENABLE_EPT | SECONDARY_UNRESTRICTED_GUEST}, {SET, GUEST_CR3, (u64)pdpt_reserved}}},

    // 26.4 "Loading MSRs"
    {"msr.fs-gs-base", MSR_LOADING(1), {MSR_LOAD(load_fs_base)}},
    {"msr.fs-gs-base", MSR_LOADING(2), {MSR_LOAD(load_gs_base_second)}},
    {"msr.x2apic", MSR_LOADING(1), {MSR_LOAD(load_x2apic)}},
    {"msr.reserved", MSR_LOADING(1), {MSR_LOAD(load_reserved)}},
    {"msr.smm-monitor", MSR_LOADING(1), {MSR_LOAD(load_smm_monitor)}},
    {"msr.microcode", MSR_LOADING(1), {MSR_LOAD(load_microcode)}},
    {"msr.pat", MSR_LOADING(1), {MSR_LOAD(load_bad_value)}},
};
// clang-format on
const unsigned broken_case_count = COUNT(broken_cases);
_Static_assert(COUNT(broken_cases) <= MAX_BROKEN_CASES, "answers are kept for each case");
