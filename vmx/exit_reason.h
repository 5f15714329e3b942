// VM-exit reasons (SDM Vol. 3D, appendix C).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "vmx/bits.h"

namespace vmxscope::vmx {

/// The basic exit reasons that code asks about by name; all of them have names (exit_reason_name).
enum ExitReason : std::uint16_t {
    kExitCpuid = 10,
    kExitHlt = 12,
    kExitVmcall = 18,
    kExitVmlaunch = 20,
    kExitVmresume = 24,
    kExitCrAccess = 28,
    kExitInvalidState = 33,
    kExitEptViolation = 48,
};

constexpr std::uint16_t basic_exit_reason(std::uint32_t reason) {
    return static_cast<std::uint16_t>(reason);
}
/// Bit 31: the VM entry failed, the guest never ran (SDM 25.9.1).
constexpr bool entry_failed(std::uint32_t reason) {
    return (reason >> 31) != 0;
}

/// KVM's name of the basic reason in bits 15:0 of `reason` ("CPUID"); "?" for a number that has none.
std::string_view exit_reason_name(std::uint32_t reason);
std::optional<std::uint16_t> exit_reason_by_name(std::string_view name);
/// The flags in the high bits, highest first (SDM 25.9.1).
std::span<const BitName> exit_reason_flags();
/// The name and the flags in the high bits: "INVALID_STATE (VM-entry failed)".
std::string describe_exit_reason(std::uint32_t reason);

}  // namespace vmxscope::vmx
