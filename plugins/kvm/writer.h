// Writing into a guest, where the agent was told that it may: what may be written, and the ledger of what was.
#pragma once

#include <cstdint>
#include <vector>

#include "core/target.h"
#include "plugins/kvm/device.h"
#include "plugins/kvm/inspector.h"

namespace vmxscope::kvm {

/// May this field be written while the vCPU is held, with L1 (1) or L2 (2) about to run? Else why not.
/// Of vmcs02 only guest state and what an entry injects: by the rest the processor finds L0's memory, and L0 its way back.
/// Of vmcs12, while L2 runs, only guest state and exit information: the rest KVM has checked, and trusts.
core::Result<void> may_write(core::WrittenVmcs which, vmx::Field field, int level);

class Writer {
  public:
    /// Of a session whose device was opened for writing.
    Writer(Device& device, const ProbePlan& plan) : device_(device), plan_(plan) {}

    /// `slot`: the module's index; `seq`: of the transition that the vCPU stands at.
    core::Result<void> field(std::uint32_t vcpu, std::uint32_t slot, std::uint64_t seq, int level, core::WrittenVmcs which,
                             vmx::Field field, std::uint64_t value);
    core::Result<void> memory(std::uint32_t vcpu, std::uint64_t seq, const Inspector& inspector, const HeldVcpu& held,
                              core::Space space, std::uint64_t address, const std::vector<std::byte>& bytes);
    const std::vector<core::Write>& ledger() const { return ledger_; }

  private:
    core::Result<void> enter(core::Write write);

    Device& device_;
    const ProbePlan& plan_;
    std::vector<core::Write> ledger_;
};

}  // namespace vmxscope::kvm
