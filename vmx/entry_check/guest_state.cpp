// SDM Vol. 3C 27.3.1.5 and 27.3.1.6: checks on the guest's state that is in no register, and on its PDPTEs.
#include "vmx/entry_check/context.h"
#include "vmx/pdpte.h"

namespace vmxscope::vmx {
namespace {

using Guest = Rule<Answer::InvalidGuestState>;
using NmiInjection = Rule<Answer::InvalidGuestState, 3>;
using LinkPointer = Rule<Answer::InvalidGuestState, 4>;
using Pdptes = Rule<Answer::InvalidGuestState, 2>;
using C = const EntryContext&;
using enum Field;
constexpr std::string_view k = "27.3.1.5";
constexpr std::string_view kPdptes = "27.3.1.6";

constexpr FieldBits kActivity = of(GUEST_ACTIVITY_STATE), kBlocking = of(GUEST_INTERRUPTIBILITY_INFO),
                    kInjected = of(VM_ENTRY_INTR_INFO_FIELD), kDebug = of(GUEST_PENDING_DBG_EXCEPTIONS);

std::uint64_t blocking(C c, std::uint64_t mask) {
    return c[GUEST_INTERRUPTIBILITY_INFO] & mask;
}

/// IA32_VMX_MISC[8:6]: HLT, shutdown, wait-for-SIPI (SDM A.6).
bool activity_supported(C c) {
    const std::uint64_t state = c[GUEST_ACTIVITY_STATE];
    if (state == activity::kActive || state > activity::kWaitForSipi) return true;
    return c.msr(CapabilityMsr::Misc) >> (5 + state) & 1;
}

bool injection_fits_activity(C c) {
    const std::uint64_t state = c[GUEST_ACTIVITY_STATE], info = c[VM_ENTRY_INTR_INFO_FIELD];
    if (state == activity::kActive || !(info & injection::kValid)) return true;
    const std::uint64_t vector = info & injection::kVector;
    const bool machine_check = c.injects(injection::kHardwareException) && vector == 18;
    const bool in_shutdown = c.injects(injection::kNmi) || machine_check;
    if (state == activity::kShutdown) return in_shutdown;
    if (state != activity::kHlt) return false;
    const bool debug = c.injects(injection::kHardwareException) && vector == 1;
    const bool trap_flag = c.injects(injection::kOther) && vector == 0;
    return in_shutdown || debug || trap_flag || c.injects(injection::kExternalInterrupt);
}

constexpr Guest kActivityRules[] = {
    Guest("guest.activity.defined", k, "GUEST_ACTIVITY_STATE is at most 3", on<kActivity>,
          [](C c) { return unless(c[GUEST_ACTIVITY_STATE] <= activity::kWaitForSipi); }),
    Guest("guest.activity.supported", k, "The activity state is one that IA32_VMX_MISC[8:6] reports", on<kActivity>,
          [](C c) { return unless(activity_supported(c)); }),
    Guest("guest.activity.hlt-dpl", k, "A halted guest has SS.DPL 0", on<kActivity, of(GUEST_SS_AR_BYTES)>,
          [](C c) {
              return unless(c[GUEST_ACTIVITY_STATE] != activity::kHlt || !(c[GUEST_SS_AR_BYTES] & access_rights::kDpl));
          }),
    Guest("guest.activity.blocking", k, "Under blocking by STI or by MOV SS, the guest is active",
          on<kActivity, kBlocking>,
          [](C c) {
              return unless(c[GUEST_ACTIVITY_STATE] == activity::kActive ||
                            !blocking(c, interruptibility::kSti | interruptibility::kMovSs));
          }),
    Guest("guest.activity.injection", k, "The injected event is one that the activity state lets through",
          on<kActivity, kInjected>, [](C c) { return unless(injection_fits_activity(c)); }),
    Guest("guest.activity.smm", k, "With \"entry to SMM\", the guest does not wait for SIPI",
          on<kActivity, of(VM_ENTRY_CONTROLS, entries::kSmm)>,
          [](C c) { return unless(!c.entries(entries::kSmm) || c[GUEST_ACTIVITY_STATE] != activity::kWaitForSipi); }),
};

constexpr Guest kInterruptibilityRules[] = {
    Guest("guest.interruptibility.reserved", k, "GUEST_INTERRUPTIBILITY_INFO has bits 31:5 0", on<kBlocking>,
          [](C c) { return blocking(c, bits(31, 5)); }),
    Guest("guest.interruptibility.sti-and-mov-ss", k, "STI and MOV SS do not both block", on<kBlocking>,
          [](C c) { return unless(!blocking(c, interruptibility::kSti) || !blocking(c, interruptibility::kMovSs)); }),
    Guest("guest.interruptibility.sti-needs-if", k, "Blocking by STI needs RFLAGS.IF",
          on<kBlocking, of(GUEST_RFLAGS, rflags::kIf)>,
          [](C c) { return c[GUEST_RFLAGS] & rflags::kIf ? 0 : blocking(c, interruptibility::kSti); }),
    Guest("guest.interruptibility.interrupt", k, "With an external interrupt injected, neither STI nor MOV SS blocks",
          on<kBlocking, kInjected>,
          [](C c) {
              const bool injected = c.injects(injection::kExternalInterrupt);
              return injected ? blocking(c, interruptibility::kSti | interruptibility::kMovSs) : 0;
          }),
    Guest("guest.interruptibility.nmi-mov-ss", k, "With an NMI injected, MOV SS does not block",
          on<kBlocking, kInjected>,
          [](C c) { return c.injects(injection::kNmi) ? blocking(c, interruptibility::kMovSs) : 0; }),
    Guest("guest.interruptibility.smi", k, "Outside system-management mode, SMIs are not blocked", on<kBlocking>,
          [](C c) { return blocking(c, interruptibility::kSmi); }),
    Guest("guest.interruptibility.smm", k, "With \"entry to SMM\", SMIs are blocked",
          on<kBlocking, of(VM_ENTRY_CONTROLS, entries::kSmm)>,
          [](C c) { return unless(!c.entries(entries::kSmm) || blocking(c, interruptibility::kSmi)); }),
};

constexpr NmiInjection kNmiRules[] = {
    NmiInjection("guest.interruptibility.nmi-sti", k,
                 "With an NMI injected, STI does not block (a processor need not check this)", on<kBlocking, kInjected>,
                 [](C c) { return c.injects(injection::kNmi) ? blocking(c, interruptibility::kSti) : 0; }),
};

/// While single-stepping is held back, a pending single-step trap (BS) is what RFLAGS.TF without branch stepping makes.
bool held_back(C c) {
    return blocking(c, interruptibility::kSti | interruptibility::kMovSs) || c[GUEST_ACTIVITY_STATE] == activity::kHlt;
}
bool single_steps(C c) {
    return (c[GUEST_RFLAGS] & rflags::kTf) && !(c[GUEST_IA32_DEBUGCTL] & debugctl::kBtf);
}
bool has_pending(C c, std::uint64_t mask) {
    return c[GUEST_PENDING_DBG_EXCEPTIONS] & mask;
}

// Bit 11 is a bus lock's, where CPUID reports that.
constexpr std::uint64_t kPendingReserved = bits(10, 4) | bit(13) | bit(15) | bits(63, 17);
constexpr std::uint64_t kPendingNotWithRtm = bits(11, 0) | bits(15, 13) | bits(63, 17);
constexpr FieldBits kTrapFlag = of(GUEST_RFLAGS, rflags::kTf), kBranchStep = of(GUEST_IA32_DEBUGCTL, debugctl::kBtf);

constexpr Guest kOtherRules[] = {
    Guest("guest.interruptibility.virtual-nmi", k, "With virtual NMIs and an NMI injected, NMIs are not blocked",
          on<kBlocking, kInjected, of(PIN_BASED_VM_EXEC_CONTROL, pin::kVirtualNmis)>,
          [](C c) {
              return c.pin(pin::kVirtualNmis) && c.injects(injection::kNmi) ? blocking(c, interruptibility::kNmi) : 0;
          }),
    Guest(
        "guest.interruptibility.enclave-mov-ss", k, "After an enclave's interruption, MOV SS does not block",
        on<kBlocking>,
        [](C c) { return unless(!blocking(c, interruptibility::kEnclave) || !blocking(c, interruptibility::kMovSs)); }),
    Guest("guest.pending-debug.reserved", k, "GUEST_PENDING_DBG_EXCEPTIONS has bits 10:4, 13, 15 and 63:17 0",
          on<kDebug>, [](C c) { return c[GUEST_PENDING_DBG_EXCEPTIONS] & kPendingReserved; }),
    Guest("guest.pending-debug.bs-set", k,
          "Halted or blocked by STI or MOV SS, with RFLAGS.TF and without DEBUGCTL.BTF, BS is pending",
          on<kDebug, kBlocking, kActivity, kTrapFlag, kBranchStep>,
          [](C c) { return unless(!held_back(c) || !single_steps(c) || has_pending(c, pending_debug::kBs)); }),
    Guest("guest.pending-debug.bs-clear", k,
          "Halted or blocked by STI or MOV SS, without RFLAGS.TF or with DEBUGCTL.BTF, BS is not pending",
          on<kDebug, kBlocking, kActivity, kTrapFlag, kBranchStep>,
          [](C c) { return unless(!held_back(c) || single_steps(c) || !has_pending(c, pending_debug::kBs)); }),
    Guest("guest.pending-debug.rtm-alone", k,
          "A debug exception of a transaction (RTM) pends with bit 12, and with nothing else", on<kDebug>,
          [](C c) {
              const bool alone =
                  has_pending(c, pending_debug::kEnabledBreakpoint) && !has_pending(c, kPendingNotWithRtm);
              return unless(!has_pending(c, pending_debug::kRtm) || alone);
          }),
    Guest("guest.pending-debug.rtm-mov-ss", k,
          "With a debug exception of a transaction (RTM) pending, MOV SS does not block", on<kDebug, kBlocking>,
          [](C c) { return unless(!has_pending(c, pending_debug::kRtm) || !blocking(c, interruptibility::kMovSs)); }),
};

constexpr std::uint64_t kNoLink = ~0ULL;

constexpr LinkPointer kLinkRules[] = {
    LinkPointer("guest.link-pointer.aligned", k, "VMCS_LINK_POINTER, unless all ones, has bits 11:0 0",
                on<of(VMCS_LINK_POINTER)>,
                [](C c) { return c[VMCS_LINK_POINTER] == kNoLink ? 0 : c[VMCS_LINK_POINTER] & bits(11, 0); }),
    LinkPointer("guest.link-pointer.width", k,
                "VMCS_LINK_POINTER, unless all ones, is within the processor's physical-address width",
                on<of(VMCS_LINK_POINTER)>,
                [](C c) { return c[VMCS_LINK_POINTER] == kNoLink ? 0 : c.beyond_vmx_width(c[VMCS_LINK_POINTER]); }),
};

/// Without EPT the PDPTEs are in memory, where CR3 says.
bool pdptes_in_vmcs(C c) {
    return (c[GUEST_CR0] & cr0::kPg) && (c[GUEST_CR4] & cr4::kPae) && !c.ia32e() && c.secondary(secondary::kEpt);
}
std::uint64_t pdpte_fault(C c, Field pdpte) {
    if (!pdptes_in_vmcs(c)) return 0;
    const Pdpte decoded = decode_pdpte(c[pdpte], c.maxphyaddr());
    return decoded.faulting() ? decoded.reserved : 0;
}

#define PDPTE_RULE(N)                                                                                                \
    Pdptes("guest.pdpte" #N, kPdptes, "In PAE paging with EPT, a present GUEST_PDPTR" #N " has its reserved bits 0", \
           on<of(GUEST_PDPTR##N), of(GUEST_CR0, cr0::kPg), of(GUEST_CR4, cr4::kPae),                                 \
              of(VM_ENTRY_CONTROLS, entries::kIa32eGuest), of(SECONDARY_VM_EXEC_CONTROL, secondary::kEpt)>,          \
           [](C c) { return pdpte_fault(c, GUEST_PDPTR##N); })

constexpr Pdptes kPdpteRules[] = {PDPTE_RULE(0), PDPTE_RULE(1), PDPTE_RULE(2), PDPTE_RULE(3)};

}  // namespace

std::span<const EntryRule> guest_state_rules() {
    return joined<kActivityRules, kInterruptibilityRules, kNmiRules, kOtherRules, kLinkRules, kPdpteRules>();
}

}  // namespace vmxscope::vmx
