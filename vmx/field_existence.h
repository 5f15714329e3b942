// Which VMCS fields a processor has (SDM Vol. 3C 25.4 to 25.9 and appendix B: "exists only on processors that support
// the 1-setting of …").
#pragma once

#include <optional>

#include "vmx/capabilities.h"

namespace vmxscope::vmx {

/// Empty where the capability MSR that decides it is not known.
std::optional<bool> exists(Field field, const Capabilities& caps);

}  // namespace vmxscope::vmx
