// The PDPTR verdict: what KVM did with GUEST_PDPTR0-3 at a nested entry or exit, and what the values then are.
// Made twice, by rule (from the Context) and by evidence (from the VMREADs and VMWRITEs seen); both are kept.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nested/transition.h"

namespace vmxscope::nested {

enum class Did : std::uint8_t { Copied, CopiedUnused, FromMemory, FromUserspace, Skipped, Unknown };
enum class Is : std::uint8_t { Defined, Undefined, Unknown };
enum class Direction : std::uint8_t { Entry, Exit };

std::string_view name_of(Did d);  // "copied", "copied-unused", "from-memory", "from-userspace", "skipped", "unknown"
std::string_view name_of(Is is);  // "defined", "undefined", "unknown"
std::string_view name_of(Direction d);

/// Of the kinds that move fields between vmcs12 and vmcs02: nested-entry, nested-entry-failed, nested-exit.
std::optional<Direction> direction_of(Kind kind);

/// One condition behind the verdict, in KVM's order of evaluation.
struct Condition {
    std::string name;     // "nested_cpu_has_ept(vmcs12)"
    std::string value;    // "true", "0x800", "not read"
    std::optional<bool> held;  // did it hold in the direction of copying; empty = not known, or not evaluated
    std::string meaning;  // one sentence: what it decides
};

struct Verdict {
    Direction direction = Direction::Entry;
    Did by_rule = Did::Unknown;
    Did by_evidence = Did::Unknown;
    Did did = Did::Unknown;      // by evidence where there is any, else by rule
    std::string evidence_gap;    // why by_evidence is Unknown, one clause; "" otherwise
    std::string row;             // the row of the combination table, for those who look it up: "COPIED", "KEPT_VALID", …
    std::string reason;          // one sentence: why, naming the condition
    Is vmcs12 = Is::Unknown;     // for whoever reads GUEST_PDPTRn of vmcs12 (L1)
    Is vmcs02 = Is::Unknown;     // for whoever reads GUEST_PDPTRn of vmcs02
    std::optional<bool> used;    // entries: the processor loads its PDPTEs from vmcs02's fields
    bool alarm = false;          // undefined and used
    bool agree = true;           // false only when both are known and differ: a finding
    std::vector<Condition> conditions;
};

/// Empty for the kinds that do not move PDPTRs between vmcs12 and vmcs02 (l1-exit, l2-entry, …).
std::optional<Verdict> pdptr_verdict(const Transition& t);

}  // namespace vmxscope::nested
