#include "nested/changes.h"

namespace vmxscope::nested {

std::vector<Change> changed_fields(const Transition& t) {
    std::vector<Change> changes;
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) {
        const Change c{vmx::all_fields()[i].field, differs(t.vmcs12_before.at_index(i), t.vmcs12_after.at_index(i)),
                       differs(t.vmcs02_before.at_index(i), t.vmcs02_after.at_index(i))};
        if (c.in_vmcs12 || c.in_vmcs02) changes.push_back(c);
    }
    return changes;
}

}  // namespace vmxscope::nested
