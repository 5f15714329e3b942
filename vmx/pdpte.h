// Page-directory-pointer-table entries of PAE paging (SDM Vol. 3A 4.4.1, table 4-8).
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "vmx/field.h"

namespace vmxscope::vmx {

/// The four VMCS fields that hold PDPTEs (SDM Vol. 3C 25.4.2).
inline constexpr std::array<Field, 4> kPdptrFields = {Field::GUEST_PDPTR0, Field::GUEST_PDPTR1, Field::GUEST_PDPTR2,
                                                      Field::GUEST_PDPTR3};

struct Pdpte {
    bool present = false;
    bool write_through = false;  // PWT, bit 3
    bool cache_disable = false;  // PCD, bit 4
    std::uint64_t address = 0;   // of the 4-KByte page directory
    std::uint64_t reserved = 0;  // the reserved bits that are set (2:1, 8:5, 63:MAXPHYADDR); matters only when present
    std::uint64_t ignored = 0;   // bits 11:9 as they are
    /// Present with a reserved bit set: loading it is #GP for MOV CR, a failed entry (qualification 2) for VM-entry.
    bool faulting() const { return present && reserved != 0; }
};

/// `maxphyaddr`: physical-address bits of the processor the entry is for (CPUID 80000008H:EAX[7:0]), 32 to 52.
Pdpte decode_pdpte(std::uint64_t bits, unsigned maxphyaddr = 52);

/// Short, for a table cell: "page directory at 0x103000, PWT", "not present", "present, reserved bits 0x6 set".
std::string describe_pdpte(std::uint64_t bits, unsigned maxphyaddr = 52);

}  // namespace vmxscope::vmx
