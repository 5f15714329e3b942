#include "core/entry_report.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

namespace vmxscope::core {
namespace {

using vmx::EntryCheck;
using vmx::EntryRule;
using vmx::Outcome;
using Json = nlohmann::ordered_json;

/// The number of the entry for the rule that stops the loading of MSRs.
std::uint32_t qualification_of(const EntryCheck& check, std::size_t rule) {
    return check.msr_rule == rule ? check.msr_entry : vmx::entry_rules()[rule].qualification;
}

/// The rules that fail, the one that the processor stops at first.
std::vector<std::size_t> failed_rules(const EntryCheck& check) {
    std::vector<std::size_t> failed;
    for (std::size_t i = 0; i < vmx::entry_rules().size(); ++i)
        if (check.outcomes[i] == Outcome::Failed) failed.push_back(i);
    if (const auto first = check.first()) {
        const auto place = std::find(failed.begin(), failed.end(), *first);
        std::rotate(failed.begin(), place, place + 1);
    }
    return failed;
}

/// By what is missing, the reason that leaves most rules open first.
std::vector<std::pair<std::string, std::vector<std::string>>> undecided_rules(const CheckedEntry& entry,
                                                                              const EntryCheck& check) {
    std::map<std::string, std::vector<std::string>> by_reason;
    for (std::size_t i = 0; i < vmx::entry_rules().size(); ++i) {
        const EntryRule& rule = vmx::entry_rules()[i];
        if (check.outcomes[i] == Outcome::Undecided) by_reason[entry.why_undecided(rule)].emplace_back(rule.id);
    }
    std::vector<std::pair<std::string, std::vector<std::string>>> sorted(by_reason.begin(), by_reason.end());
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto& a, const auto& b) { return a.second.size() > b.second.size(); });
    return sorted;
}

std::string rule_text(const CheckedEntry& entry, const EntryRule& rule) {
    return fmt::format("  {}  (SDM {})\n    {}\n", rule.id, rule.section,
                       explain(rule, entry.image, entry.capabilities));
}

Json rule_json(const CheckedEntry& entry, const EntryCheck& check, std::size_t i) {
    const EntryRule& rule = vmx::entry_rules()[i];
    Json fields = Json::array();
    for (const vmx::Field f : rule.fields) fields.push_back(name_of(f));
    return {{"id", rule.id},
            {"section", rule.section},
            {"answer", name_of(rule.answer)},
            {"qualification", qualification_of(check, i)},
            {"fields", std::move(fields)},
            {"text", explain(rule, entry.image, entry.capabilities)}};
}

/// What a reader knows the part of a rule's id before the dot by.
std::string_view area_of(const EntryRule& rule) {
    switch (rule.answer) {
        case vmx::Answer::VmFailInvalid:
        case vmx::Answer::VmFailControls: return "Controls";
        case vmx::Answer::VmFailHost: return "Host state";
        case vmx::Answer::InvalidGuestState: return "Guest state";
        case vmx::Answer::MsrLoading: return "MSRs to load";
    }
    return "?";
}

constexpr std::string_view kPreface =
    "# The checks of VM-entry\n"
    "\n"
    "What `vmxscopectl check` tries, in the order in which a processor does. Sections are those of the SDM's Vol. 3C "
    "with\n"
    "VM entries in chapter 27; in older editions it is chapter 26. This file is written by\n"
    "`vmxscopectl check --list --markdown`.\n"
    "\n"
    "A rule passes, fails, or is undecided: then a field or a capability MSR that it depends on is not known.\n"
    "\n"
    "Not tried, since neither a VMCS nor the capability MSRs tell: the mode that the processor is in at the VM-entry\n"
    "(27.1, and 27.2.4 as far as it compares IA32_EFER.LMA; the processor is taken to be outside system-management "
    "mode),\n"
    "the virtual-APIC page's VTPR (27.2.1.1), the VMCS that the link pointer leads to (27.3.1.5), PDPTEs that are in "
    "memory\n"
    "(27.3.1.6), and reserved bits that only some processors have, by CPUID.\n";

}  // namespace

EntryCheck CheckedEntry::check() const {
    const vmx::MsrArea read = area();
    return check_entry(image, capabilities, msrs_read ? &read : nullptr);
}

std::string CheckedEntry::why_undecided(const EntryRule& rule) const {
    const vmx::MsrArea read = area();
    return vmx::why_undecided(rule, image, capabilities, msrs_read ? &read : nullptr);
}

std::string entry_check_text(const CheckedEntry& entry) {
    const EntryCheck check = entry.check();
    const auto failed = failed_rules(check);
    const auto undecided = undecided_rules(entry, check);
    std::string text;
    if (failed.empty()) {
        text = undecided.empty() ? "The VM-entry succeeds: every rule holds.\n"
                                 : "No rule is broken, as far as is known.\n";
    } else {
        const EntryRule& first = vmx::entry_rules()[failed[0]];
        text = fmt::format("The VM-entry fails: {}\n", describe(first.answer, qualification_of(check, failed[0])));
        text += rule_text(entry, first);
        if (failed.size() > 1)
            text +=
                fmt::format("{} more {} broken:\n", failed.size() - 1, failed.size() == 2 ? "rule is" : "rules are");
        for (std::size_t i = 1; i < failed.size(); ++i) text += rule_text(entry, vmx::entry_rules()[failed[i]]);
    }
    text += fmt::format("{} rules: {} broken, {} undecided.\n", vmx::entry_rules().size(), failed.size(),
                        check.undecided());
    for (const auto& [why, rules] : undecided) text += fmt::format("  {:>3}  {}\n", rules.size(), why);
    return text;
}

nlohmann::ordered_json entry_check_json(const CheckedEntry& entry) {
    const EntryCheck check = entry.check();
    Json failed = Json::array(), undecided = Json::array();
    for (const std::size_t i : failed_rules(check)) failed.push_back(rule_json(entry, check, i));
    for (const auto& [why, rules] : undecided_rules(entry, check))
        undecided.push_back({{"why", why}, {"rules", rules}});
    Json json;
    json["enters"] = !failed.empty() ? Json(false) : undecided.empty() ? Json(true) : Json();
    json["rules"] = vmx::entry_rules().size();
    json["first"] = failed.empty() ? Json() : failed[0];
    json["failed"] = std::move(failed);
    json["undecided"] = std::move(undecided);
    return json;
}

std::string entry_rules_text() {
    std::string text;
    for (const EntryRule& rule : vmx::entry_rules())
        text += fmt::format("{:<48} {:<15} {:<20} {}\n", rule.id, rule.section, name_of(rule.answer), rule.title);
    return text;
}

std::string entry_rules_markdown() {
    std::string text(kPreface);
    std::string_view area;
    for (const EntryRule& rule : vmx::entry_rules()) {
        if (area != area_of(rule)) {
            area = area_of(rule);
            const bool one_answer =
                rule.answer == vmx::Answer::VmFailControls || rule.answer == vmx::Answer::VmFailHost;
            text += fmt::format("\n## {}\n\n{}\n\n| rule | SDM | what holds |\n|---|---|---|\n", area,
                                one_answer ? describe(rule.answer) + "."
                                : rule.answer == vmx::Answer::MsrLoading
                                    ? "VM-exit, reason 34 (VM-entry failure: MSR loading); the qualification is the "
                                      "number of the entry."
                                    : "VM-exit, reason 33 (VM-entry failure: invalid guest state), qualification 0 "
                                      "unless the table says otherwise.");
        }
        const std::string qualification =
            rule.qualification ? fmt::format(" (qualification {})", rule.qualification) : "";
        text += fmt::format("| `{}` | {} | {}{} |\n", rule.id, rule.section, rule.title, qualification);
    }
    return text;
}

}  // namespace vmxscope::core
