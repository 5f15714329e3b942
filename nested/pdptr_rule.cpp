#include "nested/pdptr_rule.h"

#include <iterator>

namespace vmxscope::nested {
namespace {

/// One complete set of facts: bit `Fact` is its truth.
class Complete {
  public:
    explicit Complete(unsigned mask) : mask_(mask) {}
    bool operator[](Fact f) const { return (mask_ >> f) & 1; }
    /// KVM advertises nested EPT only when it uses EPT itself (nested_vmx_setup_ctls_msrs).
    bool contradictory() const { return (*this)[kNestedEpt] && !(*this)[kL0Ept]; }

  private:
    unsigned mask_;
};

/// prepare_vmcs02's gate for both copies: dirty without an enlightened VMCS, GUEST_GRP1 not clean with one.
bool copies_guest_state(const Complete& f) {
    return f[kEvmcs] ? !f[kGrp1Clean] : f[kDirty];
}

/// nested_vmx_load_cr3 on VMLAUNCH and VMRESUME, else nested_get_vmcs12_pages.
bool loads_memory(const Complete& f) {
    return !f[kNestedEpt] && f[kPae] && (f[kFromVmentry] || !f[kFromUserspace]);
}

/// prepare_vmcs02 and what follows it up to the hardware VM entry.
Row entry_row(const Complete& f) {
    const bool gate = copies_guest_state(f);
    if (!f[kL0Ept]) return loads_memory(f) ? Row::SkipL0NoEptShadow : Row::SkipL0NoEpt;
    if (!f[kPae]) return gate ? Row::CopiedUnused : Row::StaleUnused;
    if (!f[kNestedEpt]) {
        if (!loads_memory(f)) return Row::FromUserspace;
        return gate ? Row::OverriddenByMemory : Row::LoadedFromMemory;
    }
    if (gate) return Row::Copied;
    return f[kLastExitPae] ? Row::KeptValid : Row::KeptUndefined;
}

/// sync_vmcs02_to_vmcs12, and nested_vmx_vmexit's test before it.
Row exit_row(const Complete& f) {
    if (f[kVmxFail]) return Row::ExitNoSync;
    if (!f[kL0Ept]) return Row::ExitSkipL0NoEpt;
    if (!f[kNestedEpt]) return Row::ExitSkipNoNestedEpt;
    return f[kPae] ? Row::ExitCopied : Row::ExitSkipNotPae;
}

Row row_of(Direction direction, const Complete& f) {
    return direction == Direction::Entry ? entry_row(f) : exit_row(f);
}

constexpr Is defined_if(bool yes) {
    return yes ? Is::Defined : Is::Undefined;
}

State entry_state(Did did, const Complete& f) {
    const bool meaningful = f[kNestedEpt] && f[kPae];  // to L1
    State s;
    s.used = f[kL0Ept] && f[kPae];
    switch (did) {
        case Did::Copied:
        case Did::CopiedUnused:
            s.vmcs12 = s.vmcs02 = defined_if(meaningful);
            break;
        case Did::FromMemory:
        case Did::FromUserspace:
            s.vmcs12 = defined_if(meaningful);
            s.vmcs02 = Is::Defined;
            break;
        case Did::Skipped:
            s.vmcs12 = defined_if(meaningful && f[kLastExitPae]);
            s.vmcs02 = defined_if(*s.used && f[kLastExitPae]);
            break;
        case Did::Unknown:
            break;
    }
    return s;
}

State exit_state(Did did, const Complete& f) {
    if (f[kVmxFail]) return {};  // what the failed entry found is still there, whatever it was
    const bool saved = f[kL0Ept] && f[kPae];
    State s{defined_if(saved && f[kNestedEpt]), defined_if(saved), std::nullopt};
    // L1 may rely on values that KVM did not give it: what it reads is anyone's guess.
    if (s.vmcs12 == Is::Defined && did != Did::Copied) s.vmcs12 = Is::Unknown;
    return s;
}

/// Calls `each` with every complete set of facts that agrees with the known ones and does not contradict itself.
template <typename Each>
void for_completions(const Facts& facts, Each each) {
    unsigned known = 0, unknown = 0;
    for (unsigned f = 0; f < kFactCount; ++f) {
        if (!facts.of[f]) unknown |= 1u << f;
        if (facts.of[f] == true) known |= 1u << f;
    }
    for (unsigned guess = unknown;; guess = (guess - 1) & unknown) {
        const Complete complete(known | guess);
        if (!complete.contradictory()) each(complete);
        if (guess == 0) break;
    }
}

/// The answer that `ask` gives for every completion, or `differ` when they differ or there is none.
template <typename Answer, typename Ask>
Answer consensus(const Facts& facts, Answer differ, Ask ask) {
    std::optional<Answer> first;
    bool same = true;
    for_completions(facts, [&](const Complete& complete) {
        const Answer answer = ask(complete);
        same = same && (!first || *first == answer);
        first = answer;
    });
    return first && same ? *first : differ;
}

struct RowInfo {
    std::string_view name;
    Did did;
};

// By the value of Row.
constexpr RowInfo kRows[] = {
    {"SKIP_L0_NO_EPT", Did::Skipped},
    {"SKIP_L0_NO_EPT+MEMORY_TO_SHADOW_MMU", Did::Skipped},
    {"COPIED_UNUSED", Did::CopiedUnused},
    {"STALE_UNUSED", Did::Skipped},
    {"FROM_USERSPACE", Did::FromUserspace},
    {"OVERRIDDEN_BY_MEMORY", Did::FromMemory},
    {"LOADED_FROM_MEMORY", Did::FromMemory},
    {"COPIED", Did::Copied},
    {"KEPT_VALID", Did::Skipped},
    {"KEPT_UNDEFINED", Did::Skipped},
    {"NO_SYNC_VMFAIL", Did::Skipped},
    {"EXIT_SKIP_L0_NO_EPT", Did::Skipped},
    {"EXIT_SKIP_NO_NESTED_EPT", Did::Skipped},
    {"EXIT_SKIP_NOT_PAE", Did::Skipped},
    {"EXIT_COPIED", Did::Copied},
    {"ENTRY_FAILED", Did::Unknown},
    {"IMPOSSIBLE", Did::Unknown},
};
static_assert(std::size(kRows) == static_cast<std::size_t>(Row::Impossible) + 1);

constexpr std::string_view kFactNames[] = {
    "enable_ept",   "nested_cpu_has_ept(vmcs12)",      "is_pae_paging(vcpu)",
    "dirty_vmcs12", "evmptr_is_valid(hv_evmcs_vmptr)", "hv_clean_fields & GUEST_GRP1",
    "from_vmentry", "pdptrs_from_userspace",           "L2's last hardware exit was in PAE paging",
    "vmx->fail",
};
static_assert(std::size(kFactNames) == kFactCount);

constexpr std::uint32_t kCleanGuestGrp1 = 1u << 11;  // HV_VMX_ENLIGHTENED_CLEAN_FIELD_GUEST_GRP1

}  // namespace

std::string_view name_of(Fact fact) {
    return kFactNames[fact];
}
std::string_view name_of(Row row) {
    return kRows[static_cast<std::size_t>(row)].name;
}
Did did_of(Row row) {
    return kRows[static_cast<std::size_t>(row)].did;
}

Facts facts_of(const Context& c) {
    Facts f;
    f.of[kL0Ept] = c.enable_ept;
    f.of[kNestedEpt] = c.nested_ept;
    f.of[kPae] = c.pae;
    f.of[kDirty] = c.dirty_vmcs12;
    f.of[kEvmcs] = c.evmcs;
    if (c.evmcs_clean_fields) f.of[kGrp1Clean] = (*c.evmcs_clean_fields & kCleanGuestGrp1) != 0;
    f.of[kFromVmentry] = c.from_vmentry;
    f.of[kFromUserspace] = c.pdptrs_from_userspace;
    f.of[kLastExitPae] = c.last_hw_exit_pae;
    f.of[kVmxFail] = c.vmx_fail;
    return f;
}

std::optional<Row> row_by_rule(Direction direction, const Facts& facts) {
    if (facts.is(kNestedEpt) && facts.is_not(kL0Ept)) return Row::Impossible;
    using Maybe = std::optional<Row>;
    return consensus<Maybe>(facts, std::nullopt, [direction](const Complete& f) { return row_of(direction, f); });
}

Did did_by_rule(Direction direction, const Facts& facts) {
    return consensus(facts, Did::Unknown, [direction](const Complete& f) { return did_of(row_of(direction, f)); });
}

bool rule_depends_on(Direction direction, const Facts& facts, Fact fact) {
    bool depends = false;
    for_completions(facts, [&](const Complete& complete) {
        unsigned flipped = 0;
        for (unsigned f = 0; f < kFactCount; ++f)
            if (complete[static_cast<Fact>(f)] != (f == fact)) flipped |= 1u << f;
        const Complete other(flipped);
        if (!other.contradictory()) depends |= did_of(row_of(direction, complete)) != did_of(row_of(direction, other));
    });
    return depends;
}

State state_after(Direction direction, Did did, const Facts& facts) {
    const auto after = [direction, did](const Complete& f) {
        return direction == Direction::Entry ? entry_state(did, f) : exit_state(did, f);
    };
    State s;
    s.vmcs12 = consensus(facts, Is::Unknown, [&](const Complete& f) { return after(f).vmcs12; });
    s.vmcs02 = consensus(facts, Is::Unknown, [&](const Complete& f) { return after(f).vmcs02; });
    using Maybe = std::optional<bool>;
    s.used = consensus<Maybe>(facts, std::nullopt, [&](const Complete& f) { return after(f).used; });
    return s;
}

}  // namespace vmxscope::nested
