#include "flow_samples.h"

namespace vmxscope::nested {
namespace {

using vmx::Field;
using vmx::Value;

vmx::VmcsImage filled(std::uint64_t seed) {
    vmx::VmcsImage image;
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) {
        const std::uint64_t width = vmx::bytes_of(vmx::all_fields()[i].field) == 8
                                        ? ~0ull
                                        : (1ull << (8 * vmx::bytes_of(vmx::all_fields()[i].field))) - 1;
        image.at_index(i) = Value::of((seed * 0x9e3779b97f4a7c15 + i * 0x2545f4914f6cdd1d) & width);
    }
    return image;
}

Context context() {
    Context c;
    c.enable_ept = c.nested_ept = c.dirty_vmcs12 = c.from_vmentry = c.nested_run_pending = true;
    c.enable_unrestricted_guest = c.enable_vpid = c.enable_shadow_vmcs = true;
    c.pae = c.evmcs = c.pdptrs_from_userspace = c.last_hw_exit_pae = c.vmx_fail = c.need_sync_vmcs02_to_vmcs12_rare =
        false;
    c.efer = 0xd01;
    c.cr0_guest_owned_bits = 0x8;
    c.cr4_guest_owned_bits = 0x4 | 0x80;
    c.l1_tsc_offset = 0x1000;
    c.l1_tsc_scaling_ratio = 1ull << 48;
    c.pat = 0x0007040600070406;
    c.dr7 = 0x400;
    c.pre_vmenter_debugctl = c.pre_vmenter_bndcfgs = 0;
    c.mp_state = 0;
    c.vpid = 1;
    c.vpid02 = 2;
    c.regs_dirty = 0;
    c.current_vmptr = 0x7000;
    return c;
}

void set_controls(vmx::VmcsImage& v12, vmx::VmcsImage& v01) {
    set(v12, Field::PIN_BASED_VM_EXEC_CONTROL, 0x16);
    set(v12, Field::CPU_BASED_VM_EXEC_CONTROL, 0x8401e172 | 1u << 3 | 1u << 7);
    set(v12, Field::SECONDARY_VM_EXEC_CONTROL, 1u << 1 | 1u << 7);
    set(v12, Field::VM_ENTRY_CONTROLS, 0x11ff | 1u << 9 | 1u << 15 | 1u << 2);
    set(v12, Field::VM_EXIT_CONTROLS, 0x36dff | 1u << 20 | 1u << 21 | 1u << 2);
    set(v12, Field::GUEST_CR0, 0x80000031);
    set(v12, Field::GUEST_CR4, 0x2020);
    set(v12, Field::GUEST_IA32_EFER, 0xd00);
    set(v12, Field::GUEST_IA32_DEBUGCTL, 0);
    set(v12, Field::GUEST_DR7, 0x400);
    set(v01, Field::PIN_BASED_VM_EXEC_CONTROL, 0x3f);
    set(v01, Field::CPU_BASED_VM_EXEC_CONTROL, 0xb5a06dfa);
    set(v01, Field::SECONDARY_VM_EXEC_CONTROL, 0x1010aa | 1u << 17);
    set(v01, Field::VM_ENTRY_CONTROLS, 0xd1ff);
    set(v01, Field::VM_EXIT_CONTROLS, 0x2befff);
    set(v01, Field::HOST_IA32_EFER, 0xd01);
    set(v01, Field::EXCEPTION_BITMAP, 0x60042);
}

}  // namespace

void set(vmx::VmcsImage& image, Field field, std::uint64_t bits) {
    image[field] = Value::of(bits);
}

Transition good_entry() {
    Transition t;
    t.seq = t.vmcs02_as_of = 12;
    t.kind = Kind::NestedEntry;
    t.status = 0;
    t.context = context();
    t.evidence_scope = EvidenceScope::All;
    t.vmcs01 = filled(1);
    t.vmcs12_before = filled(2);
    set_controls(t.vmcs12_before, t.vmcs01);
    t.vmcs12_after = t.vmcs12_before;
    t.vmcs02_before = t.vmcs02_after = filled(3);
    const Situation situation(t);
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) {
        const FieldRule& rule = flow_rules()[i];
        const Predicted p = predict_entry(rule, situation, t);
        Value& now = t.vmcs02_after.at_index(i);
        const bool writes = entry_moves(rule, situation, t) == true || rule.entry_gate == EntryGate::IfChanged;
        if (!writes) continue;
        if (p.known()) now = Value::of((now.bits & ~p.mask) | p.bits);
        t.evidence.push_back({Evidence::Op::Vmwrite, static_cast<std::uint16_t>(rule.field), now,
                              "prepare_vmcs02_rare.constprop.0+0x10"});
    }
    return t;
}

Transition good_exit() {
    Transition t;
    t.seq = t.vmcs02_as_of = 15;
    t.kind = Kind::NestedExit;
    t.context = context();
    t.context.nested_run_pending = t.context.dirty_vmcs12 = false;
    t.evidence_scope = EvidenceScope::All;
    t.exit.reason = Value::of(10);
    t.exit.qualification = t.exit.intr_info = Value::of(0);
    vmx::VmcsImage v01;
    t.vmcs12_before = filled(4);
    set_controls(t.vmcs12_before, v01);
    t.vmcs02_before = t.vmcs02_after = filled(5);
    t.vmcs12_after = t.vmcs12_before;
    set(t.vmcs12_after, Field::IDT_VECTORING_INFO_FIELD, 0);
    const Situation situation(t);
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) {
        const FieldRule& rule = flow_rules()[i];
        if (rule.exit == ExitClass::OnlyL0 || exit_moves(rule, situation) != true) continue;
        const Predicted p = predict_exit(rule, situation, t);
        if (p.known()) t.vmcs12_after.at_index(i) = Value::of(p.bits);
        t.evidence.push_back({Evidence::Op::Vmread, static_cast<std::uint16_t>(rule.field), t.vmcs02_after.at_index(i),
                              "sync_vmcs02_to_vmcs12+0x20"});
    }
    return t;
}

}  // namespace vmxscope::nested
