#include "core/query/names.h"

#include <algorithm>
#include <limits>

#include "nested/badges.h"
#include "nested/pdptr.h"
#include "vmx/exit_reason.h"
#include "vmx/pdpte.h"

namespace vmxscope::core::query {
namespace {

using nested::Context;
using nested::Evidence;
using nested::ExitInfo;
using nested::Kind;
using trace::Digest;

// ---- Of digests

template <auto cell_of>
Source of_digest() {
    return {.digests = [](Lane& out, std::span<const Digest> rows) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const Cell cell = cell_of(rows[i]);
            out.bits[i] = cell.bits;
            out.known[i] = cell.known;
        }
    }};
}

template <auto member>
Source plain() {
    return of_digest<[](const Digest& d) { return known(static_cast<std::uint64_t>(d.*member)); }>();
}

constexpr Cell known_if(bool is_known, std::uint64_t bits) {
    return {is_known ? bits : 0, is_known};
}

template <auto member>
Source did() {
    return of_digest<[](const Digest& d) {
        return known_if(d.has_verdict && d.*member != nested::Did::Unknown, static_cast<std::uint64_t>(d.*member));
    }>();
}

template <auto member>
Source is() {
    return of_digest<[](const Digest& d) {
        return known_if(d.has_verdict && d.*member != nested::Is::Unknown, static_cast<std::uint64_t>(d.*member));
    }>();
}

template <auto member>
Source verdict() {
    return of_digest<[](const Digest& d) { return known_if(d.has_verdict, d.*member); }>();
}

// ---- Of whole transitions

template <typename T>
Cell cell(const std::optional<T>& value) {
    return value ? known(static_cast<std::uint64_t>(static_cast<std::int64_t>(*value))) : Cell{};
}
template <>
Cell cell(const std::optional<std::uint32_t>& value) {
    return value ? known(*value) : Cell{};
}
Cell cell(const vmx::Value& value) {
    return known_if(value.known(), value.bits);
}

template <auto cell_of>
Source of_whole() {
    return {.whole = [](const Whole& w, std::uint32_t) { return cell_of(w.t); }};
}

template <auto member>
Source exit_info() {
    return of_whole<[](const nested::Transition& t) { return cell(t.exit.*member); }>();
}

template <auto member>
Source context() {
    return of_whole<[](const nested::Transition& t) { return cell(t.context.*member); }>();
}

Source reg() {
    return {.whole = [](const Whole& w, std::uint32_t i) { return cell(w.t.regs[i]); }};
}

std::optional<std::string> notes(const Whole& w) {
    std::string all;
    for (const std::string& note : w.t.notes) all += (all.empty() ? "" : "\n") + note;
    return all;
}

std::optional<std::string> row(const Whole& w) {
    const auto v = nested::pdptr_verdict(w.t);
    return v && !v->row.empty() ? std::optional(v->row) : std::nullopt;
}

/// Whether no access to the field can have gone unseen.
bool watched(const Whole& w, vmx::Field field) {
    if (w.flow().complete) return true;
    const auto pdptrs = vmx::kPdptrFields;
    const bool is_pdptr = std::find(pdptrs.begin(), pdptrs.end(), field) != pdptrs.end();
    if (!is_pdptr || w.t.evidence_scope == nested::EvidenceScope::None || w.t.lost_before > 0) return false;
    return std::none_of(w.t.notes.begin(), w.t.notes.end(),
                        [](const std::string& note) { return note.starts_with(nested::kEvidenceIncomplete); });
}

template <Evidence::Op op>
Cell accessed(const Whole& w, std::uint32_t index) {
    const vmx::Field field = vmx::all_fields()[index].field;
    for (const Evidence& e : w.t.evidence)  // odd encodings are the high halves
        if (e.op == op && static_cast<vmx::Field>(e.encoding & ~1u) == field) return known(1);
    return known_if(watched(w, field), 0);
}

Cell found(const Whole& w, std::uint32_t index) {
    const vmx::Field field = vmx::all_fields()[index].field;
    const auto& all = w.flow().findings;
    return known(std::any_of(all.begin(), all.end(), [field](const nested::Finding& f) { return f.field == field; }));
}

Cell has_badge(const Whole& w, std::uint32_t index) {
    return known(nested::all_badges()[index].applies(w.t, w.flow()));
}

const vmx::VmcsImage& image_of(const nested::Transition& t, FieldRef::Of of, bool before) {
    if (of == FieldRef::Of::Running)
        of = t.kind == Kind::L1Exit || t.kind == Kind::L1Entry ? FieldRef::Of::Vmcs01 : FieldRef::Of::Vmcs02;
    switch (of) {
        case FieldRef::Of::Vmcs12: return before ? t.vmcs12_before : t.vmcs12_after;
        case FieldRef::Of::Vmcs02: return before ? t.vmcs02_before : t.vmcs02_after;
        default: return t.vmcs01;
    }
}

#define WORD(n, v, s, m) \
    { .name = n, .type = Type::Word, .vocabulary = Vocabulary::v, .source = s, .meaning = m }
#define TRUTH(n, s, m) \
    { .name = n, .type = Type::Truth, .source = s, .meaning = m }
#define COUNT(n, s, m) \
    { .name = n, .source = s, .meaning = m }
#define BITS(n, s, m) \
    { .name = n, .hex = true, .source = s, .meaning = m }
#define TIME(n, member, m) \
    { .name = n, .type = Type::Time, .source = {.duration = &Durations::member}, .meaning = m }
#define TEXT(n, f, m) \
    { .name = n, .type = Type::Text, .source = {.text = f}, .meaning = m }

std::vector<Name> crossing_names() {
    return {
        WORD("kind", Kind, plain<&Digest::kind>(), "What crossed: l1-exit, nested-entry, l2-entry, …"),
        COUNT("level", of_digest<[](const Digest& d) {
                  return known(d.kind == Kind::L1Exit || d.kind == Kind::L1Entry ? 1 : 2);
              }>(),
              "Whose crossing it is: 1 for l1-exit and l1-entry, 2 for all others."),
        COUNT("vcpu", plain<&Digest::vcpu>(), "KVM's number of the vCPU."),
        COUNT("seq", plain<&Digest::seq>(), "The transition's number, over all vCPUs."),
        COUNT("tsc", plain<&Digest::tsc>(), "L0's time-stamp counter at the crossing."),
        COUNT("lost", plain<&Digest::lost_before>(), "Records lost for want of room just before it."),
        WORD("exit_reason", ExitReason,
             of_digest<[](const Digest& d) { return known_if(d.has_reason, vmx::basic_exit_reason(d.reason)); }>(),
             "The basic exit reason (bits 15:0), by KVM's name or by number."),
        TRUTH("exit_failed",
              of_digest<[](const Digest& d) { return known_if(d.has_reason, vmx::entry_failed(d.reason)); }>(),
              "Bit 31 of the exit reason: the VM-entry failed."),
        WORD("wanted_by", Level, of_digest<[](const Digest& d) { return known_if(d.routing != 0, d.routing); }>(),
             "Who handles L2's exit: L0 kept it, or L1 asked for it. Of l2-exit and nested-exit."),
        COUNT("findings", plain<&Digest::findings>(),
              "Contradictions between rule, evidence and values; 255 stands for all above."),
        TIME("time", time, "Since the first transition."),
        TIME("since_exit", since_exit, "At entries and in between: since this vCPU's newest hardware exit."),
        TIME("in_guest", in_guest, "At an l1-exit or l2-exit: since the hardware entry before it."),
        TIME("time_in_l1", time_in_l1, "in_guest, at an l1-exit only."),
        TIME("time_in_l2", time_in_l2, "in_guest, at an l2-exit only."),
        TIME("round_trip", round_trip, "At an l2-entry: since the l2-exit before it, L1's handling included."),
    };
}

std::vector<Name> pdptr_names() {
    return {
        WORD("pdptr", Did, did<&Digest::did>(),
             "pdptr.did. But == undefined holds when GUEST_PDPTR0-3 of vmcs12 or of vmcs02 are undefined, == defined "
             "when "
             "neither are."),
        WORD("pdptr.did", Did, did<&Digest::did>(), "What KVM did with the PDPTRs: by evidence, else by rule."),
        WORD("pdptr.rule", Did, did<&Digest::by_rule>(), "What it did by rule."),
        WORD("pdptr.evidence", Did, did<&Digest::by_evidence>(), "What it did by evidence."),
        WORD("pdptr.vmcs12", Is, is<&Digest::vmcs12>(), "What those of vmcs12 are."),
        WORD("pdptr.vmcs02", Is, is<&Digest::vmcs02>(), "What those of vmcs02 are."),
        TRUTH("pdptr.used", of_digest<[](const Digest& d) { return known_if(d.has_verdict && d.used <= 1, d.used); }>(),
              "The processor loads its PDPTEs from vmcs02's fields."),
        TRUTH("pdptr.alarm", verdict<&Digest::alarm>(), "Undefined and used."),
        TRUTH("pdptr.agree", verdict<&Digest::agree>(), "Rule and evidence do not contradict each other."),
        TEXT("pdptr.row", row, "The row of the combination table: \"KEPT_VALID\"."),
    };
}

std::vector<Name> whole_names() {
    return {
        BITS("qualification", exit_info<&ExitInfo::qualification>(), "The exit qualification."),
        BITS("intr_info", exit_info<&ExitInfo::intr_info>(), "VM-exit interruption information."),
        BITS("intr_error_code", exit_info<&ExitInfo::intr_error_code>(), "VM-exit interruption error code."),
        COUNT("instruction_length", exit_info<&ExitInfo::instruction_length>(), "VM-exit instruction length."),
        BITS("guest_linear", exit_info<&ExitInfo::guest_linear>(), "The guest-linear address of the exit."),
        BITS("guest_physical", exit_info<&ExitInfo::guest_physical>(), "The guest-physical address of the exit."),
        COUNT("status", of_whole<[](const nested::Transition& t) { return cell(t.status); }>(),
              "What KVM returned of a nested entry; 0 is entered."),
        TEXT(
            "kvm_reason", [](const Whole& w) { return std::optional(w.t.kvm_reason); },
            "KVM's own reason for refusing a nested entry."),
        COUNT("vmcs02_as_of", of_whole<[](const nested::Transition& t) { return known(t.vmcs02_as_of); }>(),
              "The transition at which vmcs02 was read; 0 for never."),
        COUNT("evidence", of_whole<[](const nested::Transition& t) { return known(t.evidence.size()); }>(),
              "VMREADs and VMWRITEs seen."),
        COUNT("notes", of_whole<[](const nested::Transition& t) { return known(t.notes.size()); }>(),
              "Notes of what could not be seen."),
        TEXT("note", notes, "Their text, a line each."),
    };
}

std::vector<Name> context_names() {
#define FLAG(member) TRUTH("context." #member, context<&Context::member>(), "")
#define WIDE(member) BITS("context." #member, context<&Context::member>(), "")
    return {FLAG(enable_ept),
            FLAG(nested_ept),
            FLAG(pae),
            FLAG(dirty_vmcs12),
            FLAG(evmcs),
            WIDE(evmcs_clean_fields),
            FLAG(from_vmentry),
            FLAG(pdptrs_from_userspace),
            FLAG(last_hw_exit_pae),
            FLAG(nested_run_pending),
            FLAG(need_vmcs12_to_shadow_sync),
            FLAG(need_sync_vmcs02_to_vmcs12_rare),
            FLAG(vmx_fail),
            WIDE(current_vmptr),
            WIDE(cr0),
            WIDE(cr3),
            WIDE(cr4),
            WIDE(efer),
            WIDE(regs_avail),
            WIDE(regs_dirty),
            WIDE(hflags),
            WIDE(cr0_guest_owned_bits),
            WIDE(cr4_guest_owned_bits),
            WIDE(l1_tsc_offset),
            WIDE(l1_tsc_scaling_ratio),
            WIDE(pat),
            WIDE(dr7),
            WIDE(pre_vmenter_debugctl),
            WIDE(pre_vmenter_bndcfgs),
            WIDE(mp_state),
            WIDE(vpid),
            WIDE(vpid02),
            FLAG(enable_shadow_vmcs),
            FLAG(enable_vpid),
            FLAG(enable_unrestricted_guest)};
#undef FLAG
#undef WIDE
}

std::vector<Name> register_names() {
    constexpr std::string_view names[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8",
                                          "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags"};
    static_assert(std::size(names) == nested::kRegCount);
    std::vector<Name> all;
    for (std::uint32_t i = 0; i < nested::kRegCount; ++i)
        all.push_back({.name = names[i], .hex = true, .source = reg(), .parameter = i, .meaning = ""});
    return all;
}

std::vector<Name> make_names() {
    std::vector<Name> all;
    for (const auto& part : {crossing_names(), pdptr_names(), whole_names(), register_names(), context_names()})
        all.insert(all.end(), part.begin(), part.end());
    return all;
}

}  // namespace

std::span<const Name> all_names() {
    static const std::vector<Name> names = make_names();
    return names;
}

const Name* name_by(std::string_view name) {
    for (const Name& n : all_names())
        if (same_name(n.name, name)) return &n;
    return nullptr;
}

const Source& field_source() {
    static const Source source = {.whole = [](const Whole& w, std::uint32_t parameter) {
        const auto of = static_cast<FieldRef::Of>(parameter & 3);
        return cell(image_of(w.t, of, (parameter & 4) != 0).at_index(parameter >> 3));
    }};
    return source;
}

std::span<const Function> all_functions() {
    using Takes = Function::Takes;
    static const Function functions[] = {
        {"known", "known(VALUE)", "The value is known; never unknown itself.", Takes::Value},
        {"unknown", "unknown(VALUE)", "The value is not known.", Takes::Value},
        {"cycles", "cycles(TIME)", "A time as a number of TSC cycles; known without the TSC's frequency.", Takes::Time},
        {"changed", "changed(vmcs12.FIELD)", "The transition changed the field, of vmcs12 or vmcs02.", Takes::Image},
        {"written",
         "written(FIELD)",
         "KVM was seen to VMWRITE the field. Unknown when that was not watched.",
         Takes::Field,
         {.whole = accessed<Evidence::Op::Vmwrite>}},
        {"read",
         "read(FIELD)",
         "KVM was seen to VMREAD the field. Unknown when that was not watched.",
         Takes::Field,
         {.whole = accessed<Evidence::Op::Vmread>}},
        {"found", "found(FIELD)", "There is a finding of the field.", Takes::Field, {.whole = found}},
        {"has", "has(\"BADGE\")", "The badge applies: \"tsc-composed\".", Takes::Badge, {.whole = has_badge}},
    };
    return functions;
}

}  // namespace vmxscope::core::query
