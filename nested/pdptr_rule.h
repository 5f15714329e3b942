// The rule half of the PDPTR verdict: what KVM's code does with GUEST_PDPTR0-3, from the facts it decides from.
// Pure logic over truth values of which some may be unknown; knows neither images nor evidence.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "nested/pdptr.h"

namespace vmxscope::nested {

/// The facts that KVM's code decides from (in brackets their letters in the literature and in the tests).
enum Fact : unsigned {
    kL0Ept,          // E: enable_ept
    kNestedEpt,      // N: nested_cpu_has_ept(vmcs12)
    kPae,            // P: is_pae_paging() of L2's mode
    kDirty,          // D: dirty_vmcs12
    kEvmcs,          // V: an enlightened VMCS is in use
    kGrp1Clean,      // C: its GUEST_GRP1 is marked clean
    kFromVmentry,    // F: VMLAUNCH or VMRESUME
    kFromUserspace,  // U: pdptrs_from_userspace
    kLastExitPae,    // the previous hardware exit of this vmcs02 was in PAE paging
    kVmxFail,        // the hardware entry itself VMfailed (exits only)
    kFactCount
};

/// KVM's or the processor's name of a fact, for sentences: "enable_ept".
std::string_view name_of(Fact fact);

/// The facts as far as they are known.
struct Facts {
    std::array<std::optional<bool>, kFactCount> of{};
    std::optional<bool> operator[](Fact f) const { return of[f]; }
    bool is(Fact f) const { return of[f] == true; }
    bool is_not(Fact f) const { return of[f] == false; }
};

Facts facts_of(const Context& context);

/// The rows of the combination tables: what KVM's code does with one complete set of facts.
enum class Row : std::uint8_t {
    SkipL0NoEpt,         // entry: L0 without EPT
    SkipL0NoEptShadow,   // entry: the same, and L1's memory feeds L0's shadow paging
    CopiedUnused,        // entry: early copy, L2 not in PAE paging
    StaleUnused,         // entry: no copy, L2 not in PAE paging
    FromUserspace,       // entry: KVM_SET_SREGS2 gave the PDPTEs
    OverriddenByMemory,  // entry: early copy, then the PDPTEs from L1's memory
    LoadedFromMemory,    // entry: the PDPTEs from L1's memory
    Copied,              // entry: early and late copy
    KeptValid,           // entry: no copy; vmcs02 holds what the processor saved
    KeptUndefined,       // entry: no copy; vmcs02 holds undefined values, and the processor uses them
    ExitNoSync,          // exit: VMfail, nothing is saved
    ExitSkipL0NoEpt,
    ExitSkipNoNestedEpt,
    ExitSkipNotPae,
    ExitCopied,
    EntryFailed,  // a nested entry that KVM refused
    Impossible,   // facts that contradict each other
};
std::string_view name_of(Row row);  // "KEPT_VALID"
Did did_of(Row row);

/// What the four fields then are.
struct State {
    Is vmcs12 = Is::Unknown;
    Is vmcs02 = Is::Unknown;
    std::optional<bool> used;  // entries only
};

/// The row that all completions of the unknown facts share; empty when they differ.
std::optional<Row> row_by_rule(Direction direction, const Facts& facts);
/// What all completions of the unknown facts agree that KVM does; Unknown when they differ.
Did did_by_rule(Direction direction, const Facts& facts);
/// Whether the answer of did_by_rule could change with `fact`.
bool rule_depends_on(Direction direction, const Facts& facts, Fact fact);

/// What the fields are after KVM did `did`. Entry: vmcs12 is what L1 would find were L2 to exit at once (SDM 28.3.4:
/// undefined without nested EPT or outside PAE paging), vmcs02 what the processor finds at the VM entry; a copy of
/// undefined values is undefined. Exit: vmcs12 for L1, vmcs02 for L0.
State state_after(Direction direction, Did did, const Facts& facts);

}  // namespace vmxscope::nested
