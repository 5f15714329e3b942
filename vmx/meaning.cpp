#include "vmx/meaning.h"

#include "vmx/controls.h"
#include "vmx/decode/exit_layouts.h"
#include "vmx/exit_reason.h"

namespace vmxscope::vmx {
namespace {

using F = Field;

/// Whether the bits are known and all clear. Controls that a layout lacks are off.
bool clear(const VmcsImage& image, Field field, std::uint64_t mask) {
    const Value& value = image[field];
    return value.state == Known::Unsupported || (value.known() && (value.bits & mask) == 0);
}

bool set(const VmcsImage& image, Field field, std::uint64_t mask) {
    return image[field].known() && (image[field].bits & mask) == mask;
}

/// The same of controls that other controls activate (SDM 25.6.2, 25.7.1).
bool off(const VmcsImage& image, Field controls, std::uint64_t mask) {
    if (clear(image, controls, mask)) return true;
    switch (controls) {
        case F::SECONDARY_VM_EXEC_CONTROL: return clear(image, F::CPU_BASED_VM_EXEC_CONTROL, proc::kSecondaryControls);
        case F::TERTIARY_VM_EXEC_CONTROL: return clear(image, F::CPU_BASED_VM_EXEC_CONTROL, proc::kTertiaryControls);
        case F::SECONDARY_VM_EXIT_CONTROLS: return clear(image, F::VM_EXIT_CONTROLS, exits::kSecondaryControls);
        default: return false;
    }
}

// Controls that vmx/controls.h has no need of.
constexpr std::uint64_t kEnclvExiting = bit(28), kPconfig = bit(27), kNotify = bit(31);  // secondary
constexpr std::uint64_t kVirtualizeSpecCtrl = bit(7);                                    // tertiary
constexpr std::uint64_t kSavePerfGlobalCtrl = bit(30);                                   // exit

/// Fields first to last mean nothing while the control is off; with a second control: while both are.
struct Under {
    Field first, last;
    Field controls;
    std::uint64_t control;
    std::string_view why;
    Field other_controls{};
    std::uint64_t other = 0;
};

constexpr F kPin = F::PIN_BASED_VM_EXEC_CONTROL, kProc = F::CPU_BASED_VM_EXEC_CONTROL,
            kSecond = F::SECONDARY_VM_EXEC_CONTROL, kThird = F::TERTIARY_VM_EXEC_CONTROL, kExit = F::VM_EXIT_CONTROLS,
            kExit2 = F::SECONDARY_VM_EXIT_CONTROLS, kEntry = F::VM_ENTRY_CONTROLS;

constexpr Under kUnder[] = {
    {kSecond, kSecond, kProc, proc::kSecondaryControls, "secondary controls are not activated"},
    {kThird, kThird, kProc, proc::kTertiaryControls, "tertiary controls are not activated"},
    {kExit2, kExit2, kExit, exits::kSecondaryControls, "secondary exit controls are not activated"},
    {F::VIRTUAL_PROCESSOR_ID, F::VIRTUAL_PROCESSOR_ID, kSecond, secondary::kVpid, "VPID is off"},
    {F::POSTED_INTR_NV, F::POSTED_INTR_NV, kPin, pin::kPostedInterrupts, "posted interrupts are off"},
    {F::POSTED_INTR_DESC_ADDR, F::POSTED_INTR_DESC_ADDR, kPin, pin::kPostedInterrupts, "posted interrupts are off"},
    {F::EPTP_INDEX, F::EPTP_INDEX, kSecond, secondary::kVe, "EPT-violation #VE is off"},
    {F::VE_INFORMATION_ADDRESS, F::VE_INFORMATION_ADDRESS, kSecond, secondary::kVe, "EPT-violation #VE is off"},
    {F::HLAT_PREFIX_SIZE, F::HLAT_PREFIX_SIZE, kThird, tertiary::kHlat, "HLAT is off"},
    {F::HLAT_POINTER, F::HLAT_POINTER, kThird, tertiary::kHlat, "HLAT is off"},
    {F::LAST_PID_POINTER_INDEX, F::LAST_PID_POINTER_INDEX, kThird, tertiary::kIpiVirtualization,
     "IPI virtualization is off"},
    {F::PID_POINTER_TABLE, F::PID_POINTER_TABLE, kThird, tertiary::kIpiVirtualization, "IPI virtualization is off"},
    {F::GUEST_INTR_STATUS, F::GUEST_INTR_STATUS, kSecond, secondary::kInterruptDelivery,
     "virtual-interrupt delivery is off"},
    {F::EOI_EXIT_BITMAP0, F::EOI_EXIT_BITMAP3, kSecond, secondary::kInterruptDelivery,
     "virtual-interrupt delivery is off"},
    {F::GUEST_PML_INDEX, F::GUEST_PML_INDEX, kSecond, secondary::kPml, "page-modification logging is off"},
    {F::PML_ADDRESS, F::PML_ADDRESS, kSecond, secondary::kPml, "page-modification logging is off"},
    {F::IO_BITMAP_A, F::IO_BITMAP_B, kProc, proc::kIoBitmaps, "I/O bitmaps are not used"},
    {F::MSR_BITMAP, F::MSR_BITMAP, kProc, proc::kMsrBitmaps, "MSR bitmaps are not used"},
    {F::TSC_OFFSET, F::TSC_OFFSET, kProc, proc::kTscOffsetting, "TSC offsetting is off"},
    {F::TSC_MULTIPLIER, F::TSC_MULTIPLIER, kProc, proc::kTscOffsetting, "TSC offsetting is off"},
    {F::TSC_MULTIPLIER, F::TSC_MULTIPLIER, kSecond, secondary::kTscScaling, "TSC scaling is off"},
    {F::VIRTUAL_APIC_PAGE_ADDR, F::VIRTUAL_APIC_PAGE_ADDR, kProc, proc::kTprShadow, "the TPR shadow is not used"},
    {F::TPR_THRESHOLD, F::TPR_THRESHOLD, kProc, proc::kTprShadow, "the TPR shadow is not used"},
    {F::APIC_ACCESS_ADDR, F::APIC_ACCESS_ADDR, kSecond, secondary::kApicAccesses, "APIC accesses are not virtualized"},
    {F::VM_FUNCTION_CONTROL, F::VM_FUNCTION_CONTROL, kSecond, secondary::kVmFunctions, "VM functions are off"},
    {F::EPTP_LIST_ADDRESS, F::EPTP_LIST_ADDRESS, kSecond, secondary::kVmFunctions, "VM functions are off"},
    {F::EPTP_LIST_ADDRESS, F::EPTP_LIST_ADDRESS, F::VM_FUNCTION_CONTROL, bit(0), "EPTP switching is off"},
    {F::EPT_POINTER, F::EPT_POINTER, kSecond, secondary::kEpt, "EPT is off"},
    {F::VMREAD_BITMAP, F::VMWRITE_BITMAP, kSecond, secondary::kShadowVmcs, "VMCS shadowing is off"},
    {F::XSS_EXIT_BITMAP, F::XSS_EXIT_BITMAP, kSecond, secondary::kXsaves, "XSAVES is off"},
    {F::ENCLS_EXITING_BITMAP, F::ENCLS_EXITING_BITMAP, kSecond, secondary::kEnclsExiting, "ENCLS exiting is off"},
    {F::ENCLV_EXITING_BITMAP, F::ENCLV_EXITING_BITMAP, kSecond, kEnclvExiting, "ENCLV exiting is off"},
    {F::PCONFIG_EXITING_BITMAP, F::PCONFIG_EXITING_BITMAP, kSecond, kPconfig, "PCONFIG is off"},
    {F::SPPTP, F::SPPTP, kSecond, secondary::kSubPageWrite, "sub-page write permissions are off"},
    {F::LOW_PASID_DIRECTORY, F::HIGH_PASID_DIRECTORY, kSecond, secondary::kPasid, "PASID translation is off"},
    {F::IA32_SPEC_CTRL_MASK, F::IA32_SPEC_CTRL_SHADOW, kThird, kVirtualizeSpecCtrl,
     "IA32_SPEC_CTRL is not virtualized"},
    {F::PLE_GAP, F::PLE_WINDOW, kSecond, secondary::kPauseLoopExiting, "PAUSE-loop exiting is off"},
    {F::NOTIFY_WINDOW, F::NOTIFY_WINDOW, kSecond, kNotify, "the instruction timeout is off"},
    {F::CR3_TARGET_VALUE0, F::CR3_TARGET_VALUE3, kProc, proc::kCr3LoadExiting, "loads of CR3 do not exit"},
    {F::VMX_PREEMPTION_TIMER_VALUE, F::VMX_PREEMPTION_TIMER_VALUE, kPin, pin::kPreemptionTimer,
     "the preemption timer is off"},

    {F::GUEST_IA32_DEBUGCTL, F::GUEST_IA32_DEBUGCTL, kEntry, entries::kLoadDebug, "neither loaded nor saved", kExit,
     exits::kSaveDebug},
    {F::GUEST_DR7, F::GUEST_DR7, kEntry, entries::kLoadDebug, "neither loaded nor saved", kExit, exits::kSaveDebug},
    {F::GUEST_IA32_PAT, F::GUEST_IA32_PAT, kEntry, entries::kLoadPat, "neither loaded nor saved", kExit,
     exits::kSavePat},
    {F::GUEST_IA32_EFER, F::GUEST_IA32_EFER, kEntry, entries::kLoadEfer, "neither loaded nor saved", kExit,
     exits::kSaveEfer},
    {F::GUEST_IA32_PERF_GLOBAL_CTRL, F::GUEST_IA32_PERF_GLOBAL_CTRL, kEntry, entries::kLoadPerfGlobalCtrl,
     "neither loaded nor saved", kExit, kSavePerfGlobalCtrl},
    {F::GUEST_BNDCFGS, F::GUEST_BNDCFGS, kEntry, entries::kLoadBndcfgs, "VM-entry does not load it"},
    {F::GUEST_IA32_RTIT_CTL, F::GUEST_IA32_RTIT_CTL, kEntry, entries::kLoadRtitCtl, "VM-entry does not load it"},
    {F::GUEST_IA32_LBR_CTL, F::GUEST_IA32_LBR_CTL, kEntry, entries::kLoadLbrCtl, "VM-entry does not load it"},
    {F::GUEST_IA32_PKRS, F::GUEST_IA32_PKRS, kEntry, entries::kLoadPkrs, "VM-entry does not load it"},
    {F::GUEST_UINV, F::GUEST_UINV, kEntry, entries::kLoadUinv, "VM-entry does not load it"},
    {F::GUEST_S_CET, F::GUEST_INTR_SSP_TABLE, kEntry, entries::kLoadCet, "VM-entry does not load it"},
    {F::GUEST_IA32_FRED_CONFIG, F::GUEST_IA32_FRED_SSP3, kEntry, entries::kLoadFred, "VM-entry does not load it"},
    {F::HOST_IA32_PAT, F::HOST_IA32_PAT, kExit, exits::kLoadPat, "VM-exit does not load it"},
    {F::HOST_IA32_EFER, F::HOST_IA32_EFER, kExit, exits::kLoadEfer, "VM-exit does not load it"},
    {F::HOST_IA32_PERF_GLOBAL_CTRL, F::HOST_IA32_PERF_GLOBAL_CTRL, kExit, exits::kLoadPerfGlobalCtrl,
     "VM-exit does not load it"},
    {F::HOST_IA32_PKRS, F::HOST_IA32_PKRS, kExit, exits::kLoadPkrs, "VM-exit does not load it"},
    {F::HOST_S_CET, F::HOST_INTR_SSP_TABLE, kExit, exits::kLoadCet, "VM-exit does not load it"},
    {F::HOST_IA32_FRED_CONFIG, F::HOST_IA32_FRED_SSP3, kExit2, exits2::kLoadFred, "VM-exit does not load it"},
    {F::INJECTED_EVENT_DATA, F::INJECTED_EVENT_DATA, F::GUEST_CR4, cr4::kFred, "the guest does not use FRED"},
    {F::ORIGINAL_EVENT_DATA, F::ORIGINAL_EVENT_DATA, F::GUEST_CR4, cr4::kFred, "the guest does not use FRED"},

    {F::VM_EXIT_MSR_STORE_ADDR, F::VM_EXIT_MSR_STORE_ADDR, F::VM_EXIT_MSR_STORE_COUNT, ~0ULL, "the list is empty"},
    {F::VM_EXIT_MSR_LOAD_ADDR, F::VM_EXIT_MSR_LOAD_ADDR, F::VM_EXIT_MSR_LOAD_COUNT, ~0ULL, "the list is empty"},
    {F::VM_ENTRY_MSR_LOAD_ADDR, F::VM_ENTRY_MSR_LOAD_ADDR, F::VM_ENTRY_MSR_LOAD_COUNT, ~0ULL, "the list is empty"},
    {F::VM_ENTRY_EXCEPTION_ERROR_CODE, F::VM_ENTRY_EXCEPTION_ERROR_CODE, F::VM_ENTRY_INTR_INFO_FIELD, injection::kValid,
     "no event is injected"},
    {F::VM_ENTRY_EXCEPTION_ERROR_CODE, F::VM_ENTRY_EXCEPTION_ERROR_CODE, F::VM_ENTRY_INTR_INFO_FIELD,
     injection::kDeliverErrorCode, "the injected event has no error code"},
    {F::VM_ENTRY_INSTRUCTION_LEN, F::VM_ENTRY_INSTRUCTION_LEN, F::VM_ENTRY_INTR_INFO_FIELD, injection::kValid,
     "no event is injected"},
    {F::VM_EXIT_INTR_ERROR_CODE, F::VM_EXIT_INTR_ERROR_CODE, F::VM_EXIT_INTR_INFO, injection::kValid,
     "no event caused the exit"},
    {F::VM_EXIT_INTR_ERROR_CODE, F::VM_EXIT_INTR_ERROR_CODE, F::VM_EXIT_INTR_INFO, injection::kDeliverErrorCode,
     "the event has no error code"},
    {F::IDT_VECTORING_ERROR_CODE, F::IDT_VECTORING_ERROR_CODE, F::IDT_VECTORING_INFO_FIELD, injection::kValid,
     "no event was being delivered"},
    {F::IDT_VECTORING_ERROR_CODE, F::IDT_VECTORING_ERROR_CODE, F::IDT_VECTORING_INFO_FIELD,
     injection::kDeliverErrorCode, "the event has no error code"},
};

bool within(Field field, const Under& u) {
    return field >= u.first && field <= u.last;
}

/// Software interrupts and exceptions: those that come from an instruction with a length (SDM 28.2.5).
bool from_instruction(const Value& event) {
    const std::uint64_t type = (event.bits & injection::kType) >> 8;
    return event.known() && (event.bits & injection::kValid) && type >= 4 && type <= 6;
}

/// SDM 25.4.2 and 27.3.1.6: the processor uses them for a guest in PAE paging under EPT only.
std::optional<std::string_view> of_pdptr(const VmcsImage& image) {
    if (off(image, kSecond, secondary::kEpt)) return "EPT is off: the processor reads PDPTEs from memory";
    if (clear(image, F::GUEST_CR0, cr0::kPg)) return "the guest has no paging";
    if (clear(image, F::GUEST_CR4, cr4::kPae)) return "the guest is not in PAE paging";
    if (set(image, kEntry, entries::kIa32eGuest)) return "the guest is in IA-32e mode, not in PAE paging";
    return std::nullopt;
}

/// SDM 27.3.2.2: an unusable segment's limit, and its base but for FS and GS, are undefined. CS is never unusable.
std::optional<std::string_view> of_segment(Field field, const VmcsImage& image) {
    constexpr std::string_view kWhy = "the segment is unusable";
    const auto number = static_cast<unsigned>(field);
    const auto limits = static_cast<unsigned>(F::GUEST_ES_LIMIT), bases = static_cast<unsigned>(F::GUEST_ES_BASE);
    const bool limit = field >= F::GUEST_ES_LIMIT && field <= F::GUEST_TR_LIMIT;
    const bool base = field >= F::GUEST_ES_BASE && field <= F::GUEST_TR_BASE;
    if (!limit && !base) return std::nullopt;
    if (field == F::GUEST_FS_BASE || field == F::GUEST_GS_BASE || field == F::GUEST_CS_BASE ||
        field == F::GUEST_CS_LIMIT)
        return std::nullopt;
    const auto rights =
        static_cast<Field>(static_cast<unsigned>(F::GUEST_ES_AR_BYTES) + number - (limit ? limits : bases));
    if (set(image, rights, access_rights::kUnusable)) return kWhy;
    return std::nullopt;
}

/// Whether the exit is one that an instruction causes, with a length to be reported (SDM 28.2.5).
bool has_length(std::uint16_t reason, const VmcsImage& image) {
    constexpr std::uint16_t kEvents[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 37, 43, 44, 45, 48, 49, 52, 56, 62, 66, 74, 75};
    for (const std::uint16_t event : kEvents)
        if (event == reason)
            return from_instruction(image[F::IDT_VECTORING_INFO_FIELD]) ||
                   (reason == 0 && from_instruction(image[F::VM_EXIT_INTR_INFO]));
    return true;
}

/// SDM 28.2.1, "Guest-linear address". Undecided counts as defined.
bool has_linear_address(std::uint16_t reason, const Value& qualification) {
    if (reason == 5 || reason == 6 || reason == 66) return true;
    if (!qualification.known()) return true;
    const std::uint64_t q = qualification.bits;
    switch (reason) {
        case kExitCrAccess: return (q & (bits(5, 4) | bit(6))) == (bits(5, 4) | bit(6));  // LMSW from memory
        case 30: return (q & bit(4)) != 0;                                                // INS, OUTS
        case kExitEptViolation: return (q & bit(7)) != 0;
        default: return exit_reason_name(reason) == "?";
    }
}

/// SDM 28.2: each reason defines some of the exit information; a failed VM-entry (27.8) only reason and qualification.
std::optional<std::string_view> of_exit_information(Field field, const VmcsImage& image) {
    if (!image[F::VM_EXIT_REASON].known()) return std::nullopt;
    const auto whole = static_cast<std::uint32_t>(image[F::VM_EXIT_REASON].bits);
    const std::uint16_t reason = basic_exit_reason(whole);
    constexpr std::string_view kWhy = "this exit reason does not define it";
    if (field == F::EXIT_QUALIFICATION) return has_qualification(reason) ? std::nullopt : std::optional(kWhy);
    const bool other = field == F::GUEST_PHYSICAL_ADDRESS ||
                       (field >= F::VM_EXIT_INTR_INFO && field <= F::VMX_INSTRUCTION_INFO) ||
                       (field >= F::EXIT_IO_RCX && field <= F::GUEST_LINEAR_ADDRESS);
    if (!other) return std::nullopt;
    if (entry_failed(whole)) return "a failed VM-entry leaves it as it was";
    const bool unknown_reason = exit_reason_name(reason) == "?";
    bool defined = true;
    if (field == F::VMX_INSTRUCTION_INFO)
        defined = instruction_layout(reason) || unknown_reason;
    else if (field == F::VM_EXIT_INSTRUCTION_LEN)
        defined = has_length(reason, image);
    else if (field == F::GUEST_LINEAR_ADDRESS)
        defined = has_linear_address(reason, image[F::EXIT_QUALIFICATION]);
    else if (field == F::GUEST_PHYSICAL_ADDRESS)
        defined = reason == kExitEptViolation || reason == 49 || reason == 66 || unknown_reason;
    else if (field >= F::EXIT_IO_RCX && field <= F::EXIT_IO_RIP)
        defined = reason == 5 || reason == 6;  // SMM VM exits, SDM 32.15.2.3
    return defined ? std::nullopt : std::optional(kWhy);
}

}  // namespace

std::optional<std::string_view> meaningless(Field field, const VmcsImage& image) {
    for (const Under& u : kUnder)
        if (within(field, u) && off(image, u.controls, u.control) &&
            (!u.other || off(image, u.other_controls, u.other)))
            return u.why;
    if (field >= F::GUEST_PDPTR0 && field <= F::GUEST_PDPTR3) return of_pdptr(image);
    if (field == F::TPR_THRESHOLD && set(image, kSecond, secondary::kInterruptDelivery) &&
        set(image, kProc, proc::kSecondaryControls))
        return "virtual-interrupt delivery takes its place";
    if (field == F::VM_ENTRY_INSTRUCTION_LEN && image[F::VM_ENTRY_INTR_INFO_FIELD].known() &&
        !from_instruction(image[F::VM_ENTRY_INTR_INFO_FIELD]))
        return "the injected event is not a software one";
    if (field >= F::CR3_TARGET_VALUE0 && field <= F::CR3_TARGET_VALUE3) {
        const unsigned index = (static_cast<unsigned>(field) - static_cast<unsigned>(F::CR3_TARGET_VALUE0)) / 2;
        const Value& count = image[F::CR3_TARGET_COUNT];
        if (count.known() && index >= count.bits) return "beyond CR3_TARGET_COUNT";
    }
    if (const auto why = of_segment(field, image)) return why;
    return of_exit_information(field, image);
}

}  // namespace vmxscope::vmx
