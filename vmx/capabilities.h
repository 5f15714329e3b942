// What a processor's VMX can do: the capability MSRs (SDM Vol. 3D, appendix A), raw and as the checks ask for them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "vmx/field.h"

namespace vmxscope::vmx {

/// The capability MSRs; the enumerator's value is the MSR's number.
enum class CapabilityMsr : std::uint16_t {
    Basic = 0x480,          // IA32_VMX_BASIC
    PinbasedCtls,           // IA32_VMX_PINBASED_CTLS
    ProcbasedCtls,
    ExitCtls,
    EntryCtls,
    Misc,
    Cr0Fixed0,
    Cr0Fixed1,
    Cr4Fixed0,
    Cr4Fixed1,
    VmcsEnum,
    ProcbasedCtls2,
    EptVpidCap,
    TruePinbasedCtls,
    TrueProcbasedCtls,
    TrueExitCtls,
    TrueEntryCtls,
    Vmfunc,
    ProcbasedCtls3,
    ExitCtls2 = 0x493,
};
inline constexpr std::size_t kCapabilityMsrCount = 0x494 - 0x480;

struct Capabilities {
    std::array<Value, kCapabilityMsrCount> msrs{};  // by MSR number - 0x480; not known: not read, or no such MSR
    std::uint8_t maxphyaddr = 52;   // physical-address bits, CPUID 80000008H:EAX[7:0]; 32 to 52
    std::uint8_t linear_bits = 48;  // linear-address bits, CPUID 80000008H:EAX[15:8]; 48 or 57

    const Value& operator[](CapabilityMsr m) const { return msrs[static_cast<std::size_t>(m) - 0x480]; }
    Value& operator[](CapabilityMsr m) { return msrs[static_cast<std::size_t>(m) - 0x480]; }
    bool operator==(const Capabilities&) const = default;
};

std::string_view name_of(CapabilityMsr m);  // "IA32_VMX_BASIC"
std::optional<CapabilityMsr> capability_msr_by_name(std::string_view name);

/// What a control or control register may hold in VMX operation.
struct Allowed {
    std::uint64_t must_one = 0;  // bits that have to be 1
    std::uint64_t may_one = 0;   // bits that may be 1; the others have to be 0
    bool permits(std::uint64_t value) const { return (value & must_one) == must_one && (value & ~may_one) == 0; }
    bool operator==(const Allowed&) const = default;
};

/// For the VM-execution, VM-exit and VM-entry controls (SDM A.3 to A.5; the TRUE MSRs where IA32_VMX_BASIC bit 55 says that
/// they exist) and for GUEST_CR0, GUEST_CR4, HOST_CR0, HOST_CR4 (SDM A.7, A.8; an unrestricted guest's PE and PG may be 0
/// all the same). Empty for every other field, and when the MSRs are not known.
std::optional<Allowed> allowed(Field field, const Capabilities& caps);

}  // namespace vmxscope::vmx
