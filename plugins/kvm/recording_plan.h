// The hooks of a recording: few and cheap, as the guest is not to be slowed down. Each record has only what changed
// (VMXSCOPE_HOOK_CHANGES); no evidence, and no place where a vCPU could be held but Rest. tracker.h makes of them what
// stepping's hooks would have told.
#pragma once

#include "core/result.h"
#include "plugins/kvm/probe_plan.h"

namespace vmxscope::kvm {

class Btf;
class Symbols;

/// Adds them to a plan whose fields are complete.
core::Result<void> plan_recording(const Btf& btf, const Symbols& symbols, ProbePlan& plan);

}  // namespace vmxscope::kvm
