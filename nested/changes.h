// What a transition changed, and where vmcs12 and vmcs02 differ: derived from the images, field by field.
#pragma once

#include <vector>

#include "nested/transition.h"

namespace vmxscope::nested {

/// A field whose value in vmcs12 or in vmcs02 is known before and after, and differs.
struct Change {
    vmx::Field field;
    bool in_vmcs12 = false;
    bool in_vmcs02 = false;
};

/// In the order of vmx::all_fields().
std::vector<Change> changed_fields(const Transition& t);

/// Both values known, and not equal. Unknown values differ from nothing.
constexpr bool differs(const vmx::Value& a, const vmx::Value& b) {
    return a.known() && b.known() && a.bits != b.bits;
}

}  // namespace vmxscope::nested
