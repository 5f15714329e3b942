// From the records of one vCPU's hooks to Transitions. Pure: no device, no clock.
//
// One round trip gives, in this order (nested entry, L2, nested exit):
//   HardwareExit(L1) VmlaunchBegin NestedEntryBegin Vmcs02Loaded … NestedEntryEnd VmlaunchEnd BeforeEntry HardwareEntry(L2)
//   HardwareExit(L2) NestedExitBegin … Vmcs02Leaves NestedExitEnd BeforeEntry HardwareEntry(L1)
// A nested-entry is complete at BeforeEntry, not at NestedEntryEnd: PDPTRs from memory reach vmcs02 between the two.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nested/transition.h"
#include "plugins/kvm/sample.h"

namespace vmxscope::kvm {

/// kvm_intel's parameters that transitions carry; empty = not known.
struct Parameters {
    std::optional<bool> ept, shadow_vmcs, vpid, unrestricted_guest;
};

/// Which accesses are watched, and what of that scope is not seen (evidence_gap()); empty = all of it is.
struct Watched {
    nested::EvidenceScope scope = nested::EvidenceScope::Pdptrs;
    std::string gap;
};

/// Transition::vmcs02_as_of of a transition that read vmcs02 itself, until it is numbered.
inline constexpr std::uint64_t kReadHere = ~0ull;

class Assembler {
  public:
    Assembler(Parameters parameters, Watched watched) : parameters_(parameters), watched_(std::move(watched)) {}

    /// Takes the next record in and returns the transitions that it completes: none or one, or more when the records that
    /// should have completed the earlier were not seen. They have no `seq` yet: whoever orders all vCPUs numbers them with
    /// number().
    std::vector<nested::Transition> take(const Sample& sample);
    void take(const nested::Evidence& access, std::uint64_t lost);
    /// Gives one of take()'s transitions its number, in their order; later ones refer to it (vmcs02_as_of).
    void number(nested::Transition& t, std::uint64_t seq);

    /// What is watched is about to change, while this vCPU may run: transitions are incomplete from here on …
    void change_begins() { changing_ = true; }
    /// … until here, that under way included.
    void change_ends(Watched watched);

    /// So many probe hits were skipped by the kernel: they count as lost records.
    void missed(std::uint64_t hits) { lost_since_ += hits; }

    /// KVM's vcpu_id; empty before the first sample.
    std::optional<std::uint32_t> vcpu_id() const { return vcpu_id_; }
    /// 1 or 2: whose VMCS is loaded.
    std::optional<int> level() const { return level_; }

  private:
    nested::Transition begin(nested::Kind kind, const Sample& s);
    nested::Transition finish(nested::Transition t);
    nested::Transition hardware(const Sample& s, bool entry);
    void nested_entry_begins(const Sample& s);
    std::optional<nested::Transition> nested_entry_ends(const Sample& s);
    nested::Transition nested_entry_done(const Sample& s, std::string note);
    void nested_exit_begins(const Sample& s);
    nested::Transition nested_exit_unended();
    nested::Transition failed_vmlaunch(const Sample& s);
    nested::Transition vmfailed(const Sample& s);
    void note_lost(std::uint64_t lost);

    Parameters parameters_;
    Watched watched_;
    bool changing_ = false;
    std::optional<std::uint32_t> vcpu_id_;
    std::optional<int> level_;

    std::optional<nested::Transition> entry_;  // a nested entry under way
    std::optional<nested::Transition> exit_;   // a nested exit under way
    bool entry_returned_ = false;              // KVM's part of entry_ is over; BeforeEntry is awaited
    std::optional<nested::Transition> vmfail_;  // KVM refused: nested_vmx_run has yet to tell L1 why
    std::optional<Sample> vmlaunch_;           // VmlaunchBegin, until a nested entry begins
    std::vector<nested::Evidence> loose_;      // accesses outside both: they go with the next transition

    vmx::VmcsImage vmcs02_;       // as last read
    std::uint64_t vmcs02_seq_ = 0;
    vmx::VmcsImage vmcs12_;
    std::optional<bool> last_hw_exit_pae_;
    std::uint64_t lost_seen_ = 0, lost_since_ = 0;
};

/// Is a processor that runs from this VMCS in PAE paging (SDM Vol. 3C 26.3.1.6: CR0.PG, CR4.PAE, not IA-32e mode)?
std::optional<bool> pae_paging(const vmx::VmcsImage& vmcs);

}  // namespace vmxscope::kvm
