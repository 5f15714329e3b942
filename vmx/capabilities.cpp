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

}  // namespace

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
