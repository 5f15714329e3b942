#include "nested/flow.h"

#include <algorithm>
#include <iterator>

#include "nested/changes.h"
#include "vmx/controls.h"
#include "vmx/saved_state.h"

namespace vmxscope::nested {
namespace {

using vmx::Field;
using vmx::Group;
using vmx::Value;

/// Where KVM writes vmcs02 for a nested entry: a compiler may append ".constprop.0", or inline one into its caller.
/// What other functions write between the beginning and the hardware entry is L0's business with a vCPU that runs.
constexpr std::string_view kEntryFunctions[] = {
    "prepare_vmcs02",
    "nested_vmx_enter_non_root_mode",
    "vmx_set_cr0",
    "vmx_set_cr4",
    "vmx_set_efer",
    "vmx_set_rflags",
    "vmx_set_dr7",
    "vmx_update_exception_bitmap",
    "set_cr4_guest_host_mask",
    "vmx_setup_uret_msrs",
    "vmx_ept_load_pdptrs",
    "vmx_load_mmu_pgd",
    "nested_get_vmcs12_pages",
    "nested_vmx_load_msr",
    "add_atomic_switch_msr",
    "clear_atomic_switch_msr",
    "vmx_guest_debugctl_write",
    "vmx_set_guest_debugctl",
    "update_transition_efer",
};
/// Where KVM reads vmcs02 for vmcs12.
constexpr std::string_view kExitFunctions[] = {"sync_vmcs02_to_vmcs12", "sync_vmcs12", "prepare_vmcs12",
                                               "nested_vmx_vmexit", "__nested_vmx_vmexit"};

template <std::size_t N>
bool in_one_of(std::string_view at, const std::string_view (&functions)[N]) {
    return std::any_of(std::begin(functions), std::end(functions),
                       [at](std::string_view f) { return at.starts_with(f); });
}

bool evidence_complete(const Transition& t) {
    if (t.evidence_scope != EvidenceScope::All || t.lost_before > 0) return false;
    return std::none_of(t.notes.begin(), t.notes.end(),
                        [](const std::string& note) { return note.starts_with(kEvidenceIncomplete); });
}

/// A control word whose VMWRITE is left out when KVM's shadow of it already has the value.
bool only_if_changed(const FieldRule& rule) {
    return rule.entry_gate == EntryGate::IfChanged;
}

/// KVM reads these with VMREAD at the exit itself; the others from where it has cached them.
bool read_by_vmread(const FieldRule& rule) {
    return rule.exit_value == ExitValue::FromVmcs02 || rule.exit_value == ExitValue::Cr0Back ||
           rule.exit_value == ExitValue::Cr4Back;
}

Match compare(const Predicted& predicted, const Value& value) {
    if (!predicted.known() || !value.known()) return Match::NotPredictable;
    return predicted.allows(value.bits) ? Match::AsPredicted : Match::Differs;
}

// ---- Evidence

/// The accesses of the direction's kind, by field: which was the last, and what the entry's own functions wrote last.
struct Accesses {
    std::array<std::int32_t, vmx::kFieldCount> last, own;

    Accesses(const Transition& t, Direction direction) {
        last.fill(-1);
        own.fill(-1);
        const auto wanted = direction == Direction::Entry ? Evidence::Op::Vmwrite : Evidence::Op::Vmread;
        for (std::size_t i = 0; i < t.evidence.size(); ++i) {
            const Evidence& e = t.evidence[i];
            const auto index = vmx::index_of(static_cast<Field>(e.encoding & ~1u));  // odd: the high half of the same
            if (e.op != wanted || !e.vmcs02 || !index) continue;
            const bool of_direction =
                direction == Direction::Entry ? in_one_of(e.at, kEntryFunctions) : in_one_of(e.at, kExitFunctions);
            if (direction == Direction::Exit && !of_direction) continue;
            last[*index] = static_cast<std::int32_t>(i);
            if (of_direction) own[*index] = static_cast<std::int32_t>(i);
        }
    }
};

// ---- Origins

Origin pdptr_origin(Did did) {
    switch (did) {
        case Did::Copied:
        case Did::CopiedUnused: return Origin::Copied;
        case Did::FromMemory: return Origin::FromMemory;
        case Did::FromUserspace: return Origin::FromUserspace;
        case Did::Skipped: return Origin::CpuSaved;
        case Did::Unknown: return Origin::Unknown;
    }
    return Origin::Unknown;
}

/// Of a value that the entry's rule put there.
Origin written_origin(const FieldRule& rule, const Situation& s) {
    switch (rule.entry) {
        case EntryClass::Copy:
        case EntryClass::Rare: return Origin::Copied;
        case EntryClass::RareLate: return pdptr_origin(s.pdptrs);
        case EntryClass::Conditional: return rule.entry_value == EntryValue::Verbatim ? Origin::Copied : Origin::Merged;
        case EntryClass::Merged: return Origin::Merged;
        case EntryClass::Translated: return Origin::Translated;
        default: return Origin::L0Own;
    }
}

/// Of a value that is in vmcs02 as it was left: by the processor, where that saves the field, or by an earlier write.
Origin kept_origin(const FieldRule& rule, const Transition& t) {
    if (vmx::saved_at_exit(rule.field, t.vmcs02_before) != false) return Origin::CpuSaved;
    if (rule.field == Field::VM_INSTRUCTION_ERROR) return Origin::CpuSaved;
    if (rule.entry == EntryClass::OnlyL0 || rule.entry == EntryClass::L0 || rule.entry == EntryClass::Host ||
        rule.entry == EntryClass::Emulated)
        return Origin::L0Own;
    return Origin::Stale;
}

Origin vmcs02_at_entry(const FieldRule& rule, const FieldFlow& f, const Situation& s, const Transition& t) {
    if (f.later) return Origin::L0Own;
    const bool written = f.seen ? *f.seen : f.by_rule == true;
    if (written || (rule.entry_gate == EntryGate::IfChanged && f.match == Match::AsPredicted))
        return written_origin(rule, s);
    return kept_origin(rule, t);
}

/// vmcs12 as L1 has it, at an entry or while L0 or L2 runs: what the exit left, or L1 wrote.
Origin vmcs12_at_rest(const FieldRule& rule, Group group, const Transition& t) {
    if (rule.exit == ExitClass::OnlyL0) return Origin::NoSuchField;
    const bool l1_runs = t.kind == Kind::L1Entry || t.kind == Kind::L1Exit;
    if (l1_runs && rule.shadowed == Shadowed::ReadWrite && t.context.enable_shadow_vmcs == true)
        return Origin::InShadow;
    if (rule.exit == ExitClass::Lazy && t.context.need_sync_vmcs02_to_vmcs12_rare == true) return Origin::Lazy;
    return group == Group::ExitInformation ? Origin::Synthesised : Origin::L1Wrote;
}

/// Of a value that the exit's rule gave vmcs12.
Origin given_origin(const FieldRule& rule) {
    switch (rule.exit_value) {
        case ExitValue::Cr0Back:
        case ExitValue::Cr4Back:
        case ExitValue::EntryControlsBack: return Origin::Merged;
        case ExitValue::ArchDr7:
        case ExitValue::ArchEfer:
        case ExitValue::None: return Origin::SavedFromVcpu;
        default: return Origin::SavedFromVmcs02;
    }
}

Origin vmcs12_at_exit(const FieldRule& rule, const FieldFlow& f) {
    switch (rule.exit) {
        case ExitClass::OnlyL0: return Origin::NoSuchField;
        case ExitClass::Always:
        case ExitClass::Conditional:
            return f.by_rule == true ? given_origin(rule) : f.by_rule == false ? Origin::L1Wrote : Origin::Unknown;
        case ExitClass::Lazy:
            return f.by_rule == true ? Origin::SavedFromVmcs02 : f.by_rule == false ? Origin::Lazy : Origin::Unknown;
        case ExitClass::Synthesised: return f.by_rule == false ? Origin::Stale : Origin::Synthesised;
        default: return Origin::L1Wrote;
    }
}

/// Whether vmcs12's own controls make KVM leave the field of vmcs02 alone: it then holds what was there before.
bool unused(const FieldRule& rule, const Situation& s) {
    const auto off = [](std::optional<std::uint64_t> word, std::uint64_t bit) { return word && !(*word & bit); };
    switch (rule.field) {
        case Field::APIC_ACCESS_ADDR: return off(s.sec12, vmx::secondary::kApicAccesses);
        case Field::VIRTUAL_APIC_PAGE_ADDR:
        case Field::TPR_THRESHOLD: return off(s.exec12, vmx::proc::kTprShadow);
        case Field::POSTED_INTR_DESC_ADDR: return off(s.pin12, vmx::pin::kPostedInterrupts);
        case Field::XSS_EXIT_BITMAP: return off(s.sec12, vmx::secondary::kXsaves);
        case Field::GUEST_INTR_STATUS: return off(s.sec12, vmx::secondary::kInterruptDelivery);
        default: return false;
    }
}

/// Of vmcs02 while L2 runs, and after its exits.
Origin vmcs02_at_rest(const FieldRule& rule, const Situation& s, const Transition& t) {
    const vmx::VmcsImage& now = t.vmcs02_after.any_known() ? t.vmcs02_after : t.vmcs02_before;
    if (vmx::saved_at_exit(rule.field, now) != false || rule.field == Field::VM_INSTRUCTION_ERROR)
        return Origin::CpuSaved;
    if (unused(rule, s)) return Origin::Stale;
    return rule.entry == EntryClass::Rare || rule.entry == EntryClass::Copy || rule.entry == EntryClass::Conditional
               ? Origin::Copied
           : rule.entry == EntryClass::Merged     ? Origin::Merged
           : rule.entry == EntryClass::Translated ? Origin::Translated
                                                  : Origin::L0Own;
}

void set_since(FieldFlow& f, std::size_t i, const Transition& t, const Lineage* lineage) {
    const bool known = lineage && lineage->leads_to(t);
    const auto now = [&](Origin o) {
        return o == Origin::Copied || o == Origin::Merged || o == Origin::Translated || o == Origin::FromMemory ||
               o == Origin::SavedFromVmcs02 || o == Origin::SavedFromVcpu || o == Origin::Synthesised;
    };
    const bool gives = t.kind == Kind::NestedExit, writes = t.kind == Kind::NestedEntry;
    f.vmcs12_since = gives && now(f.vmcs12) ? t.seq : known ? lineage->vmcs12_since(i) : 0;
    f.vmcs02_since = writes && now(f.vmcs02) ? t.seq : known ? lineage->vmcs02_since(i) : 0;
}

// ---- The two directions

class Examiner {
  public:
    Examiner(const Transition& t, Flow& flow, const Situation& situation)
        : t_(t), flow_(flow), situation_(situation), accesses_(t, flow.direction) {}

    void entry(std::size_t i, const FieldRule& rule) {
        FieldFlow& f = flow_.fields[i];
        f.by_rule = entry_moves(rule, situation_, t_);
        set_seen(f, accesses_.last[i]);
        f.later = f.last_access >= 0 && f.last_access != accesses_.own[i];
        if (f.by_rule != false || only_if_changed(rule)) f.predicted = predict_entry(rule, situation_, t_);
        // By the value that the entry's own functions wrote, where that is known: L0 may have gone on from there.
        const Value& now = t_.vmcs02_after.at_index(i);
        const Value& value =
            accesses_.own[i] >= 0 ? t_.evidence[static_cast<std::size_t>(accesses_.own[i])].value : now;
        if (f.by_rule == true || f.seen == true || only_if_changed(rule)) f.match = compare(f.predicted, value);
        if (now.state == vmx::Known::Unsupported)
            f.vmcs02 = Origin::NoSuchField;
        else
            f.vmcs02 = vmcs02_at_entry(rule, f, situation_, t_);
        f.vmcs12 = vmcs12_at_rest(rule, group(i), t_);
        entry_findings(i, rule, f);
    }

    void exit(std::size_t i, const FieldRule& rule) {
        FieldFlow& f = flow_.fields[i];
        f.by_rule = rule.exit == ExitClass::OnlyL0 ? std::optional(false) : exit_moves(rule, situation_);
        set_seen(f, accesses_.last[i]);
        if (f.by_rule == true)
            f.predicted = predict_exit(rule, situation_, t_);
        else if (f.by_rule == false && rule.exit != ExitClass::OnlyL0)
            f.predicted = {t_.vmcs12_before.at_index(i).bits, t_.vmcs12_before.at_index(i).known() ? ~0ull : 0};
        f.match = compare(f.predicted, t_.vmcs12_after.at_index(i));
        f.vmcs12 = vmcs12_at_exit(rule, f);
        f.vmcs02 = t_.vmcs02_after.at_index(i).state == vmx::Known::Unsupported ? Origin::NoSuchField
                                                                                : vmcs02_at_rest(rule, situation_, t_);
        exit_findings(i, rule, f);
    }

  private:
    static Group group(std::size_t i) { return vmx::all_fields()[i].group; }
    void found(Finding::What what, std::size_t i) { flow_.findings.push_back({what, vmx::all_fields()[i].field}); }

    void set_seen(FieldFlow& f, std::int32_t last) const {
        f.last_access = last;
        if (last >= 0)
            f.seen = true;
        else if (flow_.complete)
            f.seen = false;
    }

    void entry_findings(std::size_t i, const FieldRule& rule, const FieldFlow& f) {
        using What = Finding::What;
        const Value& before = t_.vmcs02_before.at_index(i);
        const Value& now = t_.vmcs02_after.at_index(i);
        const bool current = t_.vmcs02_as_of == t_.seq;
        if (f.match == Match::Differs && (current || f.seen == true)) found(What::ValueDiffers, i);
        if (differs(t_.vmcs12_before.at_index(i), t_.vmcs12_after.at_index(i))) found(What::ChangedAgainstRule, i);
        if (f.by_rule == false && f.seen == true && (!f.later || rule.entry_gate == EntryGate::Never) &&
            rule.entry_gate != EntryGate::VcpuRun)
            found(What::WrittenAgainstRule, i);
        if (!flow_.complete || !current) return;
        if (f.by_rule == true && f.seen == false) found(What::NotWritten, i);
        const Value& last = f.last_access >= 0 ? t_.evidence[static_cast<std::size_t>(f.last_access)].value : before;
        if (differs(last, now) && !half_written(f)) found(What::ChangedUnseen, i);
    }

    /// A 64-bit field may be written in halves (odd encodings): the last value seen is then not the whole.
    bool half_written(const FieldFlow& f) const {
        return f.last_access >= 0 && (t_.evidence[static_cast<std::size_t>(f.last_access)].encoding & 1);
    }

    void exit_findings(std::size_t i, const FieldRule& rule, const FieldFlow& f) {
        using What = Finding::What;
        if (f.match == Match::Differs) found(f.by_rule == true ? What::ValueDiffers : What::ChangedAgainstRule, i);
        if (rule.exit == ExitClass::Lazy && f.by_rule == false && f.seen == true) found(What::ReadAgainstRule, i);
        if (!flow_.complete) return;
        if (f.by_rule == true && read_by_vmread(rule) && f.seen == false) found(What::NotRead, i);
        if (t_.vmcs02_as_of == t_.seq && differs(t_.vmcs02_before.at_index(i), t_.vmcs02_after.at_index(i)) &&
            !written_at_exit(i))
            found(What::ChangedUnseen, i);
    }

    bool written_at_exit(std::size_t i) const {
        return std::any_of(t_.evidence.begin(), t_.evidence.end(), [i](const Evidence& e) {
            return e.op == Evidence::Op::Vmwrite && e.vmcs02 &&
                   vmx::index_of(static_cast<Field>(e.encoding & ~1u)) == i;
        });
    }

    const Transition& t_;
    Flow& flow_;
    const Situation& situation_;
    Accesses accesses_;
};

void at_rest(FieldFlow& f, std::size_t i, const FieldRule& rule, const Situation& situation, const Transition& t) {
    const Group group = vmx::all_fields()[i].group;
    f.vmcs12 = vmcs12_at_rest(rule, group, t);
    f.vmcs02 = t.vmcs02_after.at_index(i).state == vmx::Known::Unsupported ? Origin::NoSuchField
                                                                           : vmcs02_at_rest(rule, situation, t);
}

constexpr std::string_view kOriginNames[] = {
    "unknown",
    "L1 wrote it",
    "copied from vmcs12",
    "merged by L0",
    "L0's own",
    "translated by L0",
    "from L1's memory",
    "from user space",
    "the CPU saved it",
    "saved from vmcs02",
    "saved from KVM's copy",
    "made up by L0",
    "stale",
    "lazily synced, vmcs12 not current",
    "the shadow VMCS is authoritative",
    "no such field",
};
static_assert(std::size(kOriginNames) == static_cast<std::size_t>(Origin::NoSuchField) + 1);
constexpr std::string_view kFindingNames[] = {
    "written against the rule",
    "not written",
    "changed, and no VMWRITE of it was seen",
    "not the value that the rule computes",
    "read against the rule",
    "not read",
    "changed against the rule",
};
static_assert(std::size(kFindingNames) == static_cast<std::size_t>(Finding::What::ChangedAgainstRule) + 1);

}  // namespace

std::string_view name_of(Origin o) {
    return kOriginNames[static_cast<std::size_t>(o)];
}
std::string_view name_of(Match m) {
    constexpr std::string_view kNames[] = {"not predictable", "as predicted", "differs"};
    return kNames[static_cast<std::size_t>(m)];
}
std::string_view name_of(Finding::What w) {
    return kFindingNames[static_cast<std::size_t>(w)];
}

Flow flow_of(const Transition& t, const Lineage* lineage) {
    Flow flow;
    const auto direction = direction_of(t.kind);
    flow.direction = direction.value_or(Direction::Entry);
    flow.complete = evidence_complete(t);
    const Situation situation(t);
    Examiner examiner(t, flow, situation);
    const auto rules = flow_rules();
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) {
        if (t.kind == Kind::NestedEntry)
            examiner.entry(i, rules[i]);
        else if (t.kind == Kind::NestedExit)
            examiner.exit(i, rules[i]);
        else
            at_rest(flow.fields[i], i, rules[i], situation, t);
        set_since(flow.fields[i], i, t, lineage);
    }
    return flow;
}

}  // namespace vmxscope::nested
