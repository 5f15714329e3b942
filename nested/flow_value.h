// What a field holds after a nested entry or exit, where KVM's code computes it from what was seen: the merge formulas
// of prepare_vmcs02_early and prepare_vmcs02, and what sync_vmcs02_to_vmcs12 and prepare_vmcs12 give back. Pure.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "nested/flow_rule.h"

namespace vmxscope::nested {

/// A predicted value: `bits` in the bits of `mask`; what is outside depends on what was not seen, or changes later.
struct Predicted {
    std::uint64_t bits = 0;
    std::uint64_t mask = 0;  // 0: nothing can be said
    bool known() const { return mask != 0; }
    bool allows(std::uint64_t value) const { return ((value ^ bits) & mask) == 0; }
    bool operator==(const Predicted&) const = default;
};

/// What vmcs02's field holds once the rule has written it; meaningful where entry_moves() is true.
Predicted predict_entry(const FieldRule& rule, const Situation& s, const Transition& t);
/// What vmcs12's field holds once the rule has given it a value; meaningful where exit_moves() is true.
Predicted predict_exit(const FieldRule& rule, const Situation& s, const Transition& t);

/// Whether VM-entry to L2 must switch EFER (update_transition_efer of vmx.c): L2's, as KVM adjusts it, is not the
/// host's.
std::optional<bool> efer_differs(const Situation& s, const Transition& t);

/// One of the things that a merged value is made of, as it goes into the formula.
struct Part {
    std::string_view name;  // "vmcs01 & ~(INTR_WINDOW | NMI_WINDOW | TPR_SHADOW)"
    vmx::Value value;
};
inline constexpr std::size_t kMostParts = 4;
/// What the value of vmcs02's field is merged from at a nested entry: empty names end the list. None for other fields.
std::array<Part, kMostParts> parts_of(const FieldRule& rule, const Situation& s, const Transition& t);

}  // namespace vmxscope::nested
