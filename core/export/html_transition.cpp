#include "core/export/html_transition.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "core/export/text.h"
#include "core/flow_report.h"
#include "core/transition_text.h"
#include "nested/changes.h"
#include "nested/pdptr.h"
#include "vmx/bits.h"
#include "vmx/pdpte.h"

namespace vmxscope::core::exporting::html {
namespace {

using nested::Is;
using nested::Transition;
using nested::Verdict;
using vmx::Field;
using vmx::Value;

constexpr std::string_view kTableHead =
    "<tr><th rowspan=\"2\" scope=\"col\">field</th><th colspan=\"2\" scope=\"colgroup\">vmcs12</th>"
    "<th colspan=\"2\" scope=\"colgroup\">vmcs02</th>{}</tr>"
    "<tr><th>before</th><th>after</th><th>before</th><th>after</th></tr>\n";

bool is_pdptr(Field f) {
    return std::find(vmx::kPdptrFields.begin(), vmx::kPdptrFields.end(), f) != vmx::kPdptrFields.end();
}

/// One value after the transition; `worth`: of a PDPTR.
std::string after_cell(const Value& before, const Value& after, Is worth) {
    const bool undefined = worth == Is::Undefined && after.known();
    const std::string_view css = undefined                        ? " class=\"undefined\""
                                 : nested::differs(before, after) ? " class=\"changed\""
                                 : after.known()                  ? ""
                                                                  : " class=\"unknown\"";
    return fmt::format("<td{}>{}{}</td>", css, value_text(after), undefined ? " undefined" : "");
}

std::string before_cell(const Value& v) {
    return fmt::format("<td{}>{}</td>", v.known() ? "" : " class=\"unknown\"", value_text(v));
}

/// Before and after; as one where nothing changed, which is most of a report.
std::string cells(const Value& before, const Value& after, Is worth) {
    if (before == after && !(worth == Is::Undefined && after.known()))
        return fmt::format("<td colspan=\"2\"{}>{}</td>", after.known() ? "" : " class=\"unknown\"", value_text(after));
    return before_cell(before) + after_cell(before, after, worth);
}

std::string field_row(const Transition& t, const std::optional<Verdict>& v, Field f, bool in_words) {
    const bool judged = v && is_pdptr(f);
    const Value &in12 = t.vmcs12_after[f], &in02 = t.vmcs02_after[f];
    std::string row = fmt::format("<tr><th scope=\"row\">{}</th>", vmx::name_of(f));
    row += cells(t.vmcs12_before[f], in12, judged ? v->vmcs12 : Is::Unknown);
    row += cells(t.vmcs02_before[f], in02, judged ? v->vmcs02 : Is::Unknown);
    if (in_words) {
        const bool undefined = judged && v->vmcs02 == Is::Undefined;
        const Value& said = in02.known() ? in02 : in12;
        row += fmt::format("<td class=\"says\">{}</td>",
                           said.known() && !undefined ? escaped(vmx::describe(f, said.bits)) : "");
    }
    return row + "</tr>\n";
}

std::string changes_table(const Transition& t, const std::optional<Verdict>& v) {
    std::set<std::size_t> shown;  // in the order of all_fields()
    for (const nested::Change& c : nested::changed_fields(t)) shown.insert(*vmx::index_of(c.field));
    if (v)
        for (const Field f : vmx::kPdptrFields) shown.insert(*vmx::index_of(f));
    if (shown.empty()) return "<p>No field is known to have changed.</p>\n";
    std::string table = "<table class=\"fields\">\n" +
                        fmt::format(fmt::runtime(kTableHead), "<th rowspan=\"2\" scope=\"col\">in words</th>");
    for (const std::size_t i : shown) table += field_row(t, v, vmx::all_fields()[i].field, true);
    return table + "</table>\n";
}

std::string all_fields_table(const Transition& t, const std::optional<Verdict>& v) {
    std::string rows;
    std::size_t known = 0;
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) {
        if (!t.vmcs12_before.at_index(i).known() && !t.vmcs12_after.at_index(i).known() &&
            !t.vmcs02_before.at_index(i).known() && !t.vmcs02_after.at_index(i).known())
            continue;
        rows += field_row(t, v, vmx::all_fields()[i].field, false);
        ++known;
    }
    if (known == 0) return "<p>No field was read.</p>\n";
    const std::string rest =
        known < vmx::kFieldCount ? fmt::format("; of {} no value is known", vmx::kFieldCount - known) : "";
    return fmt::format("<details><summary>All fields ({}{})</summary><table class=\"fields\">\n", known, rest) +
           fmt::format(fmt::runtime(kTableHead), "") + rows + "</table></details>\n";
}

std::string verdict_html(const Verdict& v) {
    std::string html =
        fmt::format("<p class=\"verdict{}\">PDPTRs <strong>{}</strong> at the {} ({}). {}</p>\n",
                    v.alarm ? " alarm" : "", name_of(v.did), name_of(v.direction), escaped(v.row), escaped(v.reason));
    std::string used;
    if (v.used) used = *v.used ? ", used by the processor" : ", not used by the processor";
    html +=
        fmt::format("<p>Those of vmcs12 are {}, those of vmcs02 {}{}.{}</p>\n", name_of(v.vmcs12), name_of(v.vmcs02),
                    used, v.alarm ? " <strong class=\"alarm\">Alarm: undefined values are in use.</strong>" : "");
    if (!v.agree)
        html += fmt::format("<p class=\"alarm\">By rule {}, by evidence {}: they disagree.</p>\n", name_of(v.by_rule),
                            name_of(v.by_evidence));
    else if (!v.evidence_gap.empty())
        html += fmt::format("<p>By rule; evidence: {}.</p>\n", escaped(v.evidence_gap));
    html += "<ul>\n";
    for (const nested::Condition& c : v.conditions)
        html += fmt::format("<li>{}: {} is {}. {}</li>\n",
                            !c.held   ? "open"
                            : *c.held ? "yes"
                                      : "no",
                            escaped(c.name), escaped(c.value), escaped(c.meaning));
    return html + "</ul>\n";
}

}  // namespace

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : clean(text)) {
        switch (c) {
            case '&': out += "&amp;"; break;
            case '<': out += "&lt;"; break;
            case '>': out += "&gt;"; break;
            case '"': out += "&quot;"; break;
            case '\'': out += "&#39;"; break;
            default: out += c;
        }
    }
    return out;
}

std::string_view concern(const Transition& t) {
    if (const auto v = nested::pdptr_verdict(t)) {
        if (v->alarm) return "alarm";
        if (!v->agree || !nested::flow_of(t).findings.empty()) return "finding";
    }
    return t.lost_before > 0 ? "lost" : "";
}

std::string details(const Transition& t) {
    const auto v = nested::pdptr_verdict(t);
    std::string html = fmt::format("<details><summary>{}</summary>\n", escaped(headline(t)));
    if (v) html += verdict_html(*v);
    if (!t.kvm_reason.empty()) html += fmt::format("<p>KVM refused it: {}</p>\n", escaped(t.kvm_reason));
    if (const std::string flow = flow_summary(t, nested::flow_of(t)); !flow.empty())
        html += fmt::format("<pre>{}</pre>\n", escaped(flow));
    html += changes_table(t, v);
    if (t.lost_before > 0)
        html += fmt::format("<p class=\"lost\">{} records were lost just before this one.</p>\n", t.lost_before);
    for (const std::string& note : t.notes) html += fmt::format("<p>Note: {}</p>\n", escaped(note));
    return html + all_fields_table(t, v) + "</details>\n";
}

}  // namespace vmxscope::core::exporting::html
