#include "vmx/capabilities.h"

namespace vmxscope::vmx {
namespace {

// By MSR number - 0x480 (SDM Vol. 4, table 2-2).
constexpr std::array<std::string_view, kCapabilityMsrCount> kNames = {
    "IA32_VMX_BASIC",           "IA32_VMX_PINBASED_CTLS",      "IA32_VMX_PROCBASED_CTLS",      "IA32_VMX_EXIT_CTLS",
    "IA32_VMX_ENTRY_CTLS",      "IA32_VMX_MISC",               "IA32_VMX_CR0_FIXED0",          "IA32_VMX_CR0_FIXED1",
    "IA32_VMX_CR4_FIXED0",      "IA32_VMX_CR4_FIXED1",         "IA32_VMX_VMCS_ENUM",           "IA32_VMX_PROCBASED_CTLS2",
    "IA32_VMX_EPT_VPID_CAP",    "IA32_VMX_TRUE_PINBASED_CTLS", "IA32_VMX_TRUE_PROCBASED_CTLS", "IA32_VMX_TRUE_EXIT_CTLS",
    "IA32_VMX_TRUE_ENTRY_CTLS", "IA32_VMX_VMFUNC",             "IA32_VMX_PROCBASED_CTLS3",     "IA32_VMX_EXIT_CTLS2",
};

constexpr std::uint64_t kBasicTrueControls = 1ULL << 55;  // SDM A.1

/// Bits 31:0 are the allowed 0-settings, bits 63:32 the allowed 1-settings.
std::optional<Allowed> from_halves(const Value& msr) {
    if (!msr.known()) return std::nullopt;
    return Allowed{msr.bits & 0xffffffff, msr.bits >> 32};
}

/// With IA32_VMX_BASIC not known, what there is decides.
std::optional<Allowed> from_true(const Capabilities& caps, CapabilityMsr plain, CapabilityMsr exact) {
    const Value& basic = caps[CapabilityMsr::Basic];
    const bool use_exact = basic.known() ? (basic.bits & kBasicTrueControls) != 0 : caps[exact].known();
    return from_halves(caps[use_exact ? exact : plain]);
}

/// 64 allowed 1-settings; none has to be 1.
std::optional<Allowed> from_ones(const Value& msr) {
    if (!msr.known()) return std::nullopt;
    return Allowed{0, msr.bits};
}

std::optional<Allowed> from_fixed(const Value& fixed0, const Value& fixed1) {
    if (!fixed0.known() || !fixed1.known()) return std::nullopt;
    return Allowed{fixed0.bits, fixed1.bits};
}

}  // namespace

std::optional<Allowed> allowed(Field field, const Capabilities& caps) {
    using M = CapabilityMsr;
    switch (field) {
        case Field::PIN_BASED_VM_EXEC_CONTROL: return from_true(caps, M::PinbasedCtls, M::TruePinbasedCtls);
        case Field::CPU_BASED_VM_EXEC_CONTROL: return from_true(caps, M::ProcbasedCtls, M::TrueProcbasedCtls);
        case Field::VM_EXIT_CONTROLS: return from_true(caps, M::ExitCtls, M::TrueExitCtls);
        case Field::VM_ENTRY_CONTROLS: return from_true(caps, M::EntryCtls, M::TrueEntryCtls);
        case Field::SECONDARY_VM_EXEC_CONTROL: return from_halves(caps[M::ProcbasedCtls2]);
        case Field::TERTIARY_VM_EXEC_CONTROL: return from_ones(caps[M::ProcbasedCtls3]);
        case Field::SECONDARY_VM_EXIT_CONTROLS: return from_ones(caps[M::ExitCtls2]);
        case Field::GUEST_CR0:
        case Field::HOST_CR0: return from_fixed(caps[M::Cr0Fixed0], caps[M::Cr0Fixed1]);
        case Field::GUEST_CR4:
        case Field::HOST_CR4: return from_fixed(caps[M::Cr4Fixed0], caps[M::Cr4Fixed1]);
        default: return std::nullopt;
    }
}

std::string_view name_of(CapabilityMsr m) {
    const auto i = static_cast<std::size_t>(m) - 0x480;
    return i < kNames.size() ? kNames[i] : "?";
}

std::optional<CapabilityMsr> capability_msr_by_name(std::string_view name) {
    for (std::size_t i = 0; i < kNames.size(); ++i)
        if (kNames[i] == name) return static_cast<CapabilityMsr>(0x480 + i);
    return std::nullopt;
}

}  // namespace vmxscope::vmx
