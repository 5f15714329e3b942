// How each VMCS field flows between vmcs12 and vmcs02: the table (nested/flow.def; this header is its only reader), and
// whether a field's rule applies in a given transition. Pure logic over truth values of which some may be unknown.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "nested/pdptr.h"
#include "nested/transition.h"

namespace vmxscope::nested {

/// How a field of vmcs12 reaches vmcs02 at a nested entry.
enum class EntryClass : std::uint8_t {
    Copy,         // verbatim, at every entry
    Rare,         // verbatim, but only when vmcs12 is dirty (prepare_vmcs02_rare)
    RareLate,     // the PDPTRs: also copied late in prepare_vmcs02, or from memory (nested/pdptr.h)
    Conditional,  // on a control of vmcs12, or on nested_run_pending
    Merged,       // computed from vmcs12 and what L0 wants
    Translated,   // a guest-physical address, made L0's
    L0,           // L0 decides; vmcs12's value is at most looked at
    Emulated,     // never in vmcs02: L0 does in software what it asks for
    Host,         // vmcs12's host state: unused until L2 exits; vmcs02's is L0's own
    None,         // exit information
    OnlyL0,       // struct vmcs12 has no such field
};
/// How it comes back at a nested exit.
enum class ExitClass : std::uint8_t {
    Always,          // from vmcs02, at every exit
    Lazy,            // from vmcs02, but only once L1 looks (sync_vmcs02_to_vmcs12_rare)
    Conditional,     // on a control
    WrittenThrough,  // written to vmcs12 when L2's WRMSR is handled, not at the exit
    Synthesised,     // L0 makes it up: exit information
    HostLoad,        // becomes L1's state in vmcs01; vmcs12 keeps it
    Emulated,        // changed by emulation while L2 runs, not at the exit
    Never,
    OnlyL0,
};
enum class Shadowed : std::uint8_t { No, ReadOnly, ReadWrite };  // vmcs_shadow_fields.h
/// Clean fields of an enlightened VMCS: the enumerator's value is the bit of hv_clean_fields (Hyper-V TLFS).
enum class EvmcsGroup : std::uint8_t {
    IoBitmap,
    MsrBitmap,
    ControlGrp2,
    ControlGrp1,
    ControlProc,
    ControlEvent,
    ControlEntry,
    ControlExcpn,
    Crdr,
    ControlXlat,
    GuestBasic,
    GuestGrp1,
    GuestGrp2,
    HostPointer,
    HostGrp1,
    Always,  // in the enlightened VMCS, and read at every entry
    None,    // not in the enlightened VMCS
};

/// When the entry rule writes vmcs02's field.
enum class EntryGate : std::uint8_t {
    Always,
    Never,
    Dirty,            // dirty_vmcs12, or with an enlightened VMCS always; class Rare also needs its group not clean
    DirtyApicv,       // and L0 has APICv (cpu_has_vmx_apicv)
    DirtyXsaves12,    // and vmcs12 enables XSAVES
    IfChanged,        // a control word: VMWRITE only if it differs from KVM's shadow of it
    RunPending,       // nested_run_pending
    MergedVid,        // virtual-interrupt delivery is on in vmcs12 (L0's own is masked out)
    MergedTprShadow,  // "use TPR shadow" is on in vmcs12 (L0's own is masked out)
    EferDiffers,      // L2's EFER is not the host's
    L0Ept,            // enable_ept
    L0Pat,            // L0 loads PAT at VM-entry, or vmcs12 asks for it
    L0TscScaling,     // the processor has it
    L0Mpx,            // the processor has it
    Pdptr,            // by the PDPTR verdict's rule
    VcpuRun,          // after this transition: vmx_vcpu_run writes it just before the hardware VM-entry
    L0Time,           // when L0 sees fit: any time, or never
};
/// When the exit rule changes vmcs12's field.
enum class ExitGate : std::uint8_t {
    Always,
    Never,
    Exit,            // a VM-exit for L1, or a failed entry; not a forced exit (vm_exit_reason -1)
    NotFailedEntry,  // Exit, and the entry had not failed (bit 31 of the reason)
    Sync,            // sync_vmcs02_to_vmcs12 ran: the hardware entry did not end in VMfail
    L0EptSync,       // Sync, and enable_ept
    NestedEptPae,    // Sync, enable_ept, nested EPT and PAE paging
    Evmcs,           // Sync, and an enlightened VMCS: else it stays lazy
    Vid12,           // Sync, and virtual-interrupt delivery is on in vmcs12
    SaveDebug12,
    SaveEfer12,
    SaveTimer12,  // Sync, and vmcs12's control to save it
    VmFail,       // the hardware entry ended in VMfail
    Outside,      // never between the beginning and the end of the exit; KVM changes it before or after
};
/// What is then in vmcs02 (entry) or vmcs12 (exit): see nested/flow_value.h.
enum class EntryValue : std::uint8_t {
    None,
    Verbatim,
    Zero,
    AllOnes,
    Pdptr,
    Vpid,
    Pin,
    Primary,
    Secondary,
    EntryControls,
    ExitControls,
    ExceptionBitmap,
    PageFaultFilter,
    TscOffset,
    TscMultiplier,
    Cr0Mask,
    Cr4Mask,
    Cr0Shadow,
    Cr4Shadow,
    Cr0,
    Cr3,
    Cr4,
    Rflags,
    Debugctl,
    Dr7,
    Pat,
    Efer,
    Bndcfgs,
    IntrInfo,
};
enum class ExitValue : std::uint8_t {
    None,
    Unchanged,
    FromVmcs02,
    Cr0Back,
    Cr4Back,
    RipBack,
    RspBack,
    EntryControlsBack,
    ActivityState,
    ArchDr7,
    ArchEfer,
    ExitReason,
    ExitQualification,
    ExitIntrInfo,
    IntrInfoInvalid,
    InstructionLength,
};

struct FieldRule {
    vmx::Field field;
    EntryClass entry = EntryClass::OnlyL0;
    EntryGate entry_gate = EntryGate::L0Time;
    EntryValue entry_value = EntryValue::None;
    ExitClass exit = ExitClass::OnlyL0;
    ExitGate exit_gate = ExitGate::Never;
    ExitValue exit_value = ExitValue::None;
    Shadowed shadowed = Shadowed::No;
    EvmcsGroup group = EvmcsGroup::None;
};

/// One for each of vmx::all_fields(), in its order.
std::span<const FieldRule> flow_rules();

std::string_view name_of(EntryClass c);  // "copied"
std::string_view name_of(ExitClass c);   // "always"
std::string_view name_of(Shadowed s);    // "no", "read-only", "read-write"
std::string_view name_of(EvmcsGroup g);  // "GUEST_GRP1"
/// The condition in KVM's words: "dirty_vmcs12 || evmptr_is_valid(hv_evmcs_vmptr)"; "" for the gates without one.
std::string_view condition_of(EntryGate g);
std::string_view condition_of(ExitGate g);

/// What the gates and values ask of a transition, looked up once. Absent = not known.
struct Situation {
    explicit Situation(const Transition& t);

    std::optional<bool> dirty;  // prepare_vmcs02's gate: D, or an enlightened VMCS
    std::optional<bool> evmcs;
    std::optional<std::uint32_t> clean;
    Did pdptrs = Did::Unknown;  // at an entry: what the rule does with GUEST_PDPTR0-3
    std::optional<bool> run_pending, l0_ept, nested_ept, pae, unrestricted, sync, exit_for_l1, failed_entry, vm_fail;
    // Words of vmcs12 (the image before) and vmcs01; sec12 is 0 where it is not activated.
    std::optional<std::uint64_t> pin12, exec12, sec12, entry12, exit12, pin01, exec01, sec01, entry01, exit01,
        host_efer;
};

/// Whether the rule writes vmcs02's field in this nested entry; empty = not known, or L0's own decision.
std::optional<bool> entry_moves(const FieldRule& rule, const Situation& s, const Transition& t);
/// Whether the rule gives vmcs12's field a value in this nested exit.
std::optional<bool> exit_moves(const FieldRule& rule, const Situation& s);

}  // namespace vmxscope::nested
