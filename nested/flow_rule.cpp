#include "nested/flow_rule.h"

#include <iterator>

#include "nested/flow_value.h"
#include "nested/pdptr_rule.h"
#include "vmx/controls.h"
#include "vmx/exit_reason.h"

namespace vmxscope::nested {
namespace {

using vmx::Field;
using Maybe = std::optional<bool>;
using Word = std::optional<std::uint64_t>;

constexpr auto make_rules() {
    std::array<FieldRule, vmx::kFieldCount> rules{};
    std::size_t n = 0;
#define VMX_FIELD(name, encoding, group) rules[n++].field = Field::name;
#include "vmx/fields.def"
#undef VMX_FIELD
    const auto set = [&rules](const FieldRule& rule) {
        for (FieldRule& r : rules)
            if (r.field == rule.field) r = rule;
    };
#define FLOW(name, entry, entry_gate, entry_value, exit, exit_gate, exit_value, shadowed, group)          \
    set({Field::name, EntryClass::entry, EntryGate::entry_gate, EntryValue::entry_value, ExitClass::exit, \
         ExitGate::exit_gate, ExitValue::exit_value, Shadowed::shadowed, EvmcsGroup::group});
#include "nested/flow.def"
#undef FLOW
    return rules;
}

constexpr std::array<FieldRule, vmx::kFieldCount> kRules = make_rules();

Word known(const vmx::Value& v) {
    if (!v.known()) return std::nullopt;
    return v.bits;
}

Maybe both(Maybe a, Maybe b) {
    if (a == false || b == false) return false;
    if (!a || !b) return std::nullopt;
    return true;
}

Maybe either(Maybe a, Maybe b) {
    if (a == true || b == true) return true;
    if (!a || !b) return std::nullopt;
    return false;
}

Maybe has(Word word, std::uint64_t bit) {
    if (!word) return std::nullopt;
    return (*word & bit) != 0;
}

/// prepare_vmcs02's gate for what it copies only when it must.
Maybe rare(const FieldRule& rule, const Situation& s) {
    const bool by_group =
        rule.entry == EntryClass::Rare && (rule.group == EvmcsGroup::GuestGrp1 || rule.group == EvmcsGroup::GuestGrp2);
    if (!by_group || s.evmcs == false) return s.dirty;
    Maybe group_dirty;
    if (s.clean) group_dirty = ((*s.clean >> static_cast<unsigned>(rule.group)) & 1) == 0;
    if (s.evmcs == true) return group_dirty;
    return both(s.dirty, group_dirty) == true ? Maybe(true) : s.dirty == false ? Maybe(false) : std::nullopt;
}

Maybe pdptr_written(Did did) {
    switch (did) {
        case Did::Unknown: return std::nullopt;
        case Did::Skipped: return false;
        default: return true;
    }
}

/// A field that this processor lacks is not written; whether L0 uses one that it has is not seen from here.
Maybe if_supported(const Transition& t, const FieldRule& rule, Maybe otherwise) {
    return t.vmcs02_after[rule.field].state == vmx::Known::Unsupported ? Maybe(false) : otherwise;
}

constexpr std::string_view kEntryNames[] = {"copied",
                                            "copied when dirty",
                                            "copied when dirty, or from memory",
                                            "conditional",
                                            "merged",
                                            "translated",
                                            "L0's",
                                            "emulated",
                                            "L0's host state",
                                            "none",
                                            "only in vmcs02"};
static_assert(std::size(kEntryNames) == static_cast<std::size_t>(EntryClass::OnlyL0) + 1);
constexpr std::string_view kExitNames[] = {"always",          "lazily",      "conditional",
                                           "written through", "synthesised", "loaded as L1's state",
                                           "emulated",        "never",       "only in vmcs02"};
static_assert(std::size(kExitNames) == static_cast<std::size_t>(ExitClass::OnlyL0) + 1);
constexpr std::string_view kGroupNames[] = {"IO_BITMAP",
                                            "MSR_BITMAP",
                                            "CONTROL_GRP2",
                                            "CONTROL_GRP1",
                                            "CONTROL_PROC",
                                            "CONTROL_EVENT",
                                            "CONTROL_ENTRY",
                                            "CONTROL_EXCPN",
                                            "CRDR",
                                            "CONTROL_XLAT",
                                            "GUEST_BASIC",
                                            "GUEST_GRP1",
                                            "GUEST_GRP2",
                                            "HOST_POINTER",
                                            "HOST_GRP1",
                                            "always",
                                            "-"};
static_assert(std::size(kGroupNames) == static_cast<std::size_t>(EvmcsGroup::None) + 1);
constexpr std::string_view kEntryConditions[] = {
    "",
    "",
    "dirty_vmcs12 || evmptr_is_valid(hv_evmcs_vmptr)",
    "dirty_vmcs12 && cpu_has_vmx_apicv()",
    "dirty_vmcs12 && nested_cpu_has_xsaves(vmcs12)",
    "VMWRITE only where it differs from controls_shadow",
    "nested_run_pending",
    "SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY in vmcs12",
    "CPU_BASED_TPR_SHADOW in vmcs12",
    "guest_efer != host_efer",
    "enable_ept",
    "VM_ENTRY_LOAD_IA32_PAT, L0's or vmcs12's",
    "kvm_caps.has_tsc_control",
    "kvm_mpx_supported()",
    "see the PDPTR verdict",
    "vmx_vcpu_run writes it, just before the hardware VM-entry",
    "when L0 sees fit",
};
static_assert(std::size(kEntryConditions) == static_cast<std::size_t>(EntryGate::L0Time) + 1);
constexpr std::string_view kExitConditions[] = {
    "",
    "",
    "vm_exit_reason != -1",
    "the entry had not failed",
    "!vmx->fail",
    "enable_ept",
    "enable_ept && nested_cpu_has_ept(vmcs12) && is_pae_paging(vcpu)",
    "evmptr_is_valid(hv_evmcs_vmptr)",
    "nested_cpu_has_vid(vmcs12)",
    "VM_EXIT_SAVE_DEBUG_CONTROLS in vmcs12",
    "VM_EXIT_SAVE_IA32_EFER in vmcs12",
    "VM_EXIT_SAVE_VMX_PREEMPTION_TIMER in vmcs12 && !nested_run_pending",
    "vmx->fail",
    "not during the exit itself",
};
static_assert(std::size(kExitConditions) == static_cast<std::size_t>(ExitGate::Outside) + 1);

}  // namespace

std::span<const FieldRule> flow_rules() {
    return kRules;
}

std::string_view name_of(EntryClass c) {
    return kEntryNames[static_cast<std::size_t>(c)];
}
std::string_view name_of(ExitClass c) {
    return kExitNames[static_cast<std::size_t>(c)];
}
std::string_view name_of(Shadowed s) {
    constexpr std::string_view kNames[] = {"no", "read-only", "read-write"};
    return kNames[static_cast<std::size_t>(s)];
}
std::string_view name_of(EvmcsGroup g) {
    return kGroupNames[static_cast<std::size_t>(g)];
}
std::string_view condition_of(EntryGate g) {
    return kEntryConditions[static_cast<std::size_t>(g)];
}
std::string_view condition_of(ExitGate g) {
    return kExitConditions[static_cast<std::size_t>(g)];
}

Situation::Situation(const Transition& t) {
    const Context& c = t.context;
    evmcs = c.evmcs;
    dirty = either(c.dirty_vmcs12, c.evmcs);
    clean = c.evmcs_clean_fields;
    run_pending = c.nested_run_pending;
    l0_ept = c.enable_ept;
    nested_ept = c.nested_ept;
    pae = c.pae;
    unrestricted = c.enable_unrestricted_guest;
    vm_fail = c.vmx_fail;
    if (vm_fail) sync = !*vm_fail;
    if (const Word reason = known(t.exit.reason)) {
        exit_for_l1 = both(sync, static_cast<std::uint32_t>(*reason) != ~0u);
        failed_entry = vmx::entry_failed(static_cast<std::uint32_t>(*reason));
    }
    if (direction_of(t.kind) == Direction::Entry) pdptrs = did_by_rule(Direction::Entry, facts_of(c));
    const vmx::VmcsImage& v12 = t.vmcs12_before;
    pin12 = known(v12[Field::PIN_BASED_VM_EXEC_CONTROL]);
    exec12 = known(v12[Field::CPU_BASED_VM_EXEC_CONTROL]);
    sec12 = known(v12[Field::SECONDARY_VM_EXEC_CONTROL]);
    if (has(exec12, vmx::proc::kSecondaryControls) == false) sec12 = 0;
    entry12 = known(v12[Field::VM_ENTRY_CONTROLS]);
    exit12 = known(v12[Field::VM_EXIT_CONTROLS]);
    pin01 = known(t.vmcs01[Field::PIN_BASED_VM_EXEC_CONTROL]);
    exec01 = known(t.vmcs01[Field::CPU_BASED_VM_EXEC_CONTROL]);
    sec01 = known(t.vmcs01[Field::SECONDARY_VM_EXEC_CONTROL]);
    entry01 = known(t.vmcs01[Field::VM_ENTRY_CONTROLS]);
    exit01 = known(t.vmcs01[Field::VM_EXIT_CONTROLS]);
    host_efer = known(t.vmcs01[Field::HOST_IA32_EFER]);
}

std::optional<bool> entry_moves(const FieldRule& rule, const Situation& s, const Transition& t) {
    switch (rule.entry_gate) {
        case EntryGate::Always: return if_supported(t, rule, true);
        case EntryGate::Never:
        case EntryGate::VcpuRun: return false;
        case EntryGate::Dirty: return if_supported(t, rule, rare(rule, s));
        case EntryGate::DirtyApicv: return s.dirty == false ? Maybe(false) : if_supported(t, rule, std::nullopt);
        case EntryGate::DirtyXsaves12: return both(s.dirty, has(s.sec12, vmx::secondary::kXsaves));
        case EntryGate::IfChanged: return if_supported(t, rule, std::nullopt);
        case EntryGate::RunPending: return s.run_pending;
        case EntryGate::MergedVid: return has(s.sec12, vmx::secondary::kInterruptDelivery);
        case EntryGate::MergedTprShadow: return has(s.exec12, vmx::proc::kTprShadow);
        case EntryGate::EferDiffers: return efer_differs(s, t);
        case EntryGate::L0Ept: return s.l0_ept;
        case EntryGate::L0Pat:
            return either(has(s.entry01, vmx::entries::kLoadPat),
                          both(s.run_pending, has(s.entry12, vmx::entries::kLoadPat)));
        case EntryGate::L0TscScaling: return if_supported(t, rule, std::nullopt);
        case EntryGate::L0Mpx: return if_supported(t, rule, std::nullopt);
        case EntryGate::Pdptr: return pdptr_written(s.pdptrs);
        case EntryGate::L0Time: return std::nullopt;
    }
    return std::nullopt;
}

std::optional<bool> exit_moves(const FieldRule& rule, const Situation& s) {
    switch (rule.exit_gate) {
        case ExitGate::Always:
        case ExitGate::Sync: return s.sync;
        case ExitGate::Never:
        case ExitGate::Outside: return false;
        case ExitGate::Exit: return s.exit_for_l1;
        case ExitGate::NotFailedEntry:
            return both(s.exit_for_l1, s.failed_entry ? Maybe(!*s.failed_entry) : std::nullopt);
        case ExitGate::L0EptSync: return both(s.sync, s.l0_ept);
        case ExitGate::NestedEptPae: return both(both(s.sync, s.l0_ept), both(s.nested_ept, s.pae));
        case ExitGate::Evmcs: return both(s.sync, s.evmcs);
        case ExitGate::Vid12: return both(s.sync, has(s.sec12, vmx::secondary::kInterruptDelivery));
        case ExitGate::SaveDebug12: return both(s.sync, has(s.exit12, vmx::exits::kSaveDebug));
        case ExitGate::SaveEfer12: return both(s.sync, has(s.exit12, vmx::exits::kSaveEfer));
        case ExitGate::SaveTimer12: {
            const Maybe on =
                both(has(s.pin12, vmx::pin::kPreemptionTimer), has(s.exit12, vmx::exits::kSavePreemptionTimer));
            return both(s.sync, both(on, s.run_pending ? Maybe(!*s.run_pending) : std::nullopt));
        }
        case ExitGate::VmFail: return s.vm_fail;
    }
    return std::nullopt;
}

}  // namespace vmxscope::nested
