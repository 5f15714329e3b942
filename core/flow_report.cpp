#include "core/flow_report.h"

#include <fmt/format.h>

#include "nested/badges.h"
#include "nested/changes.h"
#include "nested/flow_text.h"
#include "nested/routing.h"
#include "vmx/bits.h"

namespace vmxscope::core {
namespace {

using nested::Evidence;
using nested::FieldFlow;
using nested::Flow;
using nested::Origin;
using nested::Transition;
using vmx::Field;
using vmx::Value;

std::string bold(Style style, std::string_view text) {
    return style == Style::Plain ? std::string(text) : fmt::format("\x1b[1m{}\x1b[0m", text);
}
std::string alarm(Style style, std::string_view text) {
    return style == Style::Plain ? std::string(text) : fmt::format("\x1b[1;31m{}\x1b[0m", text);
}

/// "copied", "the CPU saved it, 12"
std::string origin_cell(Origin o, std::uint64_t since, std::uint64_t now) {
    if (since == 0 || since == now) return std::string(name_of(o));
    return fmt::format("{}, {}", name_of(o), since);
}

std::string_view match_mark(nested::Match m) {
    switch (m) {
        case nested::Match::AsPredicted: return "ok";
        case nested::Match::Differs: return "DIFFERS";
        case nested::Match::NotPredictable: break;
    }
    return "-";
}

std::string hex(std::uint64_t n) {
    return fmt::format("{:#x}", n);
}

bool is_of(const Evidence& e, Field f) {
    return (e.encoding & ~1u) == static_cast<unsigned>(f);
}

Json maybe(std::optional<bool> b) {
    return b ? Json(*b) : Json(nullptr);
}

Json parts_json(const Transition& t, Field field) {
    Json list = Json::array();
    for (const nested::Part& p : parts_of(nested::flow_rules()[*vmx::index_of(field)], nested::Situation(t), t))
        if (!p.name.empty()) list.push_back({{"name", p.name}, {"value", value_text(p.value)}});
    return list;
}

}  // namespace

std::string flow_summary(const Transition& t, const Flow& flow, Style style) {
    std::string text;
    if (const auto routing = nested::routing_of(t))
        text += fmt::format("  {}: {}\n", name_of(routing->who), routing->by);
    if (!t.kvm_reason.empty()) text += fmt::format("  KVM's reason: {}\n", t.kvm_reason);
    std::string titles;
    const auto badges = nested::badges_of(t, flow);
    const auto all = nested::all_badges();
    for (std::size_t i = 0; i < all.size(); ++i)
        if (badges[i]) titles += fmt::format("{}{}", titles.empty() ? "" : " | ", all[i].title);
    if (!titles.empty()) text += fmt::format("  [{}]\n", titles);
    for (const nested::Finding& f : flow.findings)
        text += fmt::format("  {} {}\n", alarm(style, "FINDING"), finding_text(t, flow, f));
    return text;
}

Result<std::string> flow_rows(const Transition& t, const Flow& flow, std::string_view pattern, Style style) {
    const auto fields = matching_fields(pattern);
    if (!fields) return tl::unexpected(fields.error());
    std::string text = fmt::format("  {:<32} {:<18} {:<34} {:<18} {:<26} {}\n", "field", "vmcs12", "came from",
                                   "vmcs02", "came from", "predicted");
    for (const Field f : *fields) {
        const FieldFlow& row = flow[f];
        const Value &in12 = t.vmcs12_after[f], &in02 = t.vmcs02_after[f];
        const std::string line =
            fmt::format("{} {:<32} {:<18} {:<34} {:<18} {:<26} {}", nested::differs(in12, in02) ? "*" : " ",
                        vmx::name_of(f), value_text(in12), origin_cell(row.vmcs12, row.vmcs12_since, t.seq),
                        value_text(in02), origin_cell(row.vmcs02, row.vmcs02_since, t.seq), match_mark(row.match));
        text += row.match == nested::Match::Differs ? alarm(style, line)
                : nested::differs(in12, in02)       ? bold(style, line)
                                                    : line;
        text += "\n";
    }
    return text + "  * = they differ; a number after the words = the transition since which\n";
}

std::string field_report(const Transition& t, const Flow& flow, Field field) {
    const Value &in12 = t.vmcs12_after[field], &in02 = t.vmcs02_after[field];
    const auto says = [&](const Value& v) { return v.known() ? vmx::describe(field, v.bits) : std::string(); };
    std::string text =
        fmt::format("{} ({}, encoding {:#06x})\n", vmx::name_of(field),
                    vmx::name_of(vmx::all_fields()[*vmx::index_of(field)].group), static_cast<unsigned>(field));
    text += fmt::format("  vmcs12  {:<20} {}\n  vmcs02  {:<20} {}\n", value_text(in12), says(in12), value_text(in02),
                        says(in02));
    if (const Value& in01 = t.vmcs01[field]; in01.known())
        text += fmt::format("  vmcs01  {:<20} {}\n", value_text(in01), says(in01));
    text += "  " + nested::rule_text(t, flow, field) + "\n";
    text += "  " + nested::provenance_text(t, flow, field) + "\n";
    if (const std::string p = nested::prediction_text(t, flow, field); !p.empty()) text += "  " + p + "\n";
    if (t.kind == nested::Kind::NestedEntry)
        for (const nested::Part& p : parts_of(nested::flow_rules()[*vmx::index_of(field)], nested::Situation(t), t))
            if (!p.name.empty()) text += fmt::format("    {:<50} {}\n", p.name, value_text(p.value));
    for (const Evidence& e : t.evidence)
        if (is_of(e, field))
            text += fmt::format("  seen   {:<8} {}  {} of {}\n", e.op == Evidence::Op::Vmread ? "vmread" : "vmwrite",
                                value_text(e.value), e.at, e.vmcs02 ? "vmcs02" : "vmcs01");
    return text;
}

Json flow_to_json(const Transition& t, const Flow& flow, Field field) {
    const FieldFlow& f = flow[field];
    const nested::FieldRule& rule = nested::flow_rules()[*vmx::index_of(field)];
    const bool exit = t.kind == nested::Kind::NestedExit;
    return {{"rule", exit ? name_of(rule.exit) : name_of(rule.entry)},
            {"condition", exit ? condition_of(rule.exit_gate) : condition_of(rule.entry_gate)},
            {"by_rule", maybe(f.by_rule)},
            {"seen", maybe(f.seen)},
            {"vmcs12_from", name_of(f.vmcs12)},
            {"vmcs12_since", f.vmcs12_since},
            {"vmcs02_from", name_of(f.vmcs02)},
            {"vmcs02_since", f.vmcs02_since},
            {"match", name_of(f.match)},
            {"predicted", f.predicted.known() ? Json(hex(f.predicted.bits)) : Json(nullptr)},
            {"predicted_mask", f.predicted.known() ? Json(hex(f.predicted.mask)) : Json(nullptr)},
            {"parts", t.kind == nested::Kind::NestedEntry ? parts_json(t, field) : Json::array()}};
}

std::string finding_report_json(const Transition& t, const nested::Finding& finding, const TargetInfo& target) {
    const Flow flow = nested::flow_of(t);
    Json fields = Json::array();
    for (const vmx::FieldInfo& info : vmx::all_fields()) {
        Json row = field_to_json(t, info.field);
        row["vmcs01"] = value_text(t.vmcs01[info.field]);
        row["vmcs12_before"] = value_text(t.vmcs12_before[info.field]);
        row["vmcs02_before"] = value_text(t.vmcs02_before[info.field]);
        row["flow"] = flow_to_json(t, flow, info.field);
        fields.push_back(std::move(row));
    }
    const Json report = {{"finding", name_of(finding.what)},
                         {"field", vmx::name_of(finding.field)},
                         {"text", finding_text(t, flow, finding)},
                         {"rule", nested::rule_text(t, flow, finding.field)},
                         {"provenance", nested::provenance_text(t, flow, finding.field)},
                         {"target",
                          {{"name", target.name},
                           {"kernel", target.kernel},
                           {"cpu", target.cpu},
                           {"agent", target.agent},
                           {"notes", target.notes}}},
                         {"transition", to_json(t)},
                         {"fields", std::move(fields)}};
    return report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace vmxscope::core
