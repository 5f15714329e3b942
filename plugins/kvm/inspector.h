// What is looked up only when somebody asks: the memory of a held vCPU's guests, L0's EPT for L2, and what KVM lets L1
// believe of VMX. All in user space: KVM's state through /proc/kcore, the guest's memory in the VMM's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/target.h"
#include "plugins/kvm/address_space.h"
#include "plugins/kvm/btf.h"
#include "plugins/kvm/guest_memory.h"
#include "plugins/kvm/symbols.h"
#include "vmx/capabilities.h"
#include "vmx/field.h"

namespace vmxscope::kvm {

/// A vCPU that sleeps before its next VM-entry, as its records left it.
struct HeldVcpu {
    std::uint64_t address = 0;              // struct kvm_vcpu *
    int level = 1;                          // whose VMCS is loaded
    std::optional<vmx::VmcsImage> vmcs02;   // as it will be entered, when level is 2
    vmx::VmcsImage vmcs01_at_exit;          // at L1's last hardware exit: a few fields
    vmx::VmcsImage vmcs01_at_nested_entry;  // at its last VMLAUNCH or VMRESUME
};

class Inspector {
  public:
    /// `pid`: the VMM's. `ept`: kvm_intel's parameter.
    static core::Result<Inspector> open(std::uint32_t pid, bool ept);

    core::Result<std::vector<std::byte>> read_memory(const HeldVcpu& vcpu, core::Space space, std::uint64_t address,
                                                     std::size_t size) const;
    core::Result<void> write_memory(const HeldVcpu& vcpu, core::Space space, std::uint64_t address,
                                    const std::vector<std::byte>& bytes) const;
    core::Result<std::vector<std::byte>> msr_bitmap(const HeldVcpu& vcpu, core::Target::HardwareVmcs which) const;
    core::Result<std::vector<vmx::WalkStep>> ept02_walk(const HeldVcpu& vcpu, std::uint64_t l2_physical) const;
    /// nested.msrs of the vCPU at `vcpu`, as RDMSR would give them to L1, and the widths of its CPUID.
    core::Result<vmx::Capabilities> l1_capabilities(std::uint64_t vcpu) const;

  private:
    Inspector(Btf btf, KernelMemory memory, std::uint32_t pid, bool ept)
        : btf_(std::move(btf)),
          memory_(std::move(memory)),
          cr3_bit_(btf_.enumerator("VCPU_EXREG_CR3")),
          pid_(pid),
          ept_(ept) {}

    std::optional<Member> located(const char* type, const char* path) const;
    std::optional<std::uint64_t> kernel(std::uint64_t address) const;
    std::optional<std::uint64_t> member(std::uint64_t object, const char* type, const char* path) const;
    std::optional<vmx::VmcsImage> vmcs12(std::uint64_t vcpu) const;
    std::optional<vmx::LinearMode> active_mode(const HeldVcpu& vcpu) const;
    Translation translation(const HeldVcpu& vcpu) const;
    core::Result<std::uint64_t> in_vmm(const HeldVcpu& vcpu, std::uint64_t l1_physical) const;
    core::Result<void> read_l1(const HeldVcpu& vcpu, std::uint64_t physical, std::span<std::byte> to) const;

    Btf btf_;
    KernelMemory memory_;
    std::optional<std::int64_t> cr3_bit_;  // of regs_avail
    mutable std::optional<MemslotLayout> layout_;
    mutable std::map<std::string, std::optional<Member>> located_;  // looking a type up takes its time
    std::uint32_t pid_;
    bool ept_;
};

/// The processor's own widths, by CPUID 80000008H.
void read_cpuid_widths(vmx::Capabilities& c);

}  // namespace vmxscope::kvm
