// A nested guest of this machine's KVM, through /dev/vmxscope: core::Target as the agent serves it.
#pragma once

#include <memory>
#include <string>

#include "core/target.h"
#include "plugins/kvm/probe_plan.h"
#include "plugins/kvm/processes.h"

namespace vmxscope::kvm {

struct AttachOptions {
    std::string resume_qmp;  // QEMU's monitor socket: once everything is watched, let a paused guest go; empty = leave it
    std::uint32_t ring_bytes = WatchFor{}.ring_bytes;  // of the kernel's ring: a power of two, 64 KiB to 64 MiB
    bool allow_writes = false;
};

/// Attaches to the guest of `process`: every vCPU stops before its next VM-entry.
core::Result<std::unique_ptr<core::Target>> attach_kvm(ProbePlan plan, const KvmProcess& process, const AttachOptions& options);

}  // namespace vmxscope::kvm
