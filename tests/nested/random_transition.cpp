#include "random_transition.h"

namespace vmxscope::nested {
namespace {

using Random = std::mt19937_64;

bool coin(Random& r) {
    return r() & 1;
}

/// Small and huge numbers alike.
std::uint64_t number(Random& r) {
    return r() >> (r() % 64);
}

vmx::Value value(Random& r) {
    switch (r() % 6) {
        case 0:
            return {};
        case 1:
            return vmx::Value::unsupported();
        case 2:
            return vmx::Value::faulted();
        default:
            return vmx::Value::of(number(r));
    }
}

std::string text(Random& r) {
    std::string s(r() % 40, ' ');
    for (char& c : s) c = static_cast<char>(r());
    return s;
}

template <typename T>
void maybe(Random& r, std::optional<T>& o) {
    if (coin(r)) o = static_cast<T>(number(r));
}

void maybe(Random& r, std::optional<bool>& o) {
    if (coin(r)) o = coin(r);
}

vmx::VmcsImage image(Random& r) {
    vmx::VmcsImage image;
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) image.at_index(i) = value(r);
    return image;
}

/// Nothing, something new, or `before` with a few fields changed.
vmx::VmcsImage later_image(Random& r, const vmx::VmcsImage& before) {
    if (r() % 4 == 0) return {};
    if (r() % 4 == 0) return image(r);
    vmx::VmcsImage after = before;
    for (std::size_t n = r() % 30; n > 0; --n) after.at_index(r() % vmx::kFieldCount) = value(r);
    return after;
}

Context context(Random& r) {
    Context c;
    for (auto* b : {&c.enable_ept, &c.nested_ept, &c.pae, &c.dirty_vmcs12, &c.evmcs, &c.from_vmentry,
                    &c.pdptrs_from_userspace, &c.last_hw_exit_pae, &c.nested_run_pending, &c.need_vmcs12_to_shadow_sync,
                    &c.need_sync_vmcs02_to_vmcs12_rare, &c.vmx_fail})
        maybe(r, *b);
    for (auto* n : {&c.evmcs_clean_fields, &c.regs_avail, &c.regs_dirty, &c.hflags}) maybe(r, *n);
    for (auto* n : {&c.current_vmptr, &c.cr0, &c.cr3, &c.cr4, &c.efer, &c.cr0_guest_owned_bits, &c.cr4_guest_owned_bits,
                    &c.l1_tsc_offset, &c.l1_tsc_scaling_ratio, &c.pat, &c.dr7, &c.pre_vmenter_debugctl,
                    &c.pre_vmenter_bndcfgs})
        maybe(r, *n);
    for (auto* n : {&c.mp_state, &c.vpid, &c.vpid02}) maybe(r, *n);
    for (auto* b : {&c.enable_shadow_vmcs, &c.enable_vpid, &c.enable_unrestricted_guest}) maybe(r, *b);
    return c;
}

}  // namespace

Transition random_transition(Random& r) {
    Transition t;
    t.seq = number(r);
    t.tsc = r();
    t.vcpu = static_cast<std::uint32_t>(number(r));
    t.kind = static_cast<Kind>(r() % 7);
    for (auto* v : {&t.exit.reason, &t.exit.qualification, &t.exit.intr_info, &t.exit.intr_error_code,
                    &t.exit.instruction_length, &t.exit.guest_linear, &t.exit.guest_physical})
        *v = value(r);
    if (coin(r)) t.status = static_cast<std::int32_t>(r() % 8) - 4;
    for (auto& v : t.regs) v = value(r);
    t.context = context(r);
    t.vmcs01 = coin(r) ? image(r) : vmx::VmcsImage{};
    t.vmcs12_before = coin(r) ? image(r) : vmx::VmcsImage{};
    t.vmcs12_after = later_image(r, t.vmcs12_before);
    t.vmcs02_before = coin(r) ? image(r) : vmx::VmcsImage{};
    t.vmcs02_after = later_image(r, t.vmcs02_before);
    t.vmcs02_as_of = coin(r) ? t.seq : number(r);
    for (auto& v : t.cached_pdptrs) v = value(r);
    for (std::size_t n = r() % 12; n > 0; --n)
        t.evidence.push_back({coin(r) ? Evidence::Op::Vmread : Evidence::Op::Vmwrite, static_cast<std::uint16_t>(r()),
                              value(r), text(r), coin(r)});
    t.evidence_scope = static_cast<EvidenceScope>(r() % 3);
    t.kvm_reason = text(r);
    t.lost_before = coin(r) ? 0 : number(r);
    for (std::size_t n = r() % 4; n > 0; --n) t.notes.push_back(text(r));
    return t;
}

}  // namespace vmxscope::nested
