#include "core/import/text_patterns.h"

namespace vmxscope::core {
namespace {

using vmx::Field;
using S = DumpSection;

#define SEGMENT(name, field)                                                                                \
    {S::Guest,                                                                                              \
     name ": sel=%, attr=%, limit=%, base=%",                                                               \
     {Field::GUEST_##field##_SELECTOR, Field::GUEST_##field##_AR_BYTES, Field::GUEST_##field##_LIMIT,       \
      Field::GUEST_##field##_BASE}},                                                                        \
    {                                                                                                       \
        S::Guest, name ": % % % %", {                                                                       \
            Field::GUEST_##field##_SELECTOR, Field::GUEST_##field##_AR_BYTES, Field::GUEST_##field##_LIMIT, \
                Field::GUEST_##field##_BASE                                                                 \
        }                                                                                                   \
    }
#define TABLE(name)                                                                                     \
    {S::Guest, #name ": limit=%, base=%", {Field::GUEST_##name##_LIMIT, Field::GUEST_##name##_BASE}}, { \
        S::Guest, #name ": % %", {                                                                      \
            Field::GUEST_##name##_LIMIT, Field::GUEST_##name##_BASE                                     \
        }                                                                                               \
    }

// KVM: arch/x86/kvm/vmx/vmx.c, dump_vmcs() of 5.x to 6.18. Xen: xen/arch/x86/hvm/vmx/vmcs.c, vmcs_dump_vcpu() of 4.x.
constexpr DumpPattern kPatterns[] = {
    {S::Guest,
     "CR0: actual=%, shadow=%, gh_mask=%",
     {Field::GUEST_CR0, Field::CR0_READ_SHADOW, Field::CR0_GUEST_HOST_MASK}},
    {S::Guest,
     "CR4: actual=%, shadow=%, gh_mask=%",
     {Field::GUEST_CR4, Field::CR4_READ_SHADOW, Field::CR4_GUEST_HOST_MASK}},
    {S::Guest, "CR3: actual=%, target_count=%", {Field::GUEST_CR3, Field::CR3_TARGET_COUNT}},
    {S::Guest, "CR3 = %", {Field::GUEST_CR3}},
    {S::Guest, "PDPTR0 = %", {Field::GUEST_PDPTR0}},
    {S::Guest, "PDPTR1 = %", {Field::GUEST_PDPTR1}},
    {S::Guest, "PDPTR2 = %", {Field::GUEST_PDPTR2}},
    {S::Guest, "PDPTR3 = %", {Field::GUEST_PDPTR3}},
    {S::Guest, "PDPTE0 = %", {Field::GUEST_PDPTR0}},
    {S::Guest, "PDPTE1 = %", {Field::GUEST_PDPTR1}},
    {S::Guest, "PDPTE2 = %", {Field::GUEST_PDPTR2}},
    {S::Guest, "PDPTE3 = %", {Field::GUEST_PDPTR3}},
    {S::Guest, "RSP = %", {Field::GUEST_RSP}},
    {S::Guest, "RIP = %", {Field::GUEST_RIP}},
    {S::Guest, "RFLAGS = %", {Field::GUEST_RFLAGS}},
    {S::Guest, "DR7 = %", {Field::GUEST_DR7}},
    {S::Guest,
     "Sysenter RSP=% CS:RIP=%:%",
     {Field::GUEST_SYSENTER_ESP, Field::GUEST_SYSENTER_CS, Field::GUEST_SYSENTER_EIP}},
    SEGMENT("CS", CS),
    SEGMENT("DS", DS),
    SEGMENT("SS", SS),
    SEGMENT("ES", ES),
    SEGMENT("FS", FS),
    SEGMENT("GS", GS),
    SEGMENT("LDTR", LDTR),
    SEGMENT("TR", TR),
    TABLE(GDTR),
    TABLE(IDTR),
    {S::Guest, "EFER(VMCS) = %", {Field::GUEST_IA32_EFER}},
    {S::Guest, "EFER(MSR LL) = %", {kNoField}},
    {S::Guest, "EFER = %", {Field::GUEST_IA32_EFER}},
    {S::Guest, "PAT = %", {Field::GUEST_IA32_PAT}},
    {S::Guest, "PreemptionTimer = %", {Field::VMX_PREEMPTION_TIMER_VALUE}},
    {S::Guest, "SM Base = %", {Field::GUEST_SMBASE}},
    {S::Guest, "DebugCtl = %", {Field::GUEST_IA32_DEBUGCTL}},
    {S::Guest, "DebugExceptions = %", {Field::GUEST_PENDING_DBG_EXCEPTIONS}},
    {S::Guest, "PerfGlobCtl = %", {Field::GUEST_IA32_PERF_GLOBAL_CTRL}},
    {S::Guest, "BndCfgS = %", {Field::GUEST_BNDCFGS}},
    {S::Guest,
     "S_CET = %, SSP = %, SSP TABLE = %",
     {Field::GUEST_S_CET, Field::GUEST_SSP, Field::GUEST_INTR_SSP_TABLE}},
    {S::Guest, "Interruptibility = %", {Field::GUEST_INTERRUPTIBILITY_INFO}},
    {S::Guest, "ActivityState = %", {Field::GUEST_ACTIVITY_STATE}},
    {S::Guest, "InterruptStatus = %", {Field::GUEST_INTR_STATUS}},

    {S::Host, "RIP = %", {Field::HOST_RIP}},
    {S::Host, "RSP = %", {Field::HOST_RSP}},
    {S::Host, "CS=%", {Field::HOST_CS_SELECTOR}},
    {S::Host, "SS=%", {Field::HOST_SS_SELECTOR}},
    {S::Host, "DS=%", {Field::HOST_DS_SELECTOR}},
    {S::Host, "ES=%", {Field::HOST_ES_SELECTOR}},
    {S::Host, "FS=%", {Field::HOST_FS_SELECTOR}},
    {S::Host, "GS=%", {Field::HOST_GS_SELECTOR}},
    {S::Host, "TR=%", {Field::HOST_TR_SELECTOR}},
    {S::Host, "FSBase=%", {Field::HOST_FS_BASE}},
    {S::Host, "GSBase=%", {Field::HOST_GS_BASE}},
    {S::Host, "TRBase=%", {Field::HOST_TR_BASE}},
    {S::Host, "GDTBase=%", {Field::HOST_GDTR_BASE}},
    {S::Host, "IDTBase=%", {Field::HOST_IDTR_BASE}},
    {S::Host, "CR0=%", {Field::HOST_CR0}},
    {S::Host, "CR3=%", {Field::HOST_CR3}},
    {S::Host, "CR4=%", {Field::HOST_CR4}},
    {S::Host,
     "Sysenter RSP=% CS:RIP=%:%",
     {Field::HOST_IA32_SYSENTER_ESP, Field::HOST_IA32_SYSENTER_CS, Field::HOST_IA32_SYSENTER_EIP}},
    {S::Host, "EFER = %", {Field::HOST_IA32_EFER}},
    {S::Host, "PAT = %", {Field::HOST_IA32_PAT}},
    {S::Host, "PerfGlobCtl = %", {Field::HOST_IA32_PERF_GLOBAL_CTRL}},
    {S::Host, "S_CET = %, SSP = %, SSP TABLE = %", {Field::HOST_S_CET, Field::HOST_SSP, Field::HOST_INTR_SSP_TABLE}},

    {S::Control, "PinBased=%", {Field::PIN_BASED_VM_EXEC_CONTROL}},
    {S::Control, "CPUBased=%", {Field::CPU_BASED_VM_EXEC_CONTROL}},
    {S::Control, "SecondaryExec=%", {Field::SECONDARY_VM_EXEC_CONTROL}},
    {S::Control, "TertiaryExec=%", {Field::TERTIARY_VM_EXEC_CONTROL}},
    {S::Control, "EntryControls=%", {Field::VM_ENTRY_CONTROLS}},
    {S::Control, "ExitControls=%", {Field::VM_EXIT_CONTROLS}},
    {S::Control, "ExceptionBitmap=%", {Field::EXCEPTION_BITMAP}},
    {S::Control, "PFECmask=%", {Field::PAGE_FAULT_ERROR_CODE_MASK}},
    {S::Control, "PFECmatch=%", {Field::PAGE_FAULT_ERROR_CODE_MATCH}},
    {S::Control,
     "VMEntry: intr_info=% errcode=% ilen=%",
     {Field::VM_ENTRY_INTR_INFO_FIELD, Field::VM_ENTRY_EXCEPTION_ERROR_CODE, Field::VM_ENTRY_INSTRUCTION_LEN}},
    {S::Control,
     "VMExit: intr_info=% errcode=% ilen=%",
     {Field::VM_EXIT_INTR_INFO, Field::VM_EXIT_INTR_ERROR_CODE, Field::VM_EXIT_INSTRUCTION_LEN}},
    {S::Control, "reason=%", {Field::VM_EXIT_REASON}},
    {S::Control, "qualification=%", {Field::EXIT_QUALIFICATION}},
    {S::Control, "IDTVectoring: info=% errcode=%", {Field::IDT_VECTORING_INFO_FIELD, Field::IDT_VECTORING_ERROR_CODE}},
    {S::Control, "TSC Offset = %", {Field::TSC_OFFSET}},
    {S::Control, "TSC Multiplier = %", {Field::TSC_MULTIPLIER}},
    {S::Control, "SVI|RVI = %|%", {kNoField, kNoField}},  // GUEST_INTR_STATUS, which "InterruptStatus" says too
    {S::Control, "TPR Threshold = %", {Field::TPR_THRESHOLD}},
    {S::Control, "APIC-access addr = %", {Field::APIC_ACCESS_ADDR}},
    {S::Control, "virt-APIC addr = %", {Field::VIRTUAL_APIC_PAGE_ADDR}},
    {S::Control, "PostedIntrVec = %", {Field::POSTED_INTR_NV}},
    {S::Control, "EPT pointer = %", {Field::EPT_POINTER}},
    {S::Control, "EPTP index = %", {Field::EPTP_INDEX}},
    {S::Control, "PLE Gap=% Window=%", {Field::PLE_GAP, Field::PLE_WINDOW}},
    {S::Control, "Virtual processor ID = %", {Field::VIRTUAL_PROCESSOR_ID}},
    {S::Control, "VMfunc controls = %", {Field::VM_FUNCTION_CONTROL}},
    {S::Control, "VE info address = %", {Field::VE_INFORMATION_ADDRESS}},
    {S::None, "CR3 target0=%", {Field::CR3_TARGET_VALUE0}},
    {S::None, "CR3 target2=%", {Field::CR3_TARGET_VALUE2}},
    {S::None, "target0=%", {Field::CR3_TARGET_VALUE0}},
    {S::None, "target1=%", {Field::CR3_TARGET_VALUE1}},
    {S::None, "target2=%", {Field::CR3_TARGET_VALUE2}},
    {S::None, "target3=%", {Field::CR3_TARGET_VALUE3}},
};
#undef SEGMENT
#undef TABLE

}  // namespace

std::span<const DumpPattern> dump_patterns() {
    return kPatterns;
}

}  // namespace vmxscope::core
