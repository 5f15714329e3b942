// The MSR bitmap (SDM Vol. 3C 25.6.9) and the I/O bitmaps (25.6.4): what is intercepted, as ranges, and how two differ.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vmxscope::vmx {

inline constexpr std::size_t kBitmapPage = 4096;
using BitmapPage = std::span<const std::byte, kBitmapPage>;

/// MSRs or ports `first` to `last`, both included.
struct BitmapRange {
    std::uint32_t first = 0, last = 0;
    bool operator==(const BitmapRange&) const = default;
};

enum class MsrAccess : std::uint8_t { Read, Write };

/// The MSRs whose RDMSR or WRMSR exits, of those that the bitmap covers: 0 to 0x1fff and 0xc0000000 to 0xc0001fff. All
/// others exit always.
std::vector<BitmapRange> intercepted_msrs(BitmapPage bitmap, MsrAccess access);
/// Empty when the bitmap does not cover `msr`: then every access exits.
std::optional<bool> intercepts_msr(BitmapPage bitmap, std::uint32_t msr, MsrAccess access);

/// The ports that exit: bitmap A has 0 to 0x7fff, B the rest.
std::vector<BitmapRange> intercepted_ports(BitmapPage a, BitmapPage b);

/// Where two bitmaps differ: vmcs12's, say, and the one that KVM merged from it.
struct BitmapDifference {
    BitmapRange range;
    bool in_first = false;  // intercepted by the first bitmap; else by the second
    bool operator==(const BitmapDifference&) const = default;
};
std::vector<BitmapDifference> differing_msrs(BitmapPage first, BitmapPage second, MsrAccess access);
std::vector<BitmapDifference> differing_ports(BitmapPage first_a, BitmapPage first_b, BitmapPage second_a,
                                              BitmapPage second_b);

/// "0x174 IA32_SYSENTER_CS", "0x800 to 0x8ff (x2APIC)"; the names that fall into a longer range, up to four.
std::string describe_msrs(const BitmapRange& range);
/// "0x3f8 to 0x3ff".
std::string describe_ports(const BitmapRange& range);

}  // namespace vmxscope::vmx
