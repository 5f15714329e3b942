// One value in many rows, for a details panel; the one-line text is describe() in vmx/bits.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmx/capabilities.h"
#include "vmx/decode/layout.h"
#include "vmx/field.h"

namespace vmxscope::vmx {

/// A row for each bit or sub-field of `value`; empty for a plain number or address.
/// `context`: the VMCS that the value is of, or null. From it come the exit reason (for the qualification, the
/// instruction information and error codes) and the paging mode. `caps`, or null: for a control, whether each bit may
/// be set, must be, or must not; MAXPHYADDR for entries of paging structures.
std::vector<Detail> details(Field field, std::uint64_t value, const VmcsImage* context, const Capabilities* caps);

/// describe() with the context that some fields need: the exit qualification, the instruction information, error codes.
std::string describe(Field field, std::uint64_t value, const VmcsImage& context);

/// The rows of a capability MSR: for the controls' MSRs each named control with its allowed settings.
std::vector<Detail> details(CapabilityMsr msr, std::uint64_t value);

}  // namespace vmxscope::vmx
