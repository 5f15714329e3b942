// SDM Vol. 3C 27.4: what stops the loading of MSRs. What WRMSR would refuse is tried for the MSRs that guests usually
// load.
#include "vmx/entry_check/context.h"
#include "vmx/entry_check/registers.h"

namespace vmxscope::vmx {
namespace {

using Msr = Rule<Answer::MsrLoading>;
using C = const EntryContext&;
using enum Field;
constexpr std::string_view k = "27.4";

// MSR numbers (SDM Vol. 4, table 2-2).
constexpr std::uint32_t kBiosUpdateTrigger = 0x79, kBiosSignature = 0x8b, kSmmMonitorControl = 0x9b, kSmbase = 0x9e,
                        kMtrrCap = 0xfe, kSysenterEsp = 0x175, kSysenterEip = 0x176, kDebugctl = 0x1d9, kPat = 0x277,
                        kDsArea = 0x600, kPkrs = 0x6e1, kEfer = 0xc0000080, kLstar = 0xc0000082, kCstar = 0xc0000083,
                        kFsBase = 0xc0000100, kGsBase = 0xc0000101, kKernelGsBase = 0xc0000102, kTscAux = 0xc0000103;

/// The number of the first entry of which `bad` holds; 0: none. What nobody read may be bad too.
template <typename Bad>
std::uint64_t first_bad(C c, Bad bad) {
    const std::uint64_t count = c[VM_ENTRY_MSR_LOAD_COUNT];
    if (count == 0) return 0;
    const MsrArea* area = c.area();
    if (!area) return 0;
    const auto known = area->entries.first(std::min<std::size_t>(area->entries.size(), count));
    const auto found = std::find_if(known.begin(), known.end(), bad);
    if (found != known.end()) return static_cast<std::uint64_t>(found - known.begin()) + 1;
    if (known.size() < count) c.miss(EntryContext::kMissingArea);
    return 0;
}

/// In x2APIC mode the local APIC's MSRs, 0x800 to 0x8ff, are not loaded.
std::uint64_t apic_msr(C c) {
    const std::uint64_t bad = first_bad(c, [](const MsrEntry& e) { return e.index >> 8 == 8; });
    if (bad == 0) return 0;
    if (!c.area()->x2apic_mode) c.miss(EntryContext::kMissingApicMode);
    return c.area()->x2apic_mode.value_or(false) ? bad : 0;
}

/// More than 512 times (IA32_VMX_MISC[27:25] + 1) entries: the one behind them is the first that is not loaded.
std::uint64_t beyond_limit(C c) {
    const std::uint64_t count = c[VM_ENTRY_MSR_LOAD_COUNT];
    if (count <= 512) return 0;
    const std::uint64_t limit = 512 * ((c.msr(CapabilityMsr::Misc) >> 25 & 7) + 1);
    return count > limit ? limit + 1 : 0;
}

bool holds_address(std::uint32_t index) {
    return index == kSysenterEsp || index == kSysenterEip || index == kDsArea || index == kLstar || index == kCstar ||
           index == kKernelGsBase;
}

constexpr FieldBits kCount = of(VM_ENTRY_MSR_LOAD_COUNT), kAddress = of(VM_ENTRY_MSR_LOAD_ADDR);

#define ENTRY_RULE(ID, TITLE, BAD)                 \
    Msr("msr." ID, k, TITLE, on<kCount, kAddress>, \
        [](C c) { return first_bad(c, [c = &c](const MsrEntry& e) { return static_cast<void>(c), (BAD); }); })

constexpr Msr kRules[] = {
    Msr("msr.count", "A.6",
        "There are at most 512 * (IA32_VMX_MISC[27:25] + 1) MSRs to load (beyond: undefined; KVM stops there)",
        on<kCount>, beyond_limit),
    ENTRY_RULE("fs-gs-base", "IA32_FS_BASE and IA32_GS_BASE are not loaded", e.index == kFsBase || e.index == kGsBase),
    Msr("msr.x2apic", k, "In x2APIC mode, no MSR of the local APIC (800H to 8FFH) is loaded", on<kCount, kAddress>,
        apic_msr),
    ENTRY_RULE("smm-monitor", "IA32_SMM_MONITOR_CTL, which only system-management mode writes, is not loaded",
               e.index == kSmmMonitorControl),
    ENTRY_RULE("microcode", "The MSRs of microcode updates, 79H and 8BH, are not loaded",
               e.index == kBiosUpdateTrigger || e.index == kBiosSignature),
    ENTRY_RULE("read-only", "No read-only MSR is loaded: IA32_VMX_*, IA32_MTRRCAP, IA32_SMBASE",
               (e.index >= 0x480 && e.index <= 0x493) || e.index == kMtrrCap || e.index == kSmbase),
    ENTRY_RULE("reserved", "Bits 63:32 of each entry are 0", e.reserved != 0),
    ENTRY_RULE("efer", "A loaded IA32_EFER has its reserved bits 0", e.index == kEfer && (e.value & kEferReserved)),
    ENTRY_RULE("pat", "Each byte of a loaded IA32_PAT is a memory type", e.index == kPat && bad_pat_bytes(e.value)),
    ENTRY_RULE("debugctl", "A loaded IA32_DEBUGCTL has its reserved bits 0",
               e.index == kDebugctl && (e.value & kDebugctlReserved)),
    ENTRY_RULE("high-half", "A loaded IA32_PKRS or IA32_TSC_AUX has bits 63:32 0",
               (e.index == kPkrs || e.index == kTscAux) && (e.value & kHigh)),
    ENTRY_RULE("canonical", "A loaded MSR that holds a linear address is canonical",
               holds_address(e.index) && !c->canonical(e.value)),
};

}  // namespace

std::span<const EntryRule> msr_rules() {
    return joined<kRules>();
}

}  // namespace vmxscope::vmx
