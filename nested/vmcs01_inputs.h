// What is read of vmcs01, the VMCS that L0 runs L1 on: not all of it, as an L1 that sets up its VMCS exits hundreds of times.
#pragma once

#include <span>

#include "vmx/field.h"

namespace vmxscope::nested {

/// What an l1-exit and an l1-entry say of vmcs01: the exit, and where L1 is.
std::span<const vmx::Field> vmcs01_at_crossings();

/// Besides those, what a nested entry begins from: what prepare_vmcs02 takes over from vmcs01 or merges with vmcs12.
std::span<const vmx::Field> vmcs01_at_nested_entries();

}  // namespace vmxscope::nested
