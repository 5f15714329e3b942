#include "nested/pdptr.h"

#include <fmt/format.h>

#include "nested/pdptr_evidence.h"
#include "nested/pdptr_rule.h"
#include "vmx/bits.h"

namespace vmxscope::nested {
namespace {

using vmx::Field;


// ---- Sentences

/// Why L2 is not in PAE paging, for a bracket: " (CR0.PG=0)"; "" when vmcs02 was not read here.
std::string not_pae_because(const Transition& t) {
    if (t.vmcs02_as_of != t.seq) return "";
    const auto bit = [&t](Field f, std::uint64_t mask) -> std::optional<bool> {
        const vmx::Value& v = t.vmcs02_after[f];
        if (!v.known()) return std::nullopt;
        return (v.bits & mask) != 0;
    };
    if (bit(Field::GUEST_CR0, vmx::kCr0Pg) == false) return " (CR0.PG=0)";
    if (bit(Field::GUEST_CR4, vmx::kCr4Pae) == false) return " (CR4.PAE=0)";
    if (bit(Field::VM_ENTRY_CONTROLS, vmx::kEntryIa32eMode) == true) return " (EFER.LMA=1)";
    return "";
}

/// Why prepare_vmcs02 copied the guest state; begins a sentence.
std::string copied_because(const Facts& f) {
    if (f.is(kEvmcs)) return "The enlightened VMCS does not mark GUEST_GRP1 clean";
    return f.is_not(kEvmcs) ? "vmcs12 was dirty" : "vmcs12 was dirty or its enlightened VMCS not clean";
}

/// Why prepare_vmcs02 did not copy the guest state; begins a sentence.
std::string kept_because(const Facts& f) {
    if (f.is(kEvmcs)) return "The enlightened VMCS marks GUEST_GRP1 clean";
    return f.is_not(kEvmcs) ? "vmcs12 was not dirty" : "vmcs12 was not dirty or its enlightened VMCS clean";
}

std::string entry_sentence(Row row, const Facts& f, const Transition& t) {
    switch (row) {
        case Row::SkipL0NoEpt:
            return "L0 runs without EPT (enable_ept=0): the PDPTE fields are neither written nor used.";
        case Row::SkipL0NoEptShadow:
            return "L0 runs without EPT (enable_ept=0): KVM read the PDPTEs from L1's memory for its shadow paging and "
                   "left the "
                   "fields alone.";
        case Row::CopiedUnused:
            return fmt::format(
                "{}, so KVM copied the PDPTEs; L2 is not in PAE paging{}, so the processor ignores them.",
                copied_because(f), not_pae_because(t));
        case Row::StaleUnused:
            return fmt::format(
                "{}, so KVM wrote nothing; L2 is not in PAE paging{}, so the processor ignores what is left.",
                kept_because(f), not_pae_because(t));
        case Row::FromUserspace:
            return "Nested EPT is off and userspace had set the PDPTEs (KVM_SET_SREGS2), so KVM wrote those.";
        case Row::OverriddenByMemory:
            return "Nested EPT is off and L2 is in PAE paging, so KVM loaded the PDPTEs from L1's memory at GUEST_CR3, "
                   "over an "
                   "early copy of vmcs12's.";
        case Row::LoadedFromMemory:
            return "Nested EPT is off and L2 is in PAE paging, so KVM loaded the PDPTEs from L1's memory at GUEST_CR3.";
        case Row::Copied:
            return fmt::format("{}, nested EPT is on and L2 is in PAE paging, so KVM copied vmcs12's PDPTEs.",
                               copied_because(f));
        case Row::KeptValid:
            return fmt::format("{}, so KVM wrote nothing; vmcs02 holds what the processor saved at L2's last exit.",
                               kept_because(f));
        case Row::KeptUndefined:
            return fmt::format(
                "{}, so KVM wrote nothing, but L2's last exit was not in PAE paging: the processor uses PDPTEs "
                "that the SDM leaves undefined.",
                kept_because(f));
        default:
            return "";
    }
}

std::string exit_sentence(Row row, const Facts& f, const Transition& t) {
    switch (row) {
        case Row::ExitNoSync:
            return "The hardware entry ended in VMfail, so there was no guest state to save.";
        case Row::ExitSkipL0NoEpt:
            return "L0 runs without EPT (enable_ept=0), so KVM left vmcs12's PDPTEs alone.";
        case Row::ExitSkipNoNestedEpt:
            return f.is(kPae)
                       ? "Nested EPT is off, so KVM left vmcs12's PDPTEs alone: those in vmcs02 are L0's own, and "
                         "deliberately not shown to L1."
                       : "Nested EPT is off, so KVM left vmcs12's PDPTEs alone.";
        case Row::ExitSkipNotPae:
            return fmt::format(
                "L2 was not in PAE paging{}, so KVM left vmcs12's PDPTEs alone; the SDM leaves them undefined.",
                not_pae_because(t));
        case Row::ExitCopied:
            return "Nested EPT is on and L2 was in PAE paging, so KVM copied the PDPTEs that the processor saved.";
        default:
            return "";
    }
}

/// The unknown facts that the rule waits for: "dirty_vmcs12 and is_pae_paging(vcpu)".
std::string missing_facts(Direction d, const Facts& f, bool row_too) {
    std::string names;
    for (unsigned i = 0; i < kFactCount; ++i) {
        const auto fact = static_cast<Fact>(i);
        if (f[fact]) continue;
        Facts yes = f, no = f;
        yes.of[i] = true;
        no.of[i] = false;
        const bool matters = rule_depends_on(d, f, fact) || (row_too && row_by_rule(d, yes) != row_by_rule(d, no));
        if (matters) names += (names.empty() ? "" : ", ") + std::string(name_of(fact));
    }
    return names;
}

std::string rule_sentence(Direction d, std::optional<Row> row, const Facts& f, const Transition& t) {
    if (row == Row::Impossible) return "Nested EPT without EPT in L0 cannot be: what was read contradicts itself.";
    if (row) return d == Direction::Entry ? entry_sentence(*row, f, t) : exit_sentence(*row, f, t);
    const Did did = did_by_rule(d, f);
    if (did == Did::Unknown) return fmt::format("The rule cannot tell: not known is {}.", missing_facts(d, f, false));
    if (did == Did::Skipped && d == Direction::Entry && f.is(kNestedEpt) && f.is(kPae))
        return fmt::format("{}, so KVM wrote nothing; L2's last exit was not seen, so what vmcs02 holds is not known.",
                           kept_because(f));
    return fmt::format("{} whatever else holds; not known is {}.",
                       did == Did::Skipped ? "KVM wrote nothing" : "KVM wrote the PDPTEs", missing_facts(d, f, true));
}

/// What the instructions seen say, when the rule says otherwise.
std::string finding_sentence(const Verdict& v, const Observed& seen) {
    std::string places;
    const auto add = [&places](bool there, std::string_view what) {
        if (there) places += fmt::format("{}{}", places.empty() ? "" : ", ", what);
    };
    add(seen.early, "early copy");
    add(seen.late, "late copy");
    add(seen.flush, "flush of the cache");
    return fmt::format("By rule KVM should have {} ({}), but what was seen says {}{}: the rule is wrong, or KVM is.",
                       name_of(v.by_rule), v.row, name_of(v.by_evidence), places.empty() ? "" : " (" + places + ")");
}

// ---- Conditions

std::string text_of(std::optional<bool> b) {
    return !b ? "not read" : *b ? "true" : "false";
}
std::optional<bool> negated(std::optional<bool> b) {
    return b ? std::optional(!*b) : std::nullopt;
}

/// a || b, known as soon as one is true.
std::optional<bool> either(std::optional<bool> a, std::optional<bool> b) {
    if (a == true || b == true) return true;
    if (!a || !b) return std::nullopt;
    return false;
}

Condition simple(const Facts& f, Fact fact, std::string meaning) {
    return {std::string(name_of(fact)), text_of(f[fact]), f[fact], std::move(meaning)};
}

Condition clean_condition(const Facts& f, const Context& c) {
    Condition clean{"!(hv_clean_fields & GUEST_GRP1)", "no eVMCS", std::nullopt,
                    "With an enlightened VMCS, L1 marks the guest state that it did not touch."};
    if (f.is_not(kEvmcs)) return clean;
    clean.value = c.evmcs_clean_fields ? fmt::format("{:#x}", *c.evmcs_clean_fields) : "not read";
    if (f.is(kEvmcs)) clean.held = negated(f[kGrp1Clean]);
    return clean;
}

/// In the order in which prepare_vmcs02 and what follows it ask.
std::vector<Condition> entry_conditions(const Facts& f, const Context& c) {
    std::vector<Condition> list;
    list.push_back({"dirty_vmcs12 || evmptr_is_valid(hv_evmcs_vmptr)", text_of(f[kDirty]) + " || " + text_of(f[kEvmcs]),
                    either(f[kDirty], f[kEvmcs]),
                    "L1 may have changed guest state since the last entry: prepare_vmcs02 copies it only then."});
    list.push_back(clean_condition(f, c));
    list.push_back(simple(f, kL0Ept, "L0 uses EPT: only then do the PDPTE fields of vmcs02 matter."));
    list.push_back(simple(f, kNestedEpt, "L1 uses EPT for L2: the PDPTEs are vmcs12's, not those in memory."));
    list.push_back(simple(f, kPae, "L2 is in PAE paging: the processor uses PDPTEs at all."));
    list.push_back({"from_vmentry", text_of(f[kFromVmentry]), std::nullopt,
                    "VMLAUNCH or VMRESUME: without nested EPT, KVM reads the PDPTEs from memory at once."});
    if (!f.is(kFromVmentry))
        list.push_back(
            {"!pdptrs_from_userspace", text_of(negated(f[kFromUserspace])), negated(f[kFromUserspace]),
             "Userspace did not set the PDPTEs itself, so KVM reads them from memory before the first entry."});
    list.push_back({std::string(name_of(kLastExitPae)), text_of(f[kLastExitPae]), std::nullopt,
                    "Where KVM writes nothing, vmcs02's PDPTEs are valid only if the processor saved them."});
    return list;
}

/// In the order in which nested_vmx_vmexit and sync_vmcs02_to_vmcs12 ask.
std::vector<Condition> exit_conditions(const Facts& f) {
    return {{"!vmx->fail", text_of(negated(f[kVmxFail])), negated(f[kVmxFail]),
             "The hardware entry did not end in VMfail."},
            simple(f, kL0Ept, "L0 uses EPT: only then does the processor save PDPTEs."),
            simple(f, kNestedEpt, "L1 uses EPT for L2: only then are the PDPTEs L1's to see."),
            simple(f, kPae, "L2 was in PAE paging: only then are the PDPTEs that the processor saves defined.")};
}

/// A nested entry that KVM refused: the processor was never asked. Only the evidence can say how far KVM had come.
void judge_failed_entry(Verdict& v, const Transition& t) {
    v.row = name_of(Row::EntryFailed);
    v.did = v.by_evidence;
    v.used = false;
    v.reason = fmt::format("KVM refused the nested entry{}, so the processor loaded no PDPTEs.",
                           t.status ? fmt::format(" (status {})", *t.status) : "");
}

}  // namespace

std::string_view name_of(Did d) {
    constexpr std::string_view kNames[] = {"copied",         "copied-unused", "from-memory",
                                           "from-userspace", "skipped",       "unknown"};
    return kNames[static_cast<std::size_t>(d)];
}

std::string_view name_of(Is is) {
    constexpr std::string_view kNames[] = {"defined", "undefined", "unknown"};
    return kNames[static_cast<std::size_t>(is)];
}

std::string_view name_of(Direction d) {
    return d == Direction::Entry ? "entry" : "exit";
}

std::optional<Direction> direction_of(Kind kind) {
    switch (kind) {
        case Kind::NestedEntry:
        case Kind::NestedEntryFailed:
            return Direction::Entry;
        case Kind::NestedExit:
            return Direction::Exit;
        default:
            return std::nullopt;
    }
}

std::optional<Verdict> pdptr_verdict(const Transition& t) {
    const auto direction = direction_of(t.kind);
    if (!direction) return std::nullopt;
    const Facts facts = facts_of(t.context);
    const Observed seen = observe_pdptrs(t, *direction);

    Verdict v;
    v.direction = *direction;
    v.by_evidence = seen.did;
    v.evidence_gap = seen.why_unknown;
    v.conditions = *direction == Direction::Entry ? entry_conditions(facts, t.context) : exit_conditions(facts);
    if (t.kind == Kind::NestedEntryFailed) {
        judge_failed_entry(v, t);
        return v;
    }
    const auto row = row_by_rule(*direction, facts);
    v.by_rule = did_by_rule(*direction, facts);
    if (row == Row::Impossible) v.by_rule = Did::Unknown;
    v.row = row ? name_of(*row) : "";
    v.did = v.by_evidence != Did::Unknown ? v.by_evidence : v.by_rule;
    v.agree = v.by_rule == Did::Unknown || v.by_evidence == Did::Unknown || v.by_rule == v.by_evidence;
    v.reason = v.agree ? rule_sentence(*direction, row, facts, t) : finding_sentence(v, seen);

    const State state = state_after(*direction, v.did, facts);
    v.vmcs12 = state.vmcs12;
    v.vmcs02 = state.vmcs02;
    v.used = seen.hw_uses ? seen.hw_uses : state.used;
    v.alarm = v.used == true && v.vmcs02 == Is::Undefined;
    return v;
}

}  // namespace vmxscope::nested
