// Which values of a VMCS mean nothing, and why: fields under a control that is off, exit information that the exit's
// reason does not define, parts of what is unusable or not valid. A value that means nothing may still be there, and be
// anything.
#pragma once

#include <optional>
#include <string_view>

#include "vmx/field.h"

namespace vmxscope::vmx {

/// Why the field's value means nothing in `image`: "EPT is off". Empty when it means something, or when what decides
/// that is not known.
std::optional<std::string_view> meaningless(Field field, const VmcsImage& image);

}  // namespace vmxscope::vmx
