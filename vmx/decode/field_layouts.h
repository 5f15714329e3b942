// VMCS fields that are made of sub-fields, and the capability MSRs.
#pragma once

#include "vmx/capabilities.h"
#include "vmx/decode/layout.h"
#include "vmx/field.h"

namespace vmxscope::vmx {

/// Null for fields that are sets of flags (bits_of), plain numbers, addresses, or that depend on the exit reason.
const Layout* layout_of(Field field);

/// IA32_VMX_BASIC, MISC, EPT_VPID_CAP, VMFUNC and VMCS_ENUM (SDM Vol. 3D, appendix A); null for the others.
const Layout* layout_of(CapabilityMsr msr);

/// The error code that a fault of `vector` pushes: of a page fault (SDM Vol. 3A 4.7), or naming a selector (6.13). Null
/// when the vector has none that is made of sub-fields.
const Layout* error_code_layout(unsigned vector);

}  // namespace vmxscope::vmx
