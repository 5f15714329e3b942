#include "vmx/pdpte.h"

#include <algorithm>

#include <fmt/format.h>

namespace vmxscope::vmx {
namespace {

/// Bits hi:lo set; empty when hi < lo.
constexpr std::uint64_t bits_between(unsigned lo, unsigned hi) {
    return hi < lo ? 0 : (~0ULL >> (63 - hi)) & (~0ULL << lo);
}

}  // namespace

Pdpte decode_pdpte(std::uint64_t bits, unsigned maxphyaddr) {
    const unsigned width = std::clamp(maxphyaddr, 32u, 52u);
    Pdpte p;
    p.present = bits & 1;
    p.write_through = bits & (1u << 3);
    p.cache_disable = bits & (1u << 4);
    p.address = bits & bits_between(12, width - 1);
    p.reserved = bits & (bits_between(1, 2) | bits_between(5, 8) | bits_between(width, 63));
    p.ignored = bits & bits_between(9, 11);
    return p;
}

std::string describe_pdpte(std::uint64_t bits, unsigned maxphyaddr) {
    const Pdpte p = decode_pdpte(bits, maxphyaddr);
    if (!p.present) return "not present";
    if (p.faulting()) return fmt::format("present, reserved bits {:#x} set", p.reserved);
    return fmt::format("page directory at {:#x}{}{}", p.address, p.write_through ? ", PWT" : "",
                       p.cache_disable ? ", PCD" : "");
}

}  // namespace vmxscope::vmx
