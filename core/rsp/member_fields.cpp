// Which fields are members of $vmcs12, $vmcs02 and $vmcs01. A structure is available only where all of its members are,
// so what this processor does not have, or this recording did not read, must not be among them.
#include <algorithm>

#include "core/rsp/registers.h"
#include "nested/vmcs01_inputs.h"
#include "nested/vmcs12.h"
#include "vmx/field_existence.h"

namespace vmxscope::core::rsp {

namespace {

using nested::Transition;
using Fields = std::bitset<vmx::kFieldCount>;

constexpr std::uint64_t kLookedAt = 256;  // of the oldest transitions: some round trips of every vCPU

Fields known_in(const vmx::VmcsImage& image) {
    Fields known;
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) known[i] = image.at_index(i).known();
    return known;
}

/// Takes from a transition what no earlier one had; true once there is nothing more to look for.
bool take(MemberFields& all, const Transition& t) {
    if (all[ShownVmcs::Vmcs01].none() && t.kind == nested::Kind::NestedEntry)
        all[ShownVmcs::Vmcs01] = known_in(t.vmcs01);
    if (all[ShownVmcs::Vmcs12].none()) all[ShownVmcs::Vmcs12] = known_in(t.vmcs12_after);
    if (all[ShownVmcs::Vmcs02].none() && t.vmcs02_as_of == t.seq) all[ShownVmcs::Vmcs02] = known_in(t.vmcs02_after);
    return std::all_of(std::begin(all.of), std::end(all.of), [](const Fields& f) { return f.any(); });
}

/// What is to be expected before anything was read.
void promise(MemberFields& all, Target& target) {
    const auto caps = target.can(Ability::Capabilities) ? target.capabilities() : Result<TargetCapabilities>{};
    const auto on_processor = [&](vmx::Field f) { return caps && vmx::exists(f, caps->l0) == true; };
    Fields& vmcs01 = all[ShownVmcs::Vmcs01];
    if (vmcs01.none())
        for (const auto list : {nested::vmcs01_at_crossings(), nested::vmcs01_at_nested_entries()})
            for (const vmx::Field f : list) vmcs01[*vmx::index_of(f)] = on_processor(f);
    const bool of_layout = all[ShownVmcs::Vmcs12].none(), of_processor = all[ShownVmcs::Vmcs02].none();
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) {
        const vmx::Field f = vmx::all_fields()[i].field;
        if (of_layout) all[ShownVmcs::Vmcs12][i] = nested::vmcs12_offset(f).has_value();
        if (of_processor) all[ShownVmcs::Vmcs02][i] = on_processor(f);
    }
}

}  // namespace

MemberFields member_fields(Target& target, const Transition* newest) {
    MemberFields all;
    bool complete = newest != nullptr && take(all, *newest);
    const auto history = target.history();
    if (history && history->first != 0)
        for (std::uint64_t seq = history->first; !complete && seq <= history->last && seq - history->first < kLookedAt;
             ++seq)
            if (const auto t = target.transition(seq)) complete = take(all, *t);
    if (!complete) promise(all, target);
    return all;
}

}  // namespace vmxscope::core::rsp
