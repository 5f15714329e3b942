#include "nested/badges.h"

#include <algorithm>
#include <iterator>

#include "nested/changes.h"
#include "vmx/controls.h"
#include "vmx/exit_reason.h"

namespace vmxscope::nested {
namespace {

using vmx::Field;

bool entry(const Transition& t) {
    return t.kind == Kind::NestedEntry;
}
bool exit(const Transition& t) {
    return t.kind == Kind::NestedExit;
}

/// Whether vmcs12's word has the bit; false where it is not known.
bool has12(const Transition& t, Field f, std::uint64_t bit) {
    const vmx::Value& v = t.vmcs12_before[f];
    return v.known() && (v.bits & bit) != 0;
}
bool lacks12(const Transition& t, Field f, std::uint64_t bit) {
    const vmx::Value& v = t.vmcs12_before[f];
    return v.known() && (v.bits & bit) == 0;
}
bool primary(const Transition& t, std::uint64_t bit) {
    return has12(t, Field::CPU_BASED_VM_EXEC_CONTROL, bit);
}
bool secondary(const Transition& t, std::uint64_t bit) {
    return primary(t, vmx::proc::kSecondaryControls) && has12(t, Field::SECONDARY_VM_EXEC_CONTROL, bit);
}
bool nonzero12(const Transition& t, Field f) {
    return has12(t, f, ~0ull);
}
bool apart(const Transition& t, Field f) {
    return differs(t.vmcs12_after[f], t.vmcs02_after[f]);
}
std::uint16_t reason(const Transition& t) {
    return vmx::basic_exit_reason(static_cast<std::uint32_t>(t.exit.reason.bits));
}
bool run_not_pending(const Transition& t) {
    return t.context.nested_run_pending == false;
}

constexpr Field kEventFields[] = {Field::VM_ENTRY_INTR_INFO_FIELD, Field::VM_ENTRY_EXCEPTION_ERROR_CODE,
                                  Field::VM_ENTRY_INSTRUCTION_LEN, Field::GUEST_INTERRUPTIBILITY_INFO};
constexpr Field kEntryControls[] = {Field::VM_ENTRY_CONTROLS};
constexpr Field kEfer[] = {Field::GUEST_IA32_EFER};
constexpr Field kDebug[] = {Field::GUEST_IA32_DEBUGCTL, Field::GUEST_DR7};
constexpr Field kPat[] = {Field::GUEST_IA32_PAT};
constexpr Field kBndcfgs[] = {Field::GUEST_BNDCFGS};
constexpr Field kSysenter[] = {Field::GUEST_SYSENTER_CS, Field::GUEST_SYSENTER_ESP, Field::GUEST_SYSENTER_EIP};
constexpr Field kPerf[] = {Field::GUEST_IA32_PERF_GLOBAL_CTRL};
constexpr Field kVectoring[] = {Field::IDT_VECTORING_INFO_FIELD, Field::IDT_VECTORING_ERROR_CODE};
constexpr Field kActivity[] = {Field::GUEST_ACTIVITY_STATE};
constexpr Field kTimer[] = {Field::VMX_PREEMPTION_TIMER_VALUE, Field::PIN_BASED_VM_EXEC_CONTROL};
constexpr Field kTsc[] = {Field::TSC_OFFSET, Field::TSC_MULTIPLIER};
constexpr Field kCrs[] = {Field::GUEST_CR0, Field::GUEST_CR4, Field::CR0_READ_SHADOW, Field::CR4_READ_SHADOW};
constexpr Field kCr3[] = {Field::GUEST_CR3};
constexpr Field kPageFault[] = {Field::EXCEPTION_BITMAP, Field::PAGE_FAULT_ERROR_CODE_MASK,
                                Field::PAGE_FAULT_ERROR_CODE_MATCH};
constexpr Field kEptp[] = {Field::EPT_POINTER};
constexpr Field kVpid[] = {Field::VIRTUAL_PROCESSOR_ID};
constexpr Field kApic[] = {Field::APIC_ACCESS_ADDR, Field::VIRTUAL_APIC_PAGE_ADDR, Field::POSTED_INTR_DESC_ADDR,
                           Field::TPR_THRESHOLD};
constexpr Field kPrimary[] = {Field::CPU_BASED_VM_EXEC_CONTROL};
constexpr Field kMsrBitmap[] = {Field::MSR_BITMAP};
constexpr Field kIoBitmaps[] = {Field::IO_BITMAP_A, Field::IO_BITMAP_B, Field::CPU_BASED_VM_EXEC_CONTROL};
constexpr Field kMsrLists[] = {Field::VM_EXIT_MSR_STORE_ADDR, Field::VM_EXIT_MSR_STORE_COUNT,
                               Field::VM_EXIT_MSR_LOAD_ADDR,  Field::VM_EXIT_MSR_LOAD_COUNT,
                               Field::VM_ENTRY_MSR_LOAD_ADDR, Field::VM_ENTRY_MSR_LOAD_COUNT};
constexpr Field kPml[] = {Field::PML_ADDRESS, Field::GUEST_PML_INDEX};
constexpr Field kShadowing[] = {Field::VMREAD_BITMAP, Field::VMWRITE_BITMAP, Field::VMCS_LINK_POINTER};
constexpr Field kVmfunc[] = {Field::VM_FUNCTION_CONTROL, Field::EPTP_LIST_ADDRESS};
constexpr Field kEncls[] = {Field::ENCLS_EXITING_BITMAP};
constexpr Field kLinear[] = {Field::GUEST_LINEAR_ADDRESS, Field::VM_EXIT_INSTRUCTION_LEN, Field::VMX_INSTRUCTION_INFO};
constexpr Field kPhysical[] = {Field::GUEST_PHYSICAL_ADDRESS};

constexpr Badge kBadges[] = {
    {"run-not-pending", "no VMLAUNCH pending",
     "nested_run_pending is clear (the state was set, or RSM): event injection, interruptibility, DEBUGCTL, DR7, PAT, "
     "BNDCFGS and EFER are not taken from vmcs12.",
     kEventFields, [](const Transition& t, const Flow&) { return entry(t) && run_not_pending(t); }},
    {"exit-while-pending",
     "exit before L2 ran",
     "nested_run_pending is still set: L2 leaves without having run, which KVM itself warns about.",
     {},
     [](const Transition& t, const Flow&) { return exit(t) && t.context.nested_run_pending == true; }},
    {"ia32e-written-back", "an entry control changed at the exit",
     "\"IA-32e mode guest\" of vmcs12's VM-entry controls is written back from vmcs02 at every exit: L2 may have "
     "changed its mode.",
     kEntryControls,
     [](const Transition& t, const Flow&) {
         return exit(t) && differs(t.vmcs12_before[Field::VM_ENTRY_CONTROLS], t.vmcs12_after[Field::VM_ENTRY_CONTROLS]);
     }},
    {"efer-not-loaded", "EFER is not vmcs12's",
     "vmcs12 does not load IA32_EFER: L2 runs with L1's, but for LMA and LME. vmcs02's field is written only if that "
     "differs from the host's.",
     kEfer,
     [](const Transition& t, const Flow&) {
         return entry(t) && lacks12(t, Field::VM_ENTRY_CONTROLS, vmx::entries::kLoadEfer);
     }},
    {"efer-not-switched", "EFER is the host's",
     "L2's EFER equals the host's, so the VM-entry does not load it: what vmcs02's field holds is not used.", kEfer,
     [](const Transition& t, const Flow& f) { return entry(t) && f[Field::GUEST_IA32_EFER].by_rule == false; }},
    {"debugctl-by-design", "DEBUGCTL and DR7 differ by design",
     "Without \"load debug controls\" they are L1's from before the entry, and the host's FREEZE_IN_SMM is added to "
     "DEBUGCTL.",
     kDebug,
     [](const Transition& t, const Flow&) {
         return entry(t) && (apart(t, Field::GUEST_IA32_DEBUGCTL) || apart(t, Field::GUEST_DR7));
     }},
    {"debugctl-written-through", "DEBUGCTL is not read back",
     "At the exit KVM leaves vmcs12's DEBUGCTL alone: it follows L2's WRMSR only, and DR7 only with \"save debug "
     "controls\".",
     kDebug, [](const Transition& t, const Flow&) { return exit(t) && apart(t, Field::GUEST_IA32_DEBUGCTL); }},
    {"pat-of-l1", "L2 runs with L1's PAT",
     "vmcs12 does not load IA32_PAT, so L1's stays in force in L2; the architecture has it so.", kPat,
     [](const Transition& t, const Flow&) {
         return entry(t) && lacks12(t, Field::VM_ENTRY_CONTROLS, vmx::entries::kLoadPat);
     }},
    {"bndcfgs-leaks", "BNDCFGS goes on to L1",
     "Without \"clear IA32_BNDCFGS\" L2's value stays in force in L1 after the exit.", kBndcfgs,
     [](const Transition& t, const Flow&) {
         return exit(t) && t.vmcs02_after[Field::GUEST_BNDCFGS].known() &&
                t.vmcs02_after[Field::GUEST_BNDCFGS].bits != 0;
     }},
    {"sysenter-written-through", "SYSENTER MSRs are not read back",
     "At the exit KVM leaves vmcs12's SYSENTER fields alone: they follow L2's WRMSR.", kSysenter,
     [](const Transition& t, const Flow&) {
         return exit(t) &&
                std::any_of(std::begin(kSysenter), std::end(kSysenter), [&](Field f) { return apart(t, f); });
     }},
    {"perf-unrelated", "PERF_GLOBAL_CTRL is L0's",
     "vmcs02's field is perf's, at each VM-entry; vmcs12's goes to the virtual PMU, if it is loaded at all.", kPerf,
     [](const Transition& t, const Flow&) { return entry(t) && apart(t, Field::GUEST_IA32_PERF_GLOBAL_CTRL); }},
    {"injected-by-l0", "L0 injects an event", "The event in vmcs02 is L0's own, not vmcs12's.", kEventFields,
     [](const Transition& t, const Flow& f) {
         return entry(t) && f[Field::VM_ENTRY_INTR_INFO_FIELD].later &&
                t.vmcs02_after[Field::VM_ENTRY_INTR_INFO_FIELD].bits >> 31;
     }},
    {"vectoring-synthesised", "an event was being delivered",
     "IDT-vectoring information of vmcs12 is made up from the event that KVM still holds for L2, not read from vmcs02.",
     kVectoring,
     [](const Transition& t, const Flow&) {
         return exit(t) && t.vmcs12_after[Field::IDT_VECTORING_INFO_FIELD].known() &&
                t.vmcs12_after[Field::IDT_VECTORING_INFO_FIELD].bits >> 31;
     }},
    {"activity-emulated", "the activity state is emulated",
     "vmcs02 always enters active: L0 emulates HLT and wait-for-SIPI itself, so L2 may be \"entered\" without a "
     "VM-entry.",
     kActivity, [](const Transition& t, const Flow&) { return entry(t) && nonzero12(t, Field::GUEST_ACTIVITY_STATE); }},
    {"timer-emulated", "the preemption timer is emulated",
     "L1's timer is a timer of the host's kernel; the control and the value in vmcs02 are L0's own.", kTimer,
     [](const Transition& t, const Flow&) {
         return direction_of(t.kind) && has12(t, Field::PIN_BASED_VM_EXEC_CONTROL, vmx::pin::kPreemptionTimer);
     }},
    {"tsc-composed", "the TSC is composed", "vmcs02's offset and multiplier are L1's and L2's, one on the other.", kTsc,
     [](const Transition& t, const Flow&) { return entry(t) && primary(t, vmx::proc::kTscOffsetting); }},
    {"cr-mixed", "CR0 and CR4 are mixed",
     "L0 owns more bits than L1 does: vmcs12's CR0 and CR4 are put together from L2's own bits, L1's, and vmcs02's "
     "read shadows, and need not equal any one field.",
     kCrs,
     [](const Transition& t, const Flow&) {
         return exit(t) && (apart(t, Field::GUEST_CR0) || apart(t, Field::GUEST_CR4));
     }},
    {"cr3-not-l2s", "CR3 in vmcs02 is L0's",
     "L0 runs without EPT: vmcs02's CR3 is a shadow page table of its own, and vmcs12's is not updated at exits.", kCr3,
     [](const Transition& t, const Flow&) { return direction_of(t.kind) && t.context.enable_ept == false; }},
    {"page-faults-superset", "all page faults exit",
     "L0 needs page faults itself, so L1's filter of them is applied in software.", kPageFault,
     [](const Transition& t, const Flow&) { return entry(t) && apart(t, Field::PAGE_FAULT_ERROR_CODE_MASK); }},
    {"ept02", "EPT02 is L0's",
     "vmcs02's EPT pointer leads to tables that L0 builds from EPT12 as L2 touches memory; only its accessed-and-dirty "
     "bit follows vmcs12's.",
     kEptp, [](const Transition& t, const Flow&) { return entry(t) && secondary(t, vmx::secondary::kEpt); }},
    {"vpid02", "VPID02 is L0's", "L2 gets a VPID of L0's choice; L1's number only decides when L0 flushes.", kVpid,
     [](const Transition& t, const Flow&) { return entry(t) && apart(t, Field::VIRTUAL_PROCESSOR_ID); }},
    {"apic-virtualized", "APIC virtualization is L1's",
     "Its controls come from vmcs12 alone; its pages are pinned, and their addresses are translated.", kApic,
     [](const Transition& t, const Flow&) {
         return entry(t) && (secondary(t, vmx::secondary::kApicAccesses | vmx::secondary::kInterruptDelivery |
                                              vmx::secondary::kApicRegisters | vmx::secondary::kX2apicMode) ||
                             primary(t, vmx::proc::kTprShadow));
     }},
    {"tpr-shadow-cleared", "TPR shadow silently off",
     "L1's virtual-APIC page could not be mapped: \"use TPR shadow\" is off in vmcs02, or its address is such that the "
     "entry fails.",
     kPrimary,
     [](const Transition& t, const Flow&) {
         return entry(t) && primary(t, vmx::proc::kTprShadow) &&
                t.vmcs02_after[Field::CPU_BASED_VM_EXEC_CONTROL].known() &&
                !(t.vmcs02_after[Field::CPU_BASED_VM_EXEC_CONTROL].bits & vmx::proc::kTprShadow);
     }},
    {"msr-bitmap-merged", "the MSR bitmap is merged",
     "vmcs02 has a page of L0's: an MSR is passed through only where both L0 and L1 allow it, and only for a few MSRs "
     "at all.",
     kMsrBitmap, [](const Transition& t, const Flow&) { return entry(t) && primary(t, vmx::proc::kMsrBitmaps); }},
    {"io-bitmaps-unused", "I/O bitmaps are never in hardware",
     "Every I/O instruction of L2's exits to L0, which looks into L1's bitmaps in software.", kIoBitmaps,
     [](const Transition& t, const Flow&) { return entry(t) && primary(t, vmx::proc::kIoBitmaps); }},
    {"msr-lists-emulated", "MSR lists are emulated",
     "L0 works through vmcs12's lists itself; addresses and counts in vmcs02 are those of L0's own lists.", kMsrLists,
     [](const Transition& t, const Flow&) {
         return direction_of(t.kind) &&
                (nonzero12(t, Field::VM_EXIT_MSR_STORE_COUNT) || nonzero12(t, Field::VM_EXIT_MSR_LOAD_COUNT) ||
                 nonzero12(t, Field::VM_ENTRY_MSR_LOAD_COUNT));
     }},
    {"pml-emulated", "PML is emulated",
     "Page-modification logging is never on in vmcs02; L0 writes L1's log, and counts its index in vmcs12 down, while "
     "L2 runs.",
     kPml, [](const Transition& t, const Flow&) { return direction_of(t.kind) && secondary(t, vmx::secondary::kPml); }},
    {"shadowing-emulated", "VMCS shadowing is emulated",
     "VMCS shadowing is never on in vmcs02: L2's VMREAD and VMWRITE exit to L0, which looks into L1's bitmaps.",
     kShadowing,
     [](const Transition& t, const Flow&) { return entry(t) && secondary(t, vmx::secondary::kShadowVmcs); }},
    {"vmfunc-emulated", "VM functions are emulated",
     "VMFUNC exits to L0; switching EPTP changes vmcs12's EPT pointer while L2 runs.", kVmfunc,
     [](const Transition& t, const Flow&) { return entry(t) && secondary(t, vmx::secondary::kVmFunctions); }},
    {"encls-merged", "ENCLS exits are merged", "The bitmap in vmcs02 is L0's, with L1's added.", kEncls,
     [](const Transition& t, const Flow&) { return entry(t) && secondary(t, vmx::secondary::kEnclsExiting); }},
    {"lazy-fields",
     "vmcs12 is not current",
     "KVM copies segments and some other guest state from vmcs02 only when L1 looks at one of them: until then vmcs12 "
     "has their old values (need_sync_vmcs02_to_vmcs12_rare).",
     {},
     [](const Transition& t, const Flow&) {
         return t.context.need_sync_vmcs02_to_vmcs12_rare == true && t.kind != Kind::L2Entry && t.kind != Kind::L2Exit;
     }},
    {"shadow-vmcs",
     "the shadow VMCS is authoritative",
     "While L1 runs it reads and writes the shadowed fields without an exit: KVM's vmcs12 has them only from the next "
     "VMLAUNCH or VMRESUME on.",
     {},
     [](const Transition& t, const Flow&) {
         return (t.kind == Kind::L1Entry || t.kind == Kind::L1Exit) && t.context.enable_shadow_vmcs == true;
     }},
    {"evmcs",
     "enlightened VMCS",
     "L1 keeps its VMCS in memory and marks the groups of fields that it did not touch; what it marks clean is not "
     "read.",
     {},
     [](const Transition& t, const Flow&) { return t.context.evmcs == true; }},
    {"raw-exit-fields", "exit fields of the last hardware exit",
     "Guest-linear address, instruction length and instruction information are copied as the processor left them, also "
     "where L0 made this exit up: they may belong to another exit.",
     kLinear,
     [](const Transition& t, const Flow&) {
         return exit(t) && t.vmcs02_before[Field::VM_EXIT_REASON].known() &&
                vmx::basic_exit_reason(static_cast<std::uint32_t>(t.vmcs02_before[Field::VM_EXIT_REASON].bits)) !=
                    reason(t);
     }},
    {"physical-address-late", "the physical address comes later",
     "KVM writes vmcs12's GUEST_PHYSICAL_ADDRESS only after the exit is otherwise complete.", kPhysical,
     [](const Transition& t, const Flow&) { return exit(t) && (reason(t) == 48 || reason(t) == 49); }},
    {"failed-entry-synced",
     "guest state of a failed entry",
     "The processor refused the VM-entry and saved nothing, yet KVM copies vmcs02's guest state to vmcs12 as at any "
     "exit.",
     {},
     [](const Transition& t, const Flow&) {
         return exit(t) && vmx::entry_failed(static_cast<std::uint32_t>(t.exit.reason.bits));
     }},
    {"forced-exit",
     "an exit that L1 is not told of",
     "L0 made L2 leave (SMI, reset, its state being set): guest state is saved to vmcs12, exit information is not.",
     {},
     [](const Transition& t, const Flow&) { return exit(t) && static_cast<std::uint32_t>(t.exit.reason.bits) == ~0u; }},
};
static_assert(std::size(kBadges) <= kMostBadges);

}  // namespace

std::span<const Badge> all_badges() {
    return kBadges;
}

BadgeSet badges_of(const Transition& t, const Flow& flow) {
    BadgeSet set;
    for (std::size_t i = 0; i < std::size(kBadges); ++i) set[i] = kBadges[i].applies(t, flow);
    return set;
}

}  // namespace vmxscope::nested
