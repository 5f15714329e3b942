// Names for what the SDM (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3C) numbers: VMCS
// fields, control bits, exit reasons, MSRs. Only what these guests use. Sections are those of the editions in which
// chapter 24 is "Virtual Machine Control Structures"; later editions add one to each chapter (24 -> 25), the titles
// stay. The #defines are shared with assembly; everything else is C.
#pragma once

// Vol. 4, "Model-Specific Registers"
#define IA32_FEATURE_CONTROL 0x3a
#define IA32_EFER 0xc0000080
#define EFER_LME 0x100
#define EFER_LMA 0x400

// Vol. 3A, 2.5 "Control Registers"
#define CR0_PE 0x1
#define CR0_TS 0x8
#define CR0_NW 0x20000000
#define CR0_CD 0x40000000
#define CR0_PG 0x80000000
#define CR4_PSE 0x10
#define CR4_PAE 0x20
#define CR4_VMXE 0x2000

#ifndef __ASSEMBLER__

// Appendix A "VMX Capability Reporting Facility"
enum vmx_msr {
    IA32_VMX_BASIC = 0x480,
    IA32_VMX_PINBASED_CTLS = 0x481,
    IA32_VMX_PROCBASED_CTLS = 0x482,
    IA32_VMX_EXIT_CTLS = 0x483,
    IA32_VMX_ENTRY_CTLS = 0x484,
    IA32_VMX_CR0_FIXED0 = 0x486,
    IA32_VMX_CR0_FIXED1 = 0x487,
    IA32_VMX_CR4_FIXED0 = 0x488,
    IA32_VMX_CR4_FIXED1 = 0x489,
    IA32_VMX_PROCBASED_CTLS2 = 0x48b,
    IA32_VMX_EPT_VPID_CAP = 0x48c,
    IA32_VMX_TRUE_PINBASED_CTLS = 0x48d,
    IA32_VMX_TRUE_PROCBASED_CTLS = 0x48e,
    IA32_VMX_TRUE_EXIT_CTLS = 0x48f,
    IA32_VMX_TRUE_ENTRY_CTLS = 0x490,
};

// Appendix B "Field Encoding in VMCS"
enum vmcs_field {
    // guest selectors, limits, access rights and bases come in this order: ES CS SS DS FS GS LDTR TR, two apart
    GUEST_ES_SELECTOR = 0x0800,
    GUEST_ES_LIMIT = 0x4800,
    GUEST_ES_ACCESS_RIGHTS = 0x4814,
    GUEST_ES_BASE = 0x6806,
    // host selectors, likewise, without LDTR: ES CS SS DS FS GS TR
    HOST_ES_SELECTOR = 0x0c00,

    EPT_POINTER = 0x201a,
    VMCS_LINK_POINTER = 0x2800,
    GUEST_IA32_EFER = 0x2806,
    GUEST_PDPTE0 = 0x280a,  // 1, 2, 3 follow, two apart
    HOST_IA32_EFER = 0x2c02,
    GUEST_PHYSICAL_ADDRESS = 0x2400,

    PIN_BASED_CONTROLS = 0x4000,
    PRIMARY_CONTROLS = 0x4002,
    EXCEPTION_BITMAP = 0x4004,
    PAGE_FAULT_ERROR_CODE_MASK = 0x4006,
    PAGE_FAULT_ERROR_CODE_MATCH = 0x4008,
    CR3_TARGET_COUNT = 0x400a,
    EXIT_CONTROLS = 0x400c,
    EXIT_MSR_STORE_COUNT = 0x400e,
    EXIT_MSR_LOAD_COUNT = 0x4010,
    ENTRY_CONTROLS = 0x4012,
    ENTRY_MSR_LOAD_COUNT = 0x4014,
    ENTRY_INTERRUPTION_INFORMATION = 0x4016,
    SECONDARY_CONTROLS = 0x401e,

    VM_INSTRUCTION_ERROR = 0x4400,
    EXIT_REASON = 0x4402,
    EXIT_INTERRUPTION_INFORMATION = 0x4404,
    EXIT_INSTRUCTION_LENGTH = 0x440c,

    GUEST_GDTR_LIMIT = 0x4810,
    GUEST_IDTR_LIMIT = 0x4812,
    GUEST_INTERRUPTIBILITY = 0x4824,
    GUEST_ACTIVITY_STATE = 0x4826,
    GUEST_SYSENTER_CS = 0x482a,
    HOST_SYSENTER_CS = 0x4c00,

    CR0_GUEST_HOST_MASK = 0x6000,
    CR4_GUEST_HOST_MASK = 0x6002,
    CR0_READ_SHADOW = 0x6004,
    CR4_READ_SHADOW = 0x6006,

    EXIT_QUALIFICATION = 0x6400,

    GUEST_CR0 = 0x6800,
    GUEST_CR3 = 0x6802,
    GUEST_CR4 = 0x6804,
    GUEST_GDTR_BASE = 0x6816,
    GUEST_IDTR_BASE = 0x6818,
    GUEST_DR7 = 0x681a,
    GUEST_RSP = 0x681c,
    GUEST_RIP = 0x681e,
    GUEST_RFLAGS = 0x6820,
    GUEST_PENDING_DEBUG_EXCEPTIONS = 0x6822,
    GUEST_SYSENTER_ESP = 0x6824,
    GUEST_SYSENTER_EIP = 0x6826,

    HOST_CR0 = 0x6c00,
    HOST_CR3 = 0x6c02,
    HOST_CR4 = 0x6c04,
    HOST_FS_BASE = 0x6c06,
    HOST_GS_BASE = 0x6c08,
    HOST_TR_BASE = 0x6c0a,
    HOST_GDTR_BASE = 0x6c0c,
    HOST_IDTR_BASE = 0x6c0e,
    HOST_SYSENTER_ESP = 0x6c10,
    HOST_SYSENTER_EIP = 0x6c12,
    HOST_RSP = 0x6c14,
    HOST_RIP = 0x6c16,
};

// 24.6.2 "Processor-Based VM-Execution Controls", 24.7.1 "VM-Exit Controls", 24.8.1 "VM-Entry Controls"
#define PRIMARY_HLT_EXITING (1u << 7)
#define PRIMARY_CR3_STORE_EXITING (1u << 16)
#define PRIMARY_UNCONDITIONAL_IO_EXITING (1u << 24)
#define PRIMARY_ACTIVATE_SECONDARY (1u << 31)
#define SECONDARY_ENABLE_EPT (1u << 1)
#define SECONDARY_UNRESTRICTED_GUEST (1u << 7)
#define EXIT_HOST_ADDRESS_SPACE_SIZE (1u << 9)
#define EXIT_SAVE_EFER (1u << 20)
#define EXIT_LOAD_EFER (1u << 21)
#define ENTRY_IA32E_MODE_GUEST (1u << 9)
#define ENTRY_LOAD_EFER (1u << 15)

// Appendix C "VMX Basic Exit Reasons"
enum exit_reason {
    EXIT_EXCEPTION_OR_NMI = 0,
    EXIT_CPUID = 10,
    EXIT_HLT = 12,
    EXIT_VMCALL = 18,
    EXIT_CR_ACCESS = 28,
    EXIT_IO_INSTRUCTION = 30,
    EXIT_RDMSR = 31,
    EXIT_ENTRY_FAILED_GUEST_STATE = 33,
    EXIT_EPT_VIOLATION = 48,
};
#define EXIT_REASON_ENTRY_FAILED (1u << 31)
// Exit qualification of reason 33: 26.8 "VM-Entry Failures During or After Loading Guest State"
#define ENTRY_FAILED_PDPTE 2

#define VECTOR_PAGE_FAULT 14

#endif
