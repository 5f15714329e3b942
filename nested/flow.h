// The flow of every field at a nested entry or exit: what the rule says, what was seen, what the value should be and
// is, and where it came from. Derived from the Transition; strings only where a person asks for them
// (nested/flow_text.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nested/flow_value.h"
#include "nested/lineage.h"

namespace vmxscope::nested {

/// Where a value came from.
enum class Origin : std::uint8_t {
    Unknown,
    L1Wrote,          // L1, by VMWRITE, in its shadow VMCS or in an enlightened VMCS
    Copied,           // from vmcs12, in this transition
    Merged,           // computed from several values in this transition: parts_of()
    L0Own,            // L0's: a constant, or its own decision
    Translated,       // vmcs12's guest-physical address, as L0's physical one
    FromMemory,       // PDPTEs, from the table that CR3 points to
    FromUserspace,    // PDPTEs, from KVM_SET_SREGS2
    CpuSaved,         // by the processor at a VM-exit
    SavedFromVmcs02,  // from vmcs02, in this transition
    SavedFromVcpu,    // from KVM's own copy of L2's register (vcpu->arch), in this transition
    Synthesised,      // L0 made it up for L1
    Stale,            // as it was left in an earlier transition
    Lazy,             // vmcs12 is not current: L0 copies the field from vmcs02 only when L1 looks
    InShadow,         // vmcs12 is not current: while L1 runs, its shadow VMCS has the value
    NoSuchField,      // struct vmcs12, or this processor, has no such field
};
std::string_view name_of(Origin o);  // "L1 wrote it"

enum class Match : std::uint8_t { NotPredictable, AsPredicted, Differs };
std::string_view name_of(Match m);  // "not predictable", "as predicted", "differs"

/// One field in one transition.
struct FieldFlow {
    std::optional<bool> by_rule;  // entry: vmcs02's field is written; exit: vmcs12's field is given a value
    std::optional<bool> seen;     // entry: a VMWRITE of it was seen; exit: a VMREAD of it; empty = was not watched
    Predicted predicted;          // of vmcs02 (entry) or vmcs12 (exit)
    Match match = Match::NotPredictable;
    Origin vmcs12 = Origin::Unknown, vmcs02 = Origin::Unknown;
    std::uint64_t vmcs12_since = 0, vmcs02_since = 0;  // seq of the transition that gave it its value; 0 = not known
    std::int32_t last_access = -1;                     // in Transition::evidence: the last VMWRITE or VMREAD of it
    bool later = false;  // the last VMWRITE is none of the entry's own: L0 changed the field once more
};

/// What should not be: rule and evidence, or evidence and values, contradict each other.
struct Finding {
    enum class What : std::uint8_t {
        WrittenAgainstRule,  // entry: a VMWRITE where the rule has none
        NotWritten,          // entry: no VMWRITE where the rule has one
        ChangedUnseen,       // vmcs02 changed, or is not what was last written, without a VMWRITE seen
        ValueDiffers,        // the value is not the one that the rule computes
        ReadAgainstRule,     // exit: a VMREAD for vmcs12 where the rule has none
        NotRead,             // exit: no VMREAD where the rule has one
        ChangedAgainstRule,  // vmcs12 changed where the rule leaves it alone
    };
    What what;
    vmx::Field field;
    bool operator==(const Finding&) const = default;
};
std::string_view name_of(Finding::What w);  // "written against the rule"

struct Flow {
    Direction direction = Direction::Entry;
    std::array<FieldFlow, vmx::kFieldCount> fields{};  // in the order of vmx::all_fields()
    std::vector<Finding> findings;
    bool complete = false;  // every VMREAD and VMWRITE of every field was watched, and no record lost

    const FieldFlow& operator[](vmx::Field f) const { return fields[*vmx::index_of(f)]; }
};

/// Of a nested entry or exit; of the other kinds only the origins are set. `lineage`: the transitions of this vCPU
/// before this one, for the `since`; without it they are 0.
Flow flow_of(const Transition& t, const Lineage* lineage = nullptr);

}  // namespace vmxscope::nested
