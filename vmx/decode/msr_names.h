// Names of model-specific registers (SDM Vol. 4).
#pragma once

#include <cstdint>
#include <string_view>

namespace vmxscope::vmx {

/// "IA32_SYSENTER_CS"; empty for a number that is not one of the well-known architectural ones.
std::string_view msr_name(std::uint32_t msr);

}  // namespace vmxscope::vmx
