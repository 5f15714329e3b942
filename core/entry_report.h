// The rules of VM-entry, and what became of them for one VMCS, as text, JSON and Markdown.
#pragma once

#include <nlohmann/json.hpp>

#include "vmx/entry_check.h"

namespace vmxscope::core {

/// Everything that a check was made of.
struct CheckedEntry {
    vmx::VmcsImage image;
    vmx::Capabilities capabilities;
    std::vector<vmx::MsrEntry> msrs;  // the VM-entry MSR-load area, where it was read
    bool msrs_read = false;

    vmx::EntryCheck check() const;
    std::string why_undecided(const vmx::EntryRule& rule) const;

  private:
    vmx::MsrArea area() const { return {msrs, std::nullopt}; }
};

/// The rule that the processor stops at with what it answers, every other that fails, and what could not be decided, by
/// reason. Ends with a newline.
std::string entry_check_text(const CheckedEntry& entry);
/// {"enters", "rules", "first", "failed": […], "undecided": [{"why", "rules": […]}, …]}; "enters" is null when nothing
/// fails and something is undecided, "first" when nothing fails.
nlohmann::ordered_json entry_check_json(const CheckedEntry& entry);

/// A rule a line: id, section, answer, title.
std::string entry_rules_text();
/// docs/entry-checks.md.
std::string entry_rules_markdown();

}  // namespace vmxscope::core
