// VMCSs that a processor enters, and the processors.
#pragma once

#include "vmx/capabilities.h"
#include "vmx/field.h"

namespace vmxscope::vmx::test {

/// Every field is known in all of them. A 64-bit guest, with EPT.
VmcsImage long_mode_image();
/// A 32-bit guest in PAE paging, with EPT: the PDPTEs are in the VMCS.
VmcsImage pae_image();
/// A guest in real mode, unrestricted.
VmcsImage real_mode_image();
/// A guest in virtual-8086 mode, no EPT, no secondary controls.
VmcsImage virtual_8086_image();

/// Of resources/cpus; fails the test when it cannot be loaded.
Capabilities bochs_cpu();
/// The same with every control that there is, CET and FRED, but no LAM.
Capabilities modern_cpu();

}  // namespace vmxscope::vmx::test
