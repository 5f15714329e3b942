// Walks of paging structures: EPT (SDM Vol. 3C 29.3) and the guest's own (SDM Vol. 3A ch. 4).
#pragma once

#include <cstdint>

namespace vmxscope::vmx {

/// One entry that a walk read.
struct WalkStep {
    unsigned level = 0;         // 5 to 1: PML5E to PTE; PAE's PDPTE is 3
    std::uint64_t address = 0;  // where the entry is: physical, of the level that owns the tables
    std::uint64_t entry = 0;
    bool operator==(const WalkStep&) const = default;
};

}  // namespace vmxscope::vmx
