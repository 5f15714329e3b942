// Nested entries and exits made by hand, complete in all that the flow of the fields is judged from.
#pragma once

#include "nested/flow.h"

namespace vmxscope::nested {

/// A VMLAUNCH of a dirty vmcs12 (64-bit L2, nested EPT) on an L0 with EPT and unrestricted guest: every field known,
/// vmcs02 as the rule has it, and a VMWRITE seen of each field that the rule writes.
Transition good_entry();
/// A nested exit (CPUID) of that guest, vmcs12 as the rule has it, and the VMREADs seen.
Transition good_exit();

/// Puts a value into an image; the field's width is not looked at.
void set(vmx::VmcsImage& image, vmx::Field field, std::uint64_t bits);

}  // namespace vmxscope::nested
