// What the checks of the host's and of the guest's registers have in common.
#pragma once

#include "vmx/controls.h"

namespace vmxscope::vmx {

// Bits that every processor reserves in an MSR (SDM Vol. 4, table 2-2); what CPUID decides counts as defined.
inline constexpr std::uint64_t kEferReserved = ~(efer::kSce | efer::kLme | efer::kLma | efer::kNx);
inline constexpr std::uint64_t kPerfGlobalCtrlReserved = bits(63, 49);
inline constexpr std::uint64_t kDebugctlReserved = bits(5, 3) | bits(63, 16);
inline constexpr std::uint64_t kBndcfgsReserved = bits(11, 2);  // Vol. 1, 17.5
inline constexpr std::uint64_t kRtitCtlReserved = bit(18) | bit(23) | bits(30, 28) | bits(54, 48) | bits(63, 57);
inline constexpr std::uint64_t kLbrCtlReserved = bits(15, 4) | bits(63, 23);
inline constexpr std::uint64_t kSCetReserved = bits(9, 6);
inline constexpr std::uint64_t kSCetSuppressAndTracker = bits(11, 10);
inline constexpr std::uint64_t kFredConfigReserved = bit(2) | bits(5, 4) | bit(11);
inline constexpr std::uint64_t kHigh = bits(63, 32);

/// The bytes of IA32_PAT (mask) that hold no memory type: 0, 1, 4, 5, 6 and 7 are types (SDM Vol. 3A 12.12.2).
constexpr std::uint64_t bad_pat_bytes(std::uint64_t pat) {
    std::uint64_t bad = 0;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        const std::uint64_t type = pat >> shift & 0xff;
        if (type > 7 || type == 2 || type == 3) bad |= 0xffULL << shift;
    }
    return bad;
}

}  // namespace vmxscope::vmx
