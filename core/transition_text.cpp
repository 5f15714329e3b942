#include "core/transition_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <regex>

#include "core/flow_report.h"
#include "nested/changes.h"
#include "vmx/bits.h"
#include "vmx/exit_reason.h"
#include "vmx/pdpte.h"

namespace vmxscope::core {
namespace {

using nested::Did;
using nested::Is;
using nested::Transition;
using nested::Verdict;
using vmx::Field;
using vmx::kPdptrFields;
using vmx::Value;

constexpr std::size_t kMaxPattern = 200;  // characters; no field name is longer than 40

enum class Ink : std::uint8_t { Bold, Good, Quiet, Alarm };

std::string paint(Style style, Ink ink, std::string_view text) {
    if (style == Style::Plain) return std::string(text);
    constexpr std::string_view kCodes[] = {"1", "36", "2", "1;31"};
    return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[static_cast<std::size_t>(ink)], text);
}

/// Control characters of foreign texts (notes, symbols) must not reach the terminal.
std::string printable(std::string_view text) {
    std::string clean;
    for (const char c : text) clean += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    return clean;
}

std::string upper(std::string_view text) {
    std::string out;
    for (const char c : text) out += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    return out;
}

Ink ink_of(const Verdict& v) {
    if (v.alarm || !v.agree) return Ink::Alarm;
    return v.did == Did::Skipped || v.did == Did::Unknown ? Ink::Quiet : Ink::Good;
}

std::string made_by(const Verdict& v) {
    if (!v.agree)
        return fmt::format("by rule {}, by evidence {}: they DISAGREE", name_of(v.by_rule), name_of(v.by_evidence));
    if (v.by_rule == Did::Unknown && v.by_evidence == Did::Unknown)
        return fmt::format("unknown by rule and by evidence: {}", v.evidence_gap);
    if (v.by_evidence == Did::Unknown) return fmt::format("by rule; evidence: {}", v.evidence_gap);
    return v.by_rule == Did::Unknown ? "by evidence; the rule cannot tell" : "rule and evidence agree";
}

std::string state_line(const Verdict& v) {
    std::string used;
    if (v.used) used = *v.used ? ", used by the processor" : ", not used by the processor";
    return fmt::format("vmcs12 {}; vmcs02 {}{}{}", name_of(v.vmcs12), name_of(v.vmcs02), used,
                       v.alarm ? ": ALARM, undefined values are in use" : "");
}

std::string condition_line(const nested::Condition& c, Style style) {
    const std::string_view mark = !c.held ? "  - " : *c.held ? " yes" : " no ";
    const std::string line = fmt::format("  {}  {:<46} {}", mark, c.name, c.value);
    return (c.held ? line : paint(style, Ink::Quiet, line)) + "\n";
}

std::string cell(const Value& v, Is is) {
    return value_text(v) + (is == Is::Undefined && v.known() ? " undefined" : "");
}

/// Four rows: vmcs12 | vmcs02 | cached, and what the entry in use says.
std::string pdptr_table(const Transition& t, Is vmcs12, Is vmcs02, Style style) {
    std::string text = fmt::format("  PDPTR  {:<30} {:<30} {:<20} vmcs02 decoded\n", "vmcs12", "vmcs02", "cached");
    for (std::size_t i = 0; i < kPdptrFields.size(); ++i) {
        const Value& in02 = t.vmcs02_after[kPdptrFields[i]];
        const std::string left = fmt::format("{:<30}", cell(t.vmcs12_after[kPdptrFields[i]], vmcs12));
        const std::string right = fmt::format("{:<30}", cell(in02, vmcs02));
        const std::string decoded = in02.known() && vmcs02 != Is::Undefined ? vmx::describe_pdpte(in02.bits) : "";
        text += fmt::format("    {}    {} {} {:<20} {}\n", i,
                            paint(style, vmcs12 == Is::Undefined ? Ink::Quiet : Ink::Bold, left),
                            paint(style, vmcs02 == Is::Undefined ? Ink::Quiet : Ink::Bold, right),
                            value_text(t.cached_pdptrs[i]), decoded);
    }
    return text;
}

std::string evidence_lines(const Transition& t) {
    std::string text;
    for (const nested::Evidence& e : t.evidence)
        if (std::find(kPdptrFields.begin(), kPdptrFields.end(), static_cast<Field>(e.encoding)) != kPdptrFields.end())
        text +=
            fmt::format("  seen   {:<8} {} {}  at {}\n", e.op == nested::Evidence::Op::Vmread ? "vmread" : "vmwrite",
                        vmx::name_of(static_cast<Field>(e.encoding)), value_text(e.value), printable(e.at));
    return text;
}

/// Where the level that leaves or is entered stands, and what the exit was about; "" when nothing of it was read.
std::string where_line(const Transition& t) {
    std::string text;
    const auto add = [&text](std::string_view name, const Value& v) {
        if (v.known()) text += fmt::format("  {} {}", name, value_text(v));
    };
    add("RIP", t.regs[nested::RIP]);
    add("RSP", t.regs[nested::RSP]);
    add("RAX", t.regs[nested::RAX]);
    add("qualification", t.exit.qualification);
    if (t.exit.reason.known() &&
        vmx::basic_exit_reason(static_cast<std::uint32_t>(t.exit.reason.bits)) == vmx::kExitEptViolation)
        add("guest-physical", t.exit.guest_physical);
    return text.empty() ? text : text + "\n";
}

/// "0x1 -> 0x2", or just the value now.
std::string before_after(const Value& before, const Value& after, bool changed) {
    return changed ? value_text(before) + " -> " + value_text(after) : value_text(after);
}

}  // namespace

std::string value_text(const Value& v) {
    switch (v.state) {
        case vmx::Known::Yes:
            return fmt::format("{:#x}", v.bits);
        case vmx::Known::Unsupported:
            return "unsupported";
        case vmx::Known::Faulted:
            return "faulted";
        case vmx::Known::NotRead:
            break;
    }
    return "not-read";
}

std::string headline(const Transition& t) {
    std::string line = fmt::format("#{} vCPU {}  {}  {}", t.seq, t.vcpu, name_of(t.kind), levels_of(t.kind));
    if (t.exit.reason.known()) line += "  " + vmx::describe_exit_reason(static_cast<std::uint32_t>(t.exit.reason.bits));
    if (const auto v = nested::pdptr_verdict(t)) line += fmt::format("  PDPTRs {}", name_of(v->did));
    return line;
}

std::string pdptr_text(const Transition& t, Style style) {
    const auto v = nested::pdptr_verdict(t);
    if (!v) {
        return fmt::format("  PDPTRs do not move at an {}; they do at a nested entry or exit.\n{}", name_of(t.kind),
                           pdptr_table(t, Is::Unknown, Is::Unknown, style));
    }
    std::string text = fmt::format("  PDPTRs {} at the {}   ({})\n", paint(style, ink_of(*v), upper(name_of(v->did))),
                                   name_of(v->direction), made_by(*v));
    text += fmt::format("  {}\n", v->reason);
    text += "  " + paint(style, v->alarm ? Ink::Alarm : Ink::Bold, state_line(*v)) + "\n";
    text += pdptr_table(t, v->vmcs12, v->vmcs02, style);
    for (const nested::Condition& c : v->conditions) text += condition_line(c, style);
    return text + evidence_lines(t);
}

std::string changes_text(const Transition& t, Style style) {
    const auto changes = nested::changed_fields(t);
    if (changes.empty()) return "  no field is known to have changed\n";
    std::string text = fmt::format("  {:<32} {:<42} {}\n", "changed", "vmcs12", "vmcs02");
    for (const nested::Change& c : changes)
        text += fmt::format("  {} {:<42} {}\n", paint(style, Ink::Bold, fmt::format("{:<32}", vmx::name_of(c.field))),
                            before_after(t.vmcs12_before[c.field], t.vmcs12_after[c.field], c.in_vmcs12),
                            before_after(t.vmcs02_before[c.field], t.vmcs02_after[c.field], c.in_vmcs02));
    return text;
}

Result<std::vector<Field>> matching_fields(std::string_view pattern) {
    constexpr std::string_view kHow = "A pattern is a regular expression for field names: pdptr, guest_cr[034], ^HOST.";
    if (pattern.size() > kMaxPattern)
        return fail(fmt::format("The pattern is longer than {} characters.", kMaxPattern), std::string(kHow));
    std::vector<Field> fields;
    try {
        // libstdc++'s __polynomial: the pattern may be an enemy's, and backtracking would give it the processor.
        const std::regex regex(pattern.begin(), pattern.end(),
                               std::regex::ECMAScript | std::regex::icase | std::regex_constants::__polynomial);
        for (const vmx::FieldInfo& f : vmx::all_fields())
            if (std::regex_search(f.name.begin(), f.name.end(), regex)) fields.push_back(f.field);
    } catch (const std::regex_error&) {
        return fail(fmt::format("'{}' is not a regular expression.", printable(pattern)), std::string(kHow));
    }
    if (fields.empty()) return fail(fmt::format("No VMCS field matches '{}'.", printable(pattern)), std::string(kHow));
    return fields;
}

Result<std::string> fields_text(const Transition& t, std::string_view pattern, Style style) {
    const auto fields = matching_fields(pattern);
    if (!fields) return tl::unexpected(fields.error());
    std::string text = fmt::format("  {:<34} {:<20} {:<20}\n", "field", "vmcs12", "vmcs02");
    for (const Field f : *fields) {
        const Value &in12 = t.vmcs12_after[f], &in02 = t.vmcs02_after[f];
        const bool differ = nested::differs(in12, in02);
        const std::string line = fmt::format("{} {:<32} {:<20} {:<20}", differ ? "*" : " ", vmx::name_of(f),
                                             value_text(in12), value_text(in02));
        const std::string says = in02.known()   ? vmx::describe(f, in02.bits)
                                 : in12.known() ? vmx::describe(f, in12.bits)
                                                : "";
        text += fmt::format(" {} {}\n", differ ? paint(style, Ink::Bold, line) : line, says);
    }
    return text + "  * = they differ; the words are of vmcs02's value where there is one\n";
}

std::string transition_text(const Transition& t, Style style) {
    std::string text = paint(style, Ink::Bold, headline(t)) + "\n" + where_line(t) + flow_summary(t, nested::flow_of(t), style);
    const bool nested_operation = nested::pdptr_verdict(t).has_value();
    if (nested_operation) text += pdptr_text(t, style);
    // A crossing with L0 changes neither VMCS by itself: that it did not is not worth a line.
    if (nested_operation || !nested::changed_fields(t).empty()) text += changes_text(t, style);
    if (t.lost_before) text += fmt::format("  {} records were lost just before this one\n", t.lost_before);
    for (const std::string& note : t.notes) text += fmt::format("  note: {}\n", printable(note));
    return text;
}

}  // namespace vmxscope::core
