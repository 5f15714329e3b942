// The checks that VM-entry makes (SDM Vol. 3C 27.2 to 27.4; chapter 26 in older editions), as a table of named rules.
//
// Left out is what neither a VMCS nor the capability MSRs tell: the processor's own mode at the VM-entry (27.1, the
// first items of 27.2.4), and what lies in memory behind a pointer (VTPR, the linked VMCS, PDPTEs that are not in the
// VMCS). Reserved bits that depend on CPUID count as reserved only where every processor reserves them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "vmx/capabilities.h"
#include "vmx/field.h"

namespace vmxscope::vmx {

/// What the processor answers to a VM-entry that breaks a rule (SDM 27.8, 31.4).
enum class Answer : std::uint8_t {
    VmFailInvalid,
    VmFailControls,     // VMfailValid, VM-instruction error 7
    VmFailHost,         // VMfailValid, VM-instruction error 8
    InvalidGuestState,  // VM-exit, reason 33; the qualification says more
    MsrLoading,         // VM-exit, reason 34; the qualification is the number of the entry, from 1
};

enum class Outcome : std::uint8_t {
    Passed,  // or the rule does not apply
    Failed,
    Undecided,  // something that it depends on is not known
};

class EntryContext;

struct EntryRule {
    std::string_view id;                   // stable: "guest.cr0.pg-needs-pe"
    std::string_view section;              // of SDM Vol. 3C: "27.3.1.1"
    std::string_view title;                // what must hold, a sentence without its full stop
    std::span<const Field> fields;         // what it looks at; the first is what it is about
    std::span<const std::uint64_t> masks;  // of each field, the bits it looks at; ~0: the whole
    Answer answer;
    std::uint8_t qualification;  // with InvalidGuestState: 0, 2 PDPTEs, 3 NMI injection, 4 link pointer
    /// 0: holds. Else the bits of fields[0] that are at fault, ~0: the whole; with MsrLoading the number of the entry.
    std::uint64_t (*fault)(const EntryContext&);
};

/// All rules in the order in which a processor checks: controls, host state, guest state, MSRs to load.
std::span<const EntryRule> entry_rules();
std::optional<std::size_t> entry_rule_by_id(std::string_view id);
inline constexpr std::size_t kMaxEntryRules = 384;

/// One entry of a VM-entry MSR-load area (SDM table 25-15).
struct MsrEntry {
    std::uint32_t index = 0, reserved = 0;
    std::uint64_t value = 0;
};

/// The VM-entry MSR-load area, as far as it was read, and what loading it depends on.
struct MsrArea {
    std::span<const MsrEntry> entries;
    std::optional<bool> x2apic_mode;  // of the processor's local APIC; empty: not known
};

struct EntryCheck {
    std::array<Outcome, kMaxEntryRules> outcomes{};  // by place in entry_rules()
    std::optional<std::size_t> msr_rule;             // the rule that stops the loading of MSRs, if any
    std::uint32_t msr_entry = 0;                     // and at which entry, from 1

    /// The rule that the processor stops at, if it checks in the order of the table.
    std::optional<std::size_t> first() const;
    std::size_t failed() const;
    std::size_t undecided() const;
    bool operator==(const EntryCheck&) const = default;
};

/// Tries every rule; allocates nothing. `area`: where the MSRs to load are known.
EntryCheck check_entry(const VmcsImage& image, const Capabilities& capabilities, const MsrArea* area = nullptr);

/// What is wrong, with the values: "CR0.PG needs CR0.PE: GUEST_CR0 is 0x80000030 (PG=1 PE=0)."
std::string explain(const EntryRule& rule, const VmcsImage& image, const Capabilities& capabilities);
/// What is missing to decide the rule: "GUEST_CR0 was not read"; "" when nothing is.
std::string why_undecided(const EntryRule& rule, const VmcsImage& image, const Capabilities& capabilities,
                          const MsrArea* area = nullptr);
/// "vmfail-controls".
std::string_view name_of(Answer answer);
/// "VMfailValid, VM-instruction error 7 (VM entry with invalid control fields)".
std::string describe(Answer answer, std::uint32_t qualification = 0);

}  // namespace vmxscope::vmx
