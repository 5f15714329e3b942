// What recording costs the guest that runs here: measured on it, not guessed.
#pragma once

#include "core/result.h"
#include "plugins/kvm/processes.h"

namespace vmxscope::app {

/// Prints the time of a nested round trip (from one nested VM-entry to the next, in TSC cycles): untraced, and recorded with
/// each set of fields, `seconds` each, by turns. What the agent would do with the records is not in it: they stay in the ring.
/// Fails when the guest makes no nested entries, or the kernel does not count them.
core::Result<void> measure_cost(const kvm::KvmProcess& process, unsigned seconds);

}  // namespace vmxscope::app
