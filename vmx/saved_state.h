// Which fields a processor writes at a VM-exit (SDM Vol. 3C 28.2 and 28.3).
#pragma once

#include <optional>

#include "vmx/field.h"

namespace vmxscope::vmx {

/// Whether a VM-exit stores `field` in the VMCS `image`, by its controls; empty when those are not known. Of the PDPTEs it
/// says yes wherever the processor stores something, undefined values included.
std::optional<bool> saved_at_exit(Field field, const VmcsImage& image);

}  // namespace vmxscope::vmx
