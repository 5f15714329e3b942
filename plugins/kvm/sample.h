// One hook's record, decoded by the plan that asked for it: KVM's state, vmcs12 and the VMCS image at that point.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <span>

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

    /// The bytes of a member other than Vmcs12, as they were read.
    void set(StateMember m, std::span<const std::byte> bytes);
    /// Leaves the cached PDPTRs out where KVM itself holds them for stale. To be called once all members are set.
    void drop_stale_pdptrs(const ProbePlan& plan);
    /// Takes over every member that it has and this has not.
    void fill_from(const Sample& earlier);

  private:
    static constexpr std::size_t kMembers = static_cast<std::size_t>(StateMember::Count);
    std::bitset<kMembers> has_;
    std::array<std::uint64_t, kMembers> numbers_{};  // of members of up to 8 bytes
    std::array<std::uint64_t, 17> gprs_{};
    std::array<std::uint64_t, 4> pdptrs_{};
};

/// What a record's header says.
Sample begin_sample(const vmxscope_record& header, Role role);
/// `status`: enum vmxscope_field_status.
vmx::Value value_of(std::uint8_t status, std::uint64_t bits);

/// Of a VMXSCOPE_REC_HOOK record. Fails when the record does not have the shape that the plan gave it.
core::Result<Sample> decode_sample(const RawRecord& record, const ProbePlan& plan);

}  // namespace vmxscope::kvm
