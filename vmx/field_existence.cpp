#include "vmx/field_existence.h"

#include <utility>

#include "vmx/controls.h"

namespace vmxscope::vmx {

namespace {

/// The fields `first` to `last` exist where `control` allows one of `bits`.
struct Needs {
    Field first, last;
    Field control;
    std::uint64_t bits;
};

constexpr Field kPin = Field::PIN_BASED_VM_EXEC_CONTROL, kProc = Field::CPU_BASED_VM_EXEC_CONTROL,
                kSecondary = Field::SECONDARY_VM_EXEC_CONTROL, kTertiary = Field::TERTIARY_VM_EXEC_CONTROL,
                kExit = Field::VM_EXIT_CONTROLS, kExit2 = Field::SECONDARY_VM_EXIT_CONTROLS,
                kEntry = Field::VM_ENTRY_CONTROLS;

constexpr Needs one(Field f, Field control, std::uint64_t bits) {
    return {f, f, control, bits};
}

/// Two lines for one field: either control will do.
constexpr Needs kNeeds[] = {
    one(Field::VIRTUAL_PROCESSOR_ID, kSecondary, secondary::kVpid),
    one(Field::POSTED_INTR_NV, kPin, pin::kPostedInterrupts),
    one(Field::EPTP_INDEX, kSecondary, secondary::kVe),
    one(Field::HLAT_PREFIX_SIZE, kTertiary, tertiary::kHlat),
    one(Field::LAST_PID_POINTER_INDEX, kTertiary, tertiary::kIpiVirtualization),
    one(Field::GUEST_INTR_STATUS, kSecondary, secondary::kInterruptDelivery),
    one(Field::GUEST_PML_INDEX, kSecondary, secondary::kPml),
    one(Field::GUEST_UINV, kEntry, entries::kLoadUinv),
    one(Field::MSR_BITMAP, kProc, proc::kMsrBitmaps),
    one(Field::PML_ADDRESS, kSecondary, secondary::kPml),
    one(Field::VIRTUAL_APIC_PAGE_ADDR, kProc, proc::kTprShadow),
    one(Field::APIC_ACCESS_ADDR, kSecondary, secondary::kApicAccesses),
    one(Field::POSTED_INTR_DESC_ADDR, kPin, pin::kPostedInterrupts),
    one(Field::VM_FUNCTION_CONTROL, kSecondary, secondary::kVmFunctions),
    one(Field::EPT_POINTER, kSecondary, secondary::kEpt),
    {Field::EOI_EXIT_BITMAP0, Field::EOI_EXIT_BITMAP3, kSecondary, secondary::kInterruptDelivery},
    {Field::VMREAD_BITMAP, Field::VMWRITE_BITMAP, kSecondary, secondary::kShadowVmcs},
    one(Field::VE_INFORMATION_ADDRESS, kSecondary, secondary::kVe),
    one(Field::XSS_EXIT_BITMAP, kSecondary, secondary::kXsaves),
    one(Field::ENCLS_EXITING_BITMAP, kSecondary, secondary::kEnclsExiting),
    one(Field::SPPTP, kSecondary, secondary::kSubPageWrite),
    one(Field::TSC_MULTIPLIER, kSecondary, secondary::kTscScaling),
    one(Field::TERTIARY_VM_EXEC_CONTROL, kProc, proc::kTertiaryControls),
    one(Field::ENCLV_EXITING_BITMAP, kSecondary, secondary::kEnclvExiting),
    {Field::LOW_PASID_DIRECTORY, Field::HIGH_PASID_DIRECTORY, kSecondary, secondary::kPasid},
    one(Field::PCONFIG_EXITING_BITMAP, kSecondary, secondary::kPconfig),
    one(Field::HLAT_POINTER, kTertiary, tertiary::kHlat),
    one(Field::PID_POINTER_TABLE, kTertiary, tertiary::kIpiVirtualization),
    one(Field::SECONDARY_VM_EXIT_CONTROLS, kExit, exits::kSecondaryControls),
    {Field::IA32_SPEC_CTRL_MASK, Field::IA32_SPEC_CTRL_SHADOW, kTertiary, tertiary::kVirtualizeSpecCtrl},
    one(Field::INJECTED_EVENT_DATA, kEntry, entries::kLoadFred),
    one(Field::GUEST_PHYSICAL_ADDRESS, kSecondary, secondary::kEpt),
    one(Field::ORIGINAL_EVENT_DATA, kEntry, entries::kLoadFred),
    one(Field::GUEST_IA32_PAT, kEntry, entries::kLoadPat),
    one(Field::GUEST_IA32_PAT, kExit, exits::kSavePat),
    one(Field::GUEST_IA32_EFER, kEntry, entries::kLoadEfer),
    one(Field::GUEST_IA32_EFER, kExit, exits::kSaveEfer),
    one(Field::GUEST_IA32_PERF_GLOBAL_CTRL, kEntry, entries::kLoadPerfGlobalCtrl),
    {Field::GUEST_PDPTR0, Field::GUEST_PDPTR3, kSecondary, secondary::kEpt},
    one(Field::GUEST_BNDCFGS, kEntry, entries::kLoadBndcfgs),
    one(Field::GUEST_BNDCFGS, kExit, exits::kClearBndcfgs),
    one(Field::GUEST_IA32_RTIT_CTL, kEntry, entries::kLoadRtitCtl),
    one(Field::GUEST_IA32_RTIT_CTL, kExit, exits::kClearRtitCtl),
    one(Field::GUEST_IA32_LBR_CTL, kEntry, entries::kLoadLbrCtl),
    one(Field::GUEST_IA32_PKRS, kEntry, entries::kLoadPkrs),
    {Field::GUEST_IA32_FRED_CONFIG, Field::GUEST_IA32_FRED_SSP3, kEntry, entries::kLoadFred},
    one(Field::HOST_IA32_PAT, kExit, exits::kLoadPat),
    one(Field::HOST_IA32_EFER, kExit, exits::kLoadEfer),
    one(Field::HOST_IA32_PERF_GLOBAL_CTRL, kExit, exits::kLoadPerfGlobalCtrl),
    one(Field::HOST_IA32_PKRS, kExit, exits::kLoadPkrs),
    {Field::HOST_IA32_FRED_CONFIG, Field::HOST_IA32_FRED_SSP3, kExit2, exits2::kLoadFred},
    one(Field::TPR_THRESHOLD, kProc, proc::kTprShadow),
    one(Field::SECONDARY_VM_EXEC_CONTROL, kProc, proc::kSecondaryControls),
    {Field::PLE_GAP, Field::PLE_WINDOW, kSecondary, secondary::kPauseLoopExiting},
    one(Field::NOTIFY_WINDOW, kSecondary, secondary::kNotifyVmExiting),
    one(Field::VMX_PREEMPTION_TIMER_VALUE, kPin, pin::kPreemptionTimer),
    {Field::GUEST_S_CET, Field::GUEST_INTR_SSP_TABLE, kEntry, entries::kLoadCet},
    {Field::HOST_S_CET, Field::HOST_INTR_SSP_TABLE, kExit, exits::kLoadCet},
};

/// The control that has to allow a 1 before there is `control` at all.
std::optional<std::pair<Field, std::uint64_t>> activated_by(Field control) {
    if (control == kSecondary) return std::pair{kProc, proc::kSecondaryControls};
    if (control == kTertiary) return std::pair{kProc, proc::kTertiaryControls};
    if (control == kExit2) return std::pair{kExit, exits::kSecondaryControls};
    return std::nullopt;
}

std::optional<bool> allows(Field control, std::uint64_t bits, const Capabilities& caps) {
    if (const auto first = activated_by(control)) {
        const auto active = allows(first->first, first->second, caps);
        if (!active || !*active) return active;
    }
    const auto may = allowed(control, caps);
    return may ? std::optional((may->may_one & bits) != 0) : std::nullopt;
}

}  // namespace

std::optional<bool> exists(Field field, const Capabilities& caps) {
    if (field == Field::EPTP_LIST_ADDRESS) {  // of a VM function, which has an MSR of its own
        const auto functions = allows(kSecondary, secondary::kVmFunctions, caps);
        if (!functions || !*functions) return functions;
        const Value& vmfunc = caps[CapabilityMsr::Vmfunc];
        return vmfunc.known() ? std::optional((vmfunc.bits & 1) != 0) : std::nullopt;
    }
    if (field == Field::SHARED_EPT_POINTER) return std::nullopt;  // TDX's: no capability MSR speaks of it
    bool needs_any = false, unknown = false;
    for (const Needs& n : kNeeds) {
        if (field < n.first || field > n.last) continue;
        needs_any = true;
        const auto allowed_here = allows(n.control, n.bits, caps);
        if (allowed_here && *allowed_here) return true;
        unknown |= !allowed_here;
    }
    return unknown ? std::nullopt : std::optional(!needs_any);
}

}  // namespace vmxscope::vmx
