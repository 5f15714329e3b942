// For every rule of VM-entry, changes to a good VMCS that break it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "vmx/entry_check.h"

namespace vmxscope::vmx::test {

struct Change {
    Field field;
    std::uint64_t bits;
};

struct Mutation {
    std::string rule;
    VmcsImage (*base)();
    std::vector<Change> changes;
    bool first = true;  // the broken rule is the one that the processor stops at
    std::function<void(Capabilities&)> cpu = {};
    std::vector<MsrEntry> msrs = {};
};

std::vector<Mutation> control_mutations();
std::vector<Mutation> host_mutations();
std::vector<Mutation> guest_register_mutations();
std::vector<Mutation> guest_segment_mutations();
std::vector<Mutation> guest_state_mutations();
std::vector<Mutation> msr_mutations();

/// The field's value in the base image, with bits set and cleared.
std::uint64_t with(VmcsImage (*base)(), Field f, std::uint64_t set, std::uint64_t clear = 0);

}  // namespace vmxscope::vmx::test
