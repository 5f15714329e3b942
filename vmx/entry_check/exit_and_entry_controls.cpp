// SDM Vol. 3C 27.2.1.2 and 27.2.1.3: checks on the VM-exit and the VM-entry control fields.
#include "vmx/entry_check/context.h"

namespace vmxscope::vmx {
namespace {

using Control = Rule<Answer::VmFailControls>;
using C = const EntryContext&;
using enum Field;
constexpr std::string_view kExit = "27.2.1.2";
constexpr std::string_view kEntry = "27.2.1.3";

/// The last byte of `count` entries of 16 bytes, where the first is within the width: the sum does not wrap.
std::uint64_t last_byte_beyond_width(C c, Field address, Field count) {
    if (c[count] == 0 || c.beyond_vmx_width(c[address])) return 0;
    return c.beyond_vmx_width(c[address] + c[count] * 16 - 1);
}

/// An area is looked at only when it has entries.
#define MSR_AREA_RULES(ID, SECTION, ADDRESS, COUNT)                                                                \
    Control("control." ID ".aligned", SECTION, #ADDRESS " has bits 3:0 0", on<of(ADDRESS, bits(3, 0)), of(COUNT)>, \
            [](C c) { return c[COUNT] ? c[ADDRESS] & bits(3, 0) : 0; }),                                           \
        Control("control." ID ".width", SECTION, #ADDRESS " is within the processor's physical-address width",     \
                on<of(ADDRESS), of(COUNT)>, [](C c) { return c[COUNT] ? c.beyond_vmx_width(c[ADDRESS]) : 0; }),    \
        Control("control." ID ".end", SECTION,                                                                     \
                "The last byte of the area at " #ADDRESS " is within the processor's physical-address width",      \
                on<of(ADDRESS), of(COUNT)>,                                                                        \
                [](C c) { return unless(last_byte_beyond_width(c, ADDRESS, COUNT) == 0); })

constexpr Control kExitRules[] = {
    Control("control.exit.required", kExit, "The VM-exit controls have every bit that IA32_VMX_EXIT_CTLS requires",
            on<of(VM_EXIT_CONTROLS)>, [](C c) { return c.lacking<VM_EXIT_CONTROLS>(); }),
    Control("control.exit.allowed", kExit, "The VM-exit controls have only bits that IA32_VMX_EXIT_CTLS allows",
            on<of(VM_EXIT_CONTROLS)>, [](C c) { return c.excess<VM_EXIT_CONTROLS>(); }),
    Control("control.exit2.allowed", kExit,
            "The secondary VM-exit controls, if activated, have only bits that IA32_VMX_EXIT_CTLS2 allows",
            on<of(SECONDARY_VM_EXIT_CONTROLS), of(VM_EXIT_CONTROLS, exits::kSecondaryControls)>,
            [](C c) { return c.exits(exits::kSecondaryControls) ? c.excess<SECONDARY_VM_EXIT_CONTROLS>() : 0; }),
    Control("control.save-preemption-timer.needs-timer", kExit,
            "Saving the VMX-preemption timer needs the timer to be activated",
            on<of(VM_EXIT_CONTROLS, exits::kSavePreemptionTimer), of(PIN_BASED_VM_EXEC_CONTROL, pin::kPreemptionTimer)>,
            [](C c) { return unless(!c.exits(exits::kSavePreemptionTimer) || c.pin(pin::kPreemptionTimer)); }),
    MSR_AREA_RULES("exit-msr-store", kExit, VM_EXIT_MSR_STORE_ADDR, VM_EXIT_MSR_STORE_COUNT),
    MSR_AREA_RULES("exit-msr-load", kExit, VM_EXIT_MSR_LOAD_ADDR, VM_EXIT_MSR_LOAD_COUNT),
};

bool injects_something(C c) {
    return c[VM_ENTRY_INTR_INFO_FIELD] & injection::kValid;
}

/// Software interrupts and exceptions are of instructions, and have their length.
bool injects_software(C c) {
    return c.injects(injection::kSoftwareInterrupt) || c.injects(injection::kPrivilegedSoftwareException) ||
           c.injects(injection::kSoftwareException);
}

bool injected_type_defined(C c) {
    if (c.injects(1)) return false;
    if (!c.injects(injection::kOther)) return true;
    const auto allowed_proc = c.allowed_of<CPU_BASED_VM_EXEC_CONTROL>();
    return allowed_proc.may_one & proc::kMonitorTrapFlag;
}

/// Type 7 with vector 0 is a pending MTF VM-exit; FRED adds 1 and 2, SYSCALL and SYSENTER.
bool injected_vector_fits(C c) {
    const std::uint64_t vector = c[VM_ENTRY_INTR_INFO_FIELD] & injection::kVector;
    if (c.injects(injection::kNmi)) return vector == 2;
    if (c.injects(injection::kHardwareException)) return vector <= 31;
    if (c.injects(injection::kOther)) return vector == 0 || (vector <= 2 && (c[GUEST_CR4] & cr4::kFred));
    return true;
}

constexpr std::uint64_t kVectorsWithErrorCode =
    bit(8) | bit(10) | bit(11) | bit(12) | bit(13) | bit(14) | bit(17);  // #DF #TS #NP #SS #GP #PF #AC
constexpr std::uint64_t kBasicAnyErrorCode = bit(56);                    // IA32_VMX_BASIC, SDM A.1

bool vector_has_error_code(C c) {
    const std::uint64_t vector = c[VM_ENTRY_INTR_INFO_FIELD] & injection::kVector;
    return vector < 32 && (kVectorsWithErrorCode >> vector & 1);
}

/// Not delivered: by another event than a hardware exception, in real mode, or for a vector that has none.
bool error_code_allowed(C c) {
    if (!injects_something(c) || !(c[VM_ENTRY_INTR_INFO_FIELD] & injection::kDeliverErrorCode)) return true;
    if (!c.injects(injection::kHardwareException) || !(c[GUEST_CR0] & cr0::kPe)) return false;
    return vector_has_error_code(c) || (c.msr(CapabilityMsr::Basic) & kBasicAnyErrorCode);
}

bool error_code_delivered(C c) {
    if (!c.injects(injection::kHardwareException) || (c[VM_ENTRY_INTR_INFO_FIELD] & injection::kDeliverErrorCode))
        return true;
    if (!(c[GUEST_CR0] & cr0::kPe) || !vector_has_error_code(c)) return true;
    return c.msr(CapabilityMsr::Basic) & kBasicAnyErrorCode;
}

/// Bit 13, nested exception, is FRED's.
std::uint64_t injection_reserved(C c) {
    if (!injects_something(c)) return 0;
    const std::uint64_t used = c[GUEST_CR4] & cr4::kFred ? injection::kNestedException : 0;
    return c[VM_ENTRY_INTR_INFO_FIELD] & bits(30, 12) & ~used;
}

constexpr FieldBits kInfo = of(VM_ENTRY_INTR_INFO_FIELD);

constexpr Control kEntryRules[] = {
    Control("control.entry.required", kEntry, "The VM-entry controls have every bit that IA32_VMX_ENTRY_CTLS requires",
            on<of(VM_ENTRY_CONTROLS)>, [](C c) { return c.lacking<VM_ENTRY_CONTROLS>(); }),
    Control("control.entry.allowed", kEntry, "The VM-entry controls have only bits that IA32_VMX_ENTRY_CTLS allows",
            on<of(VM_ENTRY_CONTROLS)>, [](C c) { return c.excess<VM_ENTRY_CONTROLS>(); }),
    Control("control.injection.type", kEntry,
            "The type of the injected event is defined: not 1, and 7 only where there is a monitor trap flag",
            on<kInfo>, [](C c) { return unless(injected_type_defined(c)); }),
    Control("control.injection.vector", kEntry,
            "The vector of the injected event fits its type: 2 for an NMI, at most 31 for a hardware exception, 0 for "
            "an MTF VM-exit",
            on<kInfo>, [](C c) { return unless(injected_vector_fits(c)); }),
    Control("control.injection.error-code.allowed", kEntry,
            "Only hardware exceptions that have an error code are injected with one, and only with CR0.PE",
            on<kInfo, of(GUEST_CR0, cr0::kPe)>, [](C c) { return unless(error_code_allowed(c)); }),
    Control("control.injection.error-code.required", kEntry,
            "With CR0.PE, hardware exceptions that have an error code are injected with it",
            on<kInfo, of(GUEST_CR0, cr0::kPe)>, [](C c) { return unless(error_code_delivered(c)); }),
    Control("control.injection.reserved", kEntry, "The injected event has bits 30:12 0", on<kInfo>, injection_reserved),
    Control("control.injection.error-code.reserved", kEntry, "The injected error code has bits 31:16 0",
            on<of(VM_ENTRY_EXCEPTION_ERROR_CODE, bits(31, 16)), kInfo>,
            [](C c) {
                const bool used = injects_something(c) && (c[VM_ENTRY_INTR_INFO_FIELD] & injection::kDeliverErrorCode);
                return used ? c[VM_ENTRY_EXCEPTION_ERROR_CODE] & bits(31, 16) : 0;
            }),
    Control("control.injection.length", kEntry, "The instruction of an injected software event has at most 15 bytes",
            on<of(VM_ENTRY_INSTRUCTION_LEN), kInfo>,
            [](C c) { return unless(!injects_software(c) || c[VM_ENTRY_INSTRUCTION_LEN] <= 15); }),
    Control("control.injection.length-zero", kEntry,
            "The instruction of an injected software event has a length, unless IA32_VMX_MISC[30] allows 0",
            on<of(VM_ENTRY_INSTRUCTION_LEN), kInfo>,
            [](C c) {
                if (!injects_software(c) || c[VM_ENTRY_INSTRUCTION_LEN] != 0) return unless(true);
                return unless(c.msr(CapabilityMsr::Misc) & bit(30));
            }),
    MSR_AREA_RULES("entry-msr-load", kEntry, VM_ENTRY_MSR_LOAD_ADDR, VM_ENTRY_MSR_LOAD_COUNT),
    Control("control.entry-to-smm", kEntry,
            "Outside system-management mode, the VM-entry control \"entry to SMM\" is 0",
            on<of(VM_ENTRY_CONTROLS, entries::kSmm)>, [](C c) { return c.entries(entries::kSmm) ? entries::kSmm : 0; }),
    Control("control.deactivate-dual-monitor", kEntry,
            "Outside system-management mode, the VM-entry control \"deactivate dual-monitor treatment\" is 0",
            on<of(VM_ENTRY_CONTROLS, entries::kDeactivateDualMonitor)>,
            [](C c) { return c.entries(entries::kDeactivateDualMonitor) ? entries::kDeactivateDualMonitor : 0; }),
};

}  // namespace

std::span<const EntryRule> exit_control_rules() {
    return joined<kExitRules>();
}

std::span<const EntryRule> entry_control_rules() {
    return joined<kEntryRules>();
}

}  // namespace vmxscope::vmx
