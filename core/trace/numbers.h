// The single values of a Transition in one row, in the order of the trace format; each with the VMCS field that usually
// has it, too (0xffff: none).
#pragma once

#include <array>

#include "core/trace/model.h"

namespace vmxscope::core::trace {

using Numbers = std::array<vmx::Value, kNumbers>;

/// Calls f(member, encoding) for each; `reason` is the number of kvm_reason among the block's texts.
template <typename T, typename Text, typename F>
void each_number(T& t, Text& reason, F f) {
    using enum vmx::Field;
    const auto member = [&f](auto& m, vmx::Field field) { f(m, static_cast<std::uint16_t>(field)); };
    const auto alone = [&f](auto&... m) { (f(m, std::uint16_t{0xffff}), ...); };
    auto& e = t.exit;
    member(e.qualification, EXIT_QUALIFICATION);
    member(e.intr_info, VM_EXIT_INTR_INFO);
    member(e.intr_error_code, VM_EXIT_INTR_ERROR_CODE);
    member(e.instruction_length, VM_EXIT_INSTRUCTION_LEN);
    member(e.guest_linear, GUEST_LINEAR_ADDRESS);
    member(e.guest_physical, GUEST_PHYSICAL_ADDRESS);
    alone(t.status);
    for (std::size_t r = 0; r < nested::kRegCount; ++r)
        member(t.regs[r], r == nested::RSP      ? GUEST_RSP
                          : r == nested::RIP    ? GUEST_RIP
                          : r == nested::RFLAGS ? GUEST_RFLAGS
                                                : static_cast<vmx::Field>(0xffff));
    auto& c = t.context;
    alone(c.enable_ept, c.nested_ept, c.pae, c.dirty_vmcs12, c.evmcs, c.evmcs_clean_fields, c.from_vmentry,
          c.pdptrs_from_userspace, c.last_hw_exit_pae, c.nested_run_pending, c.need_vmcs12_to_shadow_sync,
          c.need_sync_vmcs02_to_vmcs12_rare, c.vmx_fail, c.current_vmptr);
    member(c.cr0, GUEST_CR0);
    member(c.cr3, GUEST_CR3);
    member(c.cr4, GUEST_CR4);
    member(c.efer, GUEST_IA32_EFER);
    alone(c.regs_avail, c.regs_dirty, c.hflags, c.cr0_guest_owned_bits, c.cr4_guest_owned_bits);
    member(c.l1_tsc_offset, TSC_OFFSET);
    member(c.l1_tsc_scaling_ratio, TSC_MULTIPLIER);
    member(c.pat, GUEST_IA32_PAT);
    member(c.dr7, GUEST_DR7);
    member(c.pre_vmenter_debugctl, GUEST_IA32_DEBUGCTL);
    member(c.pre_vmenter_bndcfgs, GUEST_BNDCFGS);
    alone(c.mp_state, c.vpid, c.vpid02, c.enable_shadow_vmcs, c.enable_vpid, c.enable_unrestricted_guest,
          t.vmcs02_as_of);
    member(t.cached_pdptrs[0], GUEST_PDPTR0);
    member(t.cached_pdptrs[1], GUEST_PDPTR1);
    member(t.cached_pdptrs[2], GUEST_PDPTR2);
    member(t.cached_pdptrs[3], GUEST_PDPTR3);
    alone(t.evidence_scope, reason);
}

inline vmx::Value number_of(const vmx::Value& v) {
    return v;
}
template <typename T>
vmx::Value number_of(const std::optional<T>& o) {
    return o ? vmx::Value::of(static_cast<std::uint64_t>(*o)) : vmx::Value{};
}
inline vmx::Value number_of(const std::uint64_t& n) {
    return vmx::Value::of(n);
}
inline vmx::Value number_of(const nested::EvidenceScope& s) {
    return vmx::Value::of(static_cast<std::uint64_t>(s));
}

/// False: the number is none that the member can have.
inline bool take_number(vmx::Value& v, const vmx::Value& from) {
    v = from;
    return true;
}
inline bool take_number(std::uint64_t& n, const vmx::Value& from) {
    n = from.bits;
    return from.known();
}
inline bool take_number(nested::EvidenceScope& s, const vmx::Value& from) {
    s = static_cast<nested::EvidenceScope>(from.bits & 3);
    return from.known() && from.bits <= static_cast<std::uint64_t>(nested::EvidenceScope::All);
}
template <typename T>
bool take_number(std::optional<T>& o, const vmx::Value& from) {
    if (from.state == vmx::Known::NotRead) return o.reset(), true;
    o = static_cast<T>(from.bits);
    return from.known() && static_cast<std::uint64_t>(*o) == from.bits;
}

}  // namespace vmxscope::core::trace
