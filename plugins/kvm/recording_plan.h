// The hooks of a recording: few and cheap, as the guest is not to be slowed down. Each record has only what changed
// (VMXSCOPE_HOOK_CHANGES); no evidence, and no place where a vCPU could be held but Rest. tracker.h makes of them what
// stepping's hooks would have told.
#pragma once

#include "core/result.h"
#include "plugins/kvm/probe_plan.h"
#include "plugins/kvm/symbols.h"

namespace vmxscope::kvm {

class Btf;

/// Of KVM's two modules: nested virtualization is in the one, the tracepoints are in the other.
struct KvmSymbols {
    Symbols kvm_intel, kvm;
};

/// Adds them to a plan whose fields are complete.
core::Result<void> plan_recording(const Btf& btf, const KvmSymbols& symbols, ProbePlan& plan);

}  // namespace vmxscope::kvm
