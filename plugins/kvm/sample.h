// One hook's record, decoded by the plan that asked for it: KVM's state, vmcs12 and the VMCS image at that point.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nested/transition.h"
#include "nested/vmcs12.h"
#include "plugins/kvm/device.h"
#include "plugins/kvm/probe_plan.h"

namespace vmxscope::kvm {

struct Sample {
    Role role{};
    std::uint32_t slot = 0, tid = 0;
    std::uint64_t tsc = 0, lost = 0;
    bool level2 = false;      // vmcs02 was loaded
    bool identified = false;  // the image is of the loaded VMCS
    std::array<std::uint64_t, 6> registers{};  // rdi rsi rdx rcx r8 rax of the host, at the hook
    std::optional<vmx::VmcsImage> vmcs;        // of the loaded VMCS
    std::optional<vmx::VmcsImage> vmcs12;

    /// A member of up to 8 bytes, zero-extended; empty when it was not asked for, not there or not readable.
    std::optional<std::uint64_t> number(StateMember m) const;
    std::optional<bool> flag(StateMember m) const;
    /// vcpu->arch.regs[i] in KVM's order (VCPU_REGS_RAX, RCX, RDX, RBX, RSP, …).
    vmx::Value gpr(unsigned kvm_index) const;
    /// walk_mmu->pdptrs; not read when KVM itself holds them for stale (VCPU_EXREG_PDPTR clear in regs_avail).
    std::array<vmx::Value, 4> cached_pdptrs() const;

  private:
    friend core::Result<Sample> decode_sample(const RawRecord&, const ProbePlan&);
    std::array<std::optional<std::vector<std::byte>>, static_cast<std::size_t>(StateMember::Count)> state_;
};

/// Of a VMXSCOPE_REC_HOOK record. Fails when the record does not have the shape that the plan gave it.
core::Result<Sample> decode_sample(const RawRecord& record, const ProbePlan& plan);

}  // namespace vmxscope::kvm
