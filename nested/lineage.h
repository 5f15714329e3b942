// Which transition last gave each field of vmcs12 and vmcs02 its value: what "stale since transition N" is said from.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>

#include "nested/transition.h"

namespace vmxscope::nested {

/// The past of one vCPU's VMCSs. Fed with its transitions in order; a gap, or another vmcs12, makes it begin anew.
class Lineage {
  public:
    /// Takes `t` in as the newest transition.
    void take(const Transition& t);

    /// seq of the transition after which the field held the value that it holds now; 0 = not seen.
    std::uint64_t vmcs12_since(std::size_t field_index) const { return vmcs12_[field_index]; }
    std::uint64_t vmcs02_since(std::size_t field_index) const { return vmcs02_[field_index]; }
    /// Whether what it says holds for `t`: nothing is known to lie between, and it is the same vmcs12.
    bool leads_to(const Transition& t) const;

  private:
    void forget();

    std::array<std::uint64_t, vmx::kFieldCount> vmcs12_{}, vmcs02_{};
    std::optional<std::uint64_t> vmptr_;
    std::uint64_t newest_ = 0;
};

/// One Lineage a vCPU, fed from a session's transitions of all vCPUs.
class Lineages {
  public:
    void take(const Transition& t) { of_[t.vcpu].take(t); }
    const Lineage* of(std::uint32_t vcpu) const {
        const auto found = of_.find(vcpu);
        return found == of_.end() ? nullptr : &found->second;
    }

  private:
    std::map<std::uint32_t, Lineage> of_;
};

}  // namespace vmxscope::nested
