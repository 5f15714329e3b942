#include "nested/flow_text.h"

#include <cctype>

#include <fmt/format.h>

namespace vmxscope::nested {
namespace {

using vmx::Field;
using vmx::Value;

std::string text(const Value& v) {
    switch (v.state) {
        case vmx::Known::Yes: return fmt::format("{:#x}", v.bits);
        case vmx::Known::Unsupported: return "not supported";
        case vmx::Known::Faulted: return "faulted";
        case vmx::Known::NotRead: return "not read";
    }
    return "?";
}

std::string_view yes_no(std::optional<bool> b) {
    return !b ? "not known" : *b ? "yes" : "no";
}

/// "prepare_vmcs02_rare.constprop.0+0x4a0 wrote 0x801"
std::string access_text(const Transition& t, const FieldFlow& f, Direction d) {
    if (f.last_access < 0) return "";
    const Evidence& e = t.evidence[static_cast<std::size_t>(f.last_access)];
    return fmt::format("{} {} {}", e.at, d == Direction::Entry ? "wrote" : "read", text(e.value));
}

std::string origin_text(std::string_view which, Origin o, std::uint64_t since, std::uint64_t now) {
    std::string s = fmt::format("{}: {}", which, name_of(o));
    if (o == Origin::NoSuchField || o == Origin::Unknown) return s + ".";
    if (since == 0) return s + ".";
    return s + (since == now ? ", in this transition." : fmt::format(", since transition {}.", since));
}

std::string predicted_text(const Predicted& p) {
    if (p.mask == ~0ull || p.mask == 0xffffffff || p.mask == 0xffff) return fmt::format("{:#x}", p.bits);
    return fmt::format("{:#x} in the bits {:#x}", p.bits, p.mask);
}

}  // namespace

std::string rule_text(const Transition& t, const Flow& flow, Field field) {
    const auto index = vmx::index_of(field);
    if (!index) return "";
    const FieldRule& rule = flow_rules()[*index];
    const FieldFlow& f = flow.fields[*index];
    const auto direction = direction_of(t.kind);
    if (!direction)
        return rule.entry == EntryClass::OnlyL0
                   ? "vmcs12 has no such field: L0 alone decides."
                   : fmt::format("At a nested entry {}, at a nested exit {}.", name_of(rule.entry), name_of(rule.exit));
    if (rule.entry == EntryClass::OnlyL0) return "vmcs12 has no such field: L0 alone decides.";
    const bool entry = *direction == Direction::Entry;
    std::string s(entry ? name_of(rule.entry) : name_of(rule.exit));
    s.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(s.front())));
    std::string_view condition = entry ? condition_of(rule.entry_gate) : condition_of(rule.exit_gate);
    // Of L0's own decisions only what was seen can be said.
    const bool undecided =
        entry && !f.by_rule && (rule.entry_gate == EntryGate::IfChanged || rule.entry_gate == EntryGate::L0Time);
    if (undecided)
        s += fmt::format(" ({})", condition);
    else if (!condition.empty())
        s += fmt::format(" ({}): {}", condition, yes_no(f.by_rule));
    if (f.seen) s += fmt::format("; a {} was {}seen", entry ? "VMWRITE" : "VMREAD", *f.seen ? "" : "not ");
    s += ".";
    if (rule.shadowed != Shadowed::No)
        s += fmt::format(" Shadowed, {}: L1 reaches it without an exit.", name_of(rule.shadowed));
    if (rule.group < EvmcsGroup::Always && t.context.evmcs == true)
        s += fmt::format(" In the enlightened VMCS's group {}.", name_of(rule.group));
    return s;
}

std::string provenance_text(const Transition& t, const Flow& flow, Field field) {
    const FieldFlow& f = flow[field];
    std::string s = origin_text("vmcs12", f.vmcs12, f.vmcs12_since, t.seq) + " " +
                    origin_text("vmcs02", f.vmcs02, f.vmcs02_since, t.seq);
    const auto direction = direction_of(t.kind);
    if (const std::string access = direction ? access_text(t, f, *direction) : ""; !access.empty())
        s += fmt::format(" {}{}.", access, f.later ? ", after the entry's own functions" : "");
    return s;
}

std::string prediction_text(const Transition& t, const Flow& flow, Field field) {
    const FieldFlow& f = flow[field];
    if (f.match == Match::NotPredictable) return "";
    if (f.match == Match::AsPredicted) return fmt::format("As predicted: {}.", predicted_text(f.predicted));
    const Value& now = t.kind == Kind::NestedExit ? t.vmcs12_after[field] : t.vmcs02_after[field];
    return fmt::format("Predicted was {}; it is {}.", predicted_text(f.predicted), text(now));
}

std::string finding_text(const Transition& t, const Flow& flow, const Finding& finding) {
    using What = Finding::What;
    const FieldFlow& f = flow[finding.field];
    const std::string_view name = vmx::name_of(finding.field);
    const std::string access = access_text(t, f, flow.direction);
    switch (finding.what) {
        case What::WrittenAgainstRule:
            return fmt::format("{} of vmcs02 was written where the rule has no write: {}.", name, access);
        case What::NotWritten: return fmt::format("{} of vmcs02 was not written where the rule has a write.", name);
        case What::ChangedUnseen:
            return fmt::format("{} of vmcs02 is {}, was {}, and {}.", name, text(t.vmcs02_after[finding.field]),
                               text(t.vmcs02_before[finding.field]),
                               access.empty() || flow.direction == Direction::Exit
                                   ? "no VMWRITE of it was seen"
                                   : "was last written otherwise: " + access);
        case What::ValueDiffers: return fmt::format("{}: {}", name, prediction_text(t, flow, finding.field));
        case What::ReadAgainstRule:
            return fmt::format("{} of vmcs02 was read for vmcs12 where the rule leaves it for later: {}.", name,
                               access);
        case What::NotRead: return fmt::format("{} of vmcs02 was not read where the rule has a read.", name);
        case What::ChangedAgainstRule:
            return fmt::format("{} of vmcs12 changed from {} to {} where the rule leaves it alone.", name,
                               text(t.vmcs12_before[finding.field]), text(t.vmcs12_after[finding.field]));
    }
    return "";
}

}  // namespace vmxscope::nested
