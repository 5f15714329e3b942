// Names of the bits in VMCS fields: controls (SDM Vol. 3C ch. 25), control registers, flags, access rights.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "vmx/field.h"

namespace vmxscope::vmx {

// The bits that decide which PDPTEs the processor uses.
inline constexpr std::uint64_t kCpuActivateSecondary = 1ULL << 31;  // CPU_BASED_VM_EXEC_CONTROL
inline constexpr std::uint64_t kSecondaryEnableEpt = 1ULL << 1;     // SECONDARY_VM_EXEC_CONTROL
inline constexpr std::uint64_t kEntryIa32eMode = 1ULL << 9;         // VM_ENTRY_CONTROLS
inline constexpr std::uint64_t kCr0Pg = 1ULL << 31;
inline constexpr std::uint64_t kCr4Pae = 1ULL << 5;
inline constexpr std::uint64_t kEferLma = 1ULL << 10;

struct BitName {
    unsigned bit;
    std::string_view name;
    std::string_view meaning = {};  // the SDM's name of it, where that says more
};

/// The named bits of a field that is a set of flags, lowest first; empty for a field that is not.
std::span<const BitName> bits_of(Field f);
/// Bits of a flag field that say nothing: 1 on every processor (the "default1" class, SDM A.2).
std::uint64_t silent_bits(Field f);

/// What `value` says, short: "PE NE PG", "active", "page directory at 0x103000". Bits that the processor requires to
/// be 1 are left out; set bits without a name are given as "+0x…". "" for a field that is a plain number or address.
std::string describe(Field f, std::uint64_t value);

/// "PE NE PG" for the set bits of `value`; unnamed set bits outside `silent` as "+0x…".
std::string join_bits(std::span<const BitName> names, std::uint64_t value, std::uint64_t silent = 0);

std::span<const BitName> cr0_bits();
std::span<const BitName> cr4_bits();
std::span<const BitName> efer_bits();
std::span<const BitName> rflags_bits();

}  // namespace vmxscope::vmx
