// The flow of a field in sentences, for a person who asks about one row.
#pragma once

#include <string>

#include "nested/flow.h"

namespace vmxscope::nested {

/// The rule, its condition and whether it held: "Copied when dirty (dirty_vmcs12 || evmptr_is_valid(hv_evmcs_vmptr)): yes."
std::string rule_text(const Transition& t, const Flow& flow, vmx::Field field);
/// Where the two values came from, one sentence each: "vmcs12: L1 wrote it, before transition 12."
std::string provenance_text(const Transition& t, const Flow& flow, vmx::Field field);
/// What was predicted and what was found: "As predicted: 0xb6a1edfe." "" where nothing can be predicted.
std::string prediction_text(const Transition& t, const Flow& flow, vmx::Field field);
/// One sentence: what is wrong, with the values and the place.
std::string finding_text(const Transition& t, const Flow& flow, const Finding& finding);

}  // namespace vmxscope::nested
