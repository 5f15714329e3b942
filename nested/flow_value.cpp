#include "nested/flow_value.h"

#include "vmx/controls.h"

namespace vmxscope::nested {
namespace {

using vmx::Field;
using Word = std::optional<std::uint64_t>;

constexpr std::uint64_t kAll = ~0ull;
constexpr std::uint64_t kCr0Ne = vmx::bit(5);
constexpr std::uint64_t kCr4Pse = vmx::bit(4), kCr4Mce = vmx::bit(6), kCr4Umip = vmx::bit(11), kCr4Vmxe = vmx::bit(13),
                        kCr4Protection = vmx::bit(20) | vmx::bit(21) | vmx::bit(22);   // SMEP SMAP PKE
constexpr std::uint64_t kFreezeInSmm = vmx::bit(14);                                   // of IA32_DEBUGCTL
constexpr std::uint64_t kPageFault = vmx::bit(14), kDeviceNotAvailable = vmx::bit(7);  // of the exception bitmap
constexpr std::uint64_t kInterruptionValid = vmx::bit(31);
constexpr unsigned kTscFractionBits = 48;  // kvm_caps.tsc_scaling_ratio_frac_bits
constexpr std::uint64_t kDefaultTscRatio = 1ull << kTscFractionBits;
constexpr unsigned kRegRsp = 4, kRegRip = 16;                // VCPU_REGS_RSP, VCPU_REGS_RIP: bits of regs_dirty
constexpr std::uint32_t kMpHalted = 3, kMpInitReceived = 2;  // KVM_MP_STATE_*

/// Controls that prepare_vmcs02_early takes from vmcs12 alone.
constexpr std::uint64_t kSecondaryOfVmcs12 =
    vmx::secondary::kApicAccesses | vmx::secondary::kX2apicMode | vmx::secondary::kInvpcid | vmx::secondary::kRdtscp |
    vmx::secondary::kXsaves | vmx::secondary::kUserWaitAndPause | vmx::secondary::kInterruptDelivery |
    vmx::secondary::kApicRegisters | vmx::secondary::kVmFunctions | vmx::secondary::kDescriptorTableExiting;
constexpr std::uint64_t kWindowsAndTpr =
    vmx::proc::kInterruptWindowExiting | vmx::proc::kNmiWindowExiting | vmx::proc::kTprShadow;

constexpr Predicted nothing() {
    return {};
}
constexpr Predicted exactly(std::uint64_t bits, std::uint64_t mask = kAll) {
    return {bits & mask, mask};
}

Word known(const vmx::Value& v) {
    if (!v.known()) return std::nullopt;
    return v.bits;
}

Predicted exactly(const vmx::Value& v) {
    return v.known() ? exactly(v.bits) : nothing();
}
Predicted exactly(Word w) {
    return w ? exactly(*w) : nothing();
}

/// (a & ~mask) | (b & mask), of three fields of vmcs12: nested_read_cr0 and nested_read_cr4.
Predicted mixed(const vmx::VmcsImage& v12, Field a, Field b, Field mask) {
    const Word wa = known(v12[a]), wb = known(v12[b]), wm = known(v12[mask]);
    if (!wa || !wb || !wm) return nothing();
    return exactly((*wa & ~*wm) | (*wb & *wm));
}

// ---- Controls

Predicted pin(const Situation& s) {
    if (!s.pin01 || !s.pin12) return nothing();
    std::uint64_t v = *s.pin01 | (*s.pin12 & ~vmx::pin::kPreemptionTimer);
    if (!(*s.pin12 & vmx::pin::kPostedInterrupts)) v &= ~vmx::pin::kPostedInterrupts;
    // Cleared where the descriptor of L1's cannot be mapped (nested_get_vmcs12_pages).
    return exactly(v, kAll & ~(v & vmx::pin::kPostedInterrupts));
}

Predicted primary(const Situation& s, const Transition& t) {
    if (!s.exec01 || !s.exec12) return nothing();
    std::uint64_t v = (*s.exec01 & ~kWindowsAndTpr) | *s.exec12;
    if (!(v & vmx::proc::kTprShadow)) v |= vmx::proc::kCr8LoadExiting | vmx::proc::kCr8StoreExiting;
    v |= vmx::proc::kUnconditionalIoExiting;
    v &= ~vmx::proc::kIoBitmaps;
    // MSR bitmaps are decided on in nested_get_vmcs12_pages; L0 asks for windows when it has something to inject.
    std::uint64_t mask =
        kAll & ~(vmx::proc::kMsrBitmaps | (kWindowsAndTpr & ~vmx::proc::kTprShadow) | (v & vmx::proc::kTprShadow));
    constexpr std::uint64_t cr3 = vmx::proc::kCr3LoadExiting | vmx::proc::kCr3StoreExiting;
    if (s.l0_ept != false && s.unrestricted != true) {  // vmx_set_cr0
        const Word cr0 = known(t.vmcs12_before[Field::GUEST_CR0]);
        if (!s.l0_ept || !s.unrestricted || !cr0)
            mask &= ~cr3;
        else
            v = *cr0 & vmx::cr0::kPg ? (v & ~cr3) | (*s.exec12 & cr3) : v | cr3;
    }
    return exactly(v, mask);
}

Predicted secondary(const Situation& s, const Transition& t) {
    if (!s.sec01 || !s.sec12) return nothing();
    std::uint64_t v = (*s.sec01 & ~kSecondaryOfVmcs12) | *s.sec12;
    v &= ~(vmx::secondary::kPml | vmx::secondary::kShadowVmcs);
    if (!(*s.sec12 & vmx::secondary::kUnrestrictedGuest)) v &= ~vmx::secondary::kUnrestrictedGuest;
    std::uint64_t mask = kAll & ~(v & vmx::secondary::kApicAccesses);  // cleared where L1's page cannot be mapped
    const Word cr4 = known(t.vmcs12_before[Field::GUEST_CR4]);
    if (!cr4 || *cr4 & kCr4Umip) mask &= ~vmx::secondary::kDescriptorTableExiting;  // L0 may emulate UMIP with it
    return exactly(v, mask);
}

/// L2's EFER as nested_vmx_calc_efer has it. Where it comes from L1's, KVM's own (arch.efer, afterwards) is taken.
Word l2_efer(const Situation& s, const Transition& t) {
    if (s.run_pending == true && s.entry12 && (*s.entry12 & vmx::entries::kLoadEfer))
        return known(t.vmcs12_before[Field::GUEST_IA32_EFER]);
    return t.context.efer;
}

/// As update_transition_efer gives it to the processor.
Word switched_efer(const Situation& s, const Transition& t) {
    Word efer = l2_efer(s, t);
    if (!efer || !s.l0_ept) return std::nullopt;
    if (!*s.l0_ept) *efer |= vmx::efer::kNx;
    if (!(*efer & vmx::efer::kLma)) *efer &= ~vmx::efer::kLme;
    return efer;
}

Predicted entry_controls(const Situation& s, const Transition& t) {
    const Word efer = l2_efer(s, t);
    if (!s.entry01 || !s.entry12 || !efer) return nothing();
    std::uint64_t v = *s.entry01 | (*s.entry12 & ~vmx::entries::kLoadPerfGlobalCtrl);
    v &= ~(vmx::entries::kIa32eGuest | vmx::entries::kLoadEfer);
    if (*efer & vmx::efer::kLma) v |= vmx::entries::kIa32eGuest;
    const auto differs = efer_differs(s, t);
    if (differs == true) v |= vmx::entries::kLoadEfer;
    return exactly(v, differs ? kAll : kAll & ~vmx::entries::kLoadEfer);
}

Predicted exit_controls(const Situation& s, const Transition& t) {
    if (!s.exit01) return nothing();
    const auto differs = efer_differs(s, t);
    const std::uint64_t v = differs == true ? *s.exit01 | vmx::exits::kLoadEfer : *s.exit01 & ~vmx::exits::kLoadEfer;
    return exactly(v, differs ? kAll : kAll & ~vmx::exits::kLoadEfer);
}

/// vmx_update_exception_bitmap: what L0 intercepts of L1 it intercepts of L2; outside protected mode, all.
Predicted exception_bitmap(const Situation& s, const Transition& t) {
    const Word eb01 = known(t.vmcs01[Field::EXCEPTION_BITMAP]), eb12 = known(t.vmcs12_before[Field::EXCEPTION_BITMAP]);
    const Word cr0 = known(t.vmcs12_before[Field::GUEST_CR0]);
    if (!eb01 || !eb12) return nothing();
    if (s.unrestricted != true && (!cr0 || !(*cr0 & vmx::cr0::kPe))) return nothing();
    return exactly(*eb01 | *eb12, kAll & ~kDeviceNotAvailable);
}

/// prepare_vmcs02_rare: L1's filter, unless L0 needs all page faults itself.
Predicted page_fault_filter(const FieldRule& rule, const Situation& s, const Transition& t) {
    const Word eb01 = known(t.vmcs01[Field::EXCEPTION_BITMAP]);
    if (!s.l0_ept) return nothing();
    if (!*s.l0_ept) return exactly(0ull);
    if (!eb01) return nothing();
    return *eb01 & kPageFault ? exactly(0ull) : exactly(t.vmcs12_before[rule.field]);
}

// ---- Control registers

/// ~(owned & ~mask12): L0 intercepts what L1 does, and what it needs itself.
Predicted guest_host_mask(Word owned, const vmx::Value& mask12) {
    if (!owned || !mask12.known()) return nothing();
    return exactly(~(*owned & ~mask12.bits));
}

Predicted cr0(const Situation& s, const Transition& t) {
    const Word cr0 = known(t.vmcs12_before[Field::GUEST_CR0]);
    if (!cr0 || !s.unrestricted || !s.l0_ept) return nothing();
    std::uint64_t v = (*cr0 & ~(vmx::cr0::kNw | vmx::cr0::kCd)) | kCr0Ne;
    if (!*s.unrestricted) v |= vmx::cr0::kPg | vmx::cr0::kPe | (*s.l0_ept ? 0 : vmx::cr0::kWp);
    return exactly(v);
}

Predicted cr4(const Situation& s, const Transition& t) {
    const Word cr0 = known(t.vmcs12_before[Field::GUEST_CR0]), cr4 = known(t.vmcs12_before[Field::GUEST_CR4]);
    if (!cr0 || !cr4 || !s.unrestricted || !s.l0_ept) return nothing();
    std::uint64_t v = *cr4 | kCr4Vmxe;
    std::uint64_t mask = kAll & ~kCr4Mce;    // the host's
    if (*cr4 & kCr4Umip) mask &= ~kCr4Umip;  // emulated where the processor lacks it
    if (*s.unrestricted) return exactly(v, mask);
    if (!(*cr0 & vmx::cr0::kPe)) return nothing();  // L0 runs it in virtual-8086 mode
    const bool paging = *cr0 & vmx::cr0::kPg;
    v |= vmx::cr4::kPae;
    if (*s.l0_ept && (!paging || !(*cr4 & vmx::cr4::kPae))) v &= ~vmx::cr4::kPae;
    if (*s.l0_ept && !paging) v |= kCr4Pse;
    if (!paging) v &= ~kCr4Protection;
    return exactly(v, mask);
}

Predicted cr3(const Situation& s, const Transition& t) {
    const Word cr0 = known(t.vmcs12_before[Field::GUEST_CR0]);
    const bool own = s.unrestricted == true || (cr0 && (*cr0 & vmx::cr0::kPg));  // else L0's identity map
    return own ? exactly(t.vmcs12_before[Field::GUEST_CR3]) : nothing();
}

// ---- TSC

struct TscOfL2 {
    std::uint64_t offset, ratio;
};

/// vmx_get_l2_tsc_offset, vmx_get_l2_tsc_multiplier.
std::optional<TscOfL2> tsc_of_l2(const Situation& s, const Transition& t) {
    if (!s.exec12 || !s.sec12) return std::nullopt;
    if (!(*s.exec12 & vmx::proc::kTscOffsetting)) return TscOfL2{0, kDefaultTscRatio};
    const Word offset = known(t.vmcs12_before[Field::TSC_OFFSET]);
    const Word ratio =
        *s.sec12 & vmx::secondary::kTscScaling ? known(t.vmcs12_before[Field::TSC_MULTIPLIER]) : Word(kDefaultTscRatio);
    if (!offset || !ratio) return std::nullopt;
    return TscOfL2{*offset, *ratio};
}

__extension__ using Wide = unsigned __int128;

std::uint64_t scaled(std::uint64_t a, std::uint64_t ratio) {
    return static_cast<std::uint64_t>((static_cast<Wide>(a) * ratio) >> kTscFractionBits);
}

/// mul_s64_u64_shr: the sign is put aside.
std::uint64_t scaled_signed(std::uint64_t a, std::uint64_t ratio) {
    return static_cast<std::int64_t>(a) < 0 ? 0 - scaled(0 - a, ratio) : scaled(a, ratio);
}

Predicted tsc_offset(const Situation& s, const Transition& t) {
    const auto l2 = tsc_of_l2(s, t);
    const Word l1 = t.context.l1_tsc_offset;
    if (!l2 || !l1) return nothing();
    return exactly((l2->ratio == kDefaultTscRatio ? *l1 : scaled_signed(*l1, l2->ratio)) + l2->offset);
}

Predicted tsc_multiplier(const Situation& s, const Transition& t) {
    const auto l2 = tsc_of_l2(s, t);
    const Word l1 = t.context.l1_tsc_scaling_ratio;
    if (!l2 || !l1) return nothing();
    return exactly(l2->ratio == kDefaultTscRatio ? *l1 : scaled(*l1, l2->ratio));
}

// ---- What the entry loads, or not

/// vmcs12's when L1 has just asked for it (nested_run_pending) and its control says load; else what L0 has.
Predicted loaded(const Situation& s, std::uint64_t control, Predicted of_vmcs12, Predicted else_) {
    if (!s.run_pending || !s.entry12) return nothing();
    return *s.run_pending && (*s.entry12 & control) ? of_vmcs12 : else_;
}

Predicted debugctl(const Situation& s, const Transition& t) {
    const Word mine = known(t.vmcs12_before[Field::GUEST_IA32_DEBUGCTL]);
    // Bits that the processor lacks are dropped; FREEZE_IN_SMM is the host's.
    const Predicted of_vmcs12 = mine ? exactly(*mine, ~*mine & ~kFreezeInSmm) : nothing();
    const Predicted before =
        t.context.pre_vmenter_debugctl ? exactly(*t.context.pre_vmenter_debugctl, kAll & ~kFreezeInSmm) : nothing();
    return loaded(s, vmx::entries::kLoadDebug, of_vmcs12, before);
}

Predicted dr7(const Situation& s, const Transition& t) {
    const auto fixed = [](Word v) {
        return v ? exactly((*v & 0xffff2bff) | 0x400) : nothing();
    };  // DR7_VOLATILE, DR7_FIXED_1
    return loaded(s, vmx::entries::kLoadDebug, fixed(known(t.vmcs12_before[Field::GUEST_DR7])), fixed(t.context.dr7));
}

Predicted intr_info(const Situation& s, const Transition& t) {
    if (!s.run_pending) return nothing();
    return *s.run_pending ? exactly(t.vmcs12_before[Field::VM_ENTRY_INTR_INFO_FIELD]) : exactly(0ull);
}

Predicted vpid(const Situation& s, const Transition& t) {
    const Context& c = t.context;
    if (!s.sec12 || !c.vpid || !c.vpid02 || c.enable_vpid == false) return nothing();
    return exactly(static_cast<std::uint64_t>((*s.sec12 & vmx::secondary::kVpid) && *c.vpid02 ? *c.vpid02 : *c.vpid));
}

Predicted pdptr(const FieldRule& rule, const Situation& s, const Transition& t) {
    return s.pdptrs == Did::Copied || s.pdptrs == Did::CopiedUnused ? exactly(t.vmcs12_before[rule.field]) : nothing();
}

/// vmx_set_rflags: outside protected mode without unrestricted guest, L0 runs L2 in virtual-8086 mode.
Predicted rflags(const Situation& s, const Transition& t) {
    const Word cr0 = known(t.vmcs12_before[Field::GUEST_CR0]);
    const bool own = s.unrestricted == true || (cr0 && (*cr0 & vmx::cr0::kPe));
    return own ? exactly(t.vmcs12_before[Field::GUEST_RFLAGS]) : nothing();
}

// ---- Exits

/// vmcs12_guest_cr0 and _cr4: L2's own bits from vmcs02, L1's from vmcs12, those that only L0 intercepts from the
/// shadow.
Predicted cr_back(const Transition& t, Word owned, Field reg, Field mask, Field shadow) {
    const Word r02 = known(t.vmcs02_before[reg]), s02 = known(t.vmcs02_before[shadow]);
    const Word r12 = known(t.vmcs12_before[reg]), m12 = known(t.vmcs12_before[mask]);
    if (!owned || !r02 || !s02 || !r12 || !m12) return nothing();
    return exactly((*r02 & *owned) | (*r12 & *m12) | (*s02 & ~(*m12 | *owned)));
}

/// kvm_rip_read, kvm_rsp_read: KVM's register where it has changed it, vmcs02's where not.
Predicted cached(const Transition& t, Field field, unsigned reg) {
    const auto& dirty = t.context.regs_dirty;
    return dirty && !((*dirty >> reg) & 1) ? exactly(t.vmcs02_before[field]) : nothing();
}

Predicted entry_controls_back(const Situation& s, const Transition& t) {
    const Word now = known(t.vmcs02_before[Field::VM_ENTRY_CONTROLS]);
    if (!s.entry12 || !now) return nothing();
    return exactly((*s.entry12 & ~vmx::entries::kIa32eGuest) | (*now & vmx::entries::kIa32eGuest));
}

Predicted activity_state(const Transition& t) {
    const auto& mp = t.context.mp_state;
    if (!mp) return nothing();
    return exactly(*mp == kMpHalted         ? vmx::activity::kHlt
                   : *mp == kMpInitReceived ? vmx::activity::kWaitForSipi
                                            : vmx::activity::kActive);
}

/// The processor's, but a soft exception that was being delivered brings its own (vmcs12_save_pending_event).
Predicted instruction_length(const Transition& t) {
    const Word vectoring = known(t.vmcs12_after[Field::IDT_VECTORING_INFO_FIELD]);
    const bool soft = !vectoring || ((*vectoring & kInterruptionValid) &&
                                     (*vectoring & vmx::injection::kType) == vmx::injection::kSoftwareException << 8);
    return soft ? nothing() : exactly(t.vmcs02_before[Field::VM_EXIT_INSTRUCTION_LEN]);
}

/// Overwritten where L1 asked for the vector of an external interrupt.
Predicted exit_intr_info(const Situation& s, const Transition& t) {
    constexpr std::uint64_t external_interrupt = 1;
    const bool acknowledged = !s.exit12 || (*s.exit12 & vmx::exits::kAcknowledgeInterrupt);
    if (acknowledged && (!t.exit.reason.known() || (t.exit.reason.bits & 0xffff) == external_interrupt))
        return nothing();
    return exactly(t.exit.intr_info);
}

std::uint64_t width_mask(Field f) {
    return vmx::bytes_of(f) == 8 ? kAll : (1ull << (8 * vmx::bytes_of(f))) - 1;
}

Predicted entry_value(const FieldRule& rule, const Situation& s, const Transition& t) {
    const vmx::VmcsImage& v12 = t.vmcs12_before;
    switch (rule.entry_value) {
        case EntryValue::None: return nothing();
        case EntryValue::Verbatim: return exactly(v12[rule.field]);
        case EntryValue::Zero: return exactly(0ull);
        case EntryValue::AllOnes: return exactly(kAll);
        case EntryValue::Pdptr: return pdptr(rule, s, t);
        case EntryValue::Vpid: return vpid(s, t);
        case EntryValue::Pin: return pin(s);
        case EntryValue::Primary: return primary(s, t);
        case EntryValue::Secondary: return secondary(s, t);
        case EntryValue::EntryControls: return entry_controls(s, t);
        case EntryValue::ExitControls: return exit_controls(s, t);
        case EntryValue::ExceptionBitmap: return exception_bitmap(s, t);
        case EntryValue::PageFaultFilter: return page_fault_filter(rule, s, t);
        case EntryValue::TscOffset: return tsc_offset(s, t);
        case EntryValue::TscMultiplier: return tsc_multiplier(s, t);
        case EntryValue::Cr0Mask:
            return guest_host_mask(t.context.cr0_guest_owned_bits, v12[Field::CR0_GUEST_HOST_MASK]);
        case EntryValue::Cr4Mask:
            return guest_host_mask(t.context.cr4_guest_owned_bits, v12[Field::CR4_GUEST_HOST_MASK]);
        case EntryValue::Cr0Shadow:
            return mixed(v12, Field::GUEST_CR0, Field::CR0_READ_SHADOW, Field::CR0_GUEST_HOST_MASK);
        case EntryValue::Cr4Shadow:
            return mixed(v12, Field::GUEST_CR4, Field::CR4_READ_SHADOW, Field::CR4_GUEST_HOST_MASK);
        case EntryValue::Cr0: return cr0(s, t);
        case EntryValue::Cr3: return cr3(s, t);
        case EntryValue::Cr4: return cr4(s, t);
        case EntryValue::Rflags: return rflags(s, t);
        case EntryValue::Debugctl: return debugctl(s, t);
        case EntryValue::Dr7: return dr7(s, t);
        case EntryValue::Pat:
            return loaded(s, vmx::entries::kLoadPat, exactly(v12[Field::GUEST_IA32_PAT]), exactly(t.context.pat));
        case EntryValue::Efer: return exactly(switched_efer(s, t));
        case EntryValue::Bndcfgs:
            return loaded(s, vmx::entries::kLoadBndcfgs, nothing(), exactly(t.context.pre_vmenter_bndcfgs));
        case EntryValue::IntrInfo: return intr_info(s, t);
    }
    return nothing();
}

Predicted exit_value(const FieldRule& rule, const Situation& s, const Transition& t) {
    switch (rule.exit_value) {
        case ExitValue::None: return nothing();
        case ExitValue::Unchanged: return exactly(t.vmcs12_before[rule.field]);
        case ExitValue::FromVmcs02: return exactly(t.vmcs02_after[rule.field]);
        case ExitValue::Cr0Back:
            return cr_back(t, t.context.cr0_guest_owned_bits, Field::GUEST_CR0, Field::CR0_GUEST_HOST_MASK,
                           Field::CR0_READ_SHADOW);
        case ExitValue::Cr4Back:
            return cr_back(t, t.context.cr4_guest_owned_bits, Field::GUEST_CR4, Field::CR4_GUEST_HOST_MASK,
                           Field::CR4_READ_SHADOW);
        case ExitValue::RipBack: return cached(t, Field::GUEST_RIP, kRegRip);
        case ExitValue::RspBack: return cached(t, Field::GUEST_RSP, kRegRsp);
        case ExitValue::EntryControlsBack: return entry_controls_back(s, t);
        case ExitValue::ActivityState: return activity_state(t);
        case ExitValue::ArchDr7: return exactly(t.context.dr7);
        case ExitValue::ArchEfer: return exactly(t.context.efer);
        case ExitValue::ExitReason: return exactly(t.exit.reason);
        case ExitValue::ExitQualification: return exactly(t.exit.qualification);
        case ExitValue::ExitIntrInfo: return exit_intr_info(s, t);
        case ExitValue::IntrInfoInvalid: {
            const Word info = known(t.vmcs12_before[rule.field]);
            return info ? exactly(*info & ~kInterruptionValid) : nothing();
        }
        case ExitValue::InstructionLength: return instruction_length(t);
    }
    return nothing();
}

/// What does not fit into the field is not compared.
Predicted fitted(Predicted p, Field f) {
    p.mask &= width_mask(f);
    p.bits &= p.mask;
    return p;
}

}  // namespace

std::optional<bool> efer_differs(const Situation& s, const Transition& t) {
    const Word efer = switched_efer(s, t);
    if (!efer || !s.host_efer) return std::nullopt;
    return *efer != *s.host_efer;
}

Predicted predict_entry(const FieldRule& rule, const Situation& s, const Transition& t) {
    return fitted(entry_value(rule, s, t), rule.field);
}

Predicted predict_exit(const FieldRule& rule, const Situation& s, const Transition& t) {
    return fitted(exit_value(rule, s, t), rule.field);
}

std::array<Part, kMostParts> parts_of(const FieldRule& rule, const Situation& s, const Transition& t) {
    const auto value = [](Word w) { return w ? vmx::Value::of(*w) : vmx::Value{}; };
    const auto and_not = [&](Word w, std::uint64_t mask) { return w ? vmx::Value::of(*w & ~mask) : vmx::Value{}; };
    const vmx::VmcsImage& v12 = t.vmcs12_before;
    const auto owned = [&](Word w) { return w ? vmx::Value::of(~*w) : vmx::Value{}; };
    switch (rule.entry_value) {
        case EntryValue::Pin:
            return {{{"vmcs01", value(s.pin01)},
                     {"vmcs12 & ~PREEMPTION_TIMER", and_not(s.pin12, vmx::pin::kPreemptionTimer)}}};
        case EntryValue::Primary:
            return {{{"vmcs01 & ~(INTR_WINDOW | NMI_WINDOW | TPR_SHADOW)", and_not(s.exec01, kWindowsAndTpr)},
                     {"vmcs12", value(s.exec12)},
                     {"always UNCOND_IO, never IO_BITMAPS", vmx::Value::of(vmx::proc::kUnconditionalIoExiting)}}};
        case EntryValue::Secondary:
            return {{{"vmcs01, but what only vmcs12 decides", and_not(s.sec01, kSecondaryOfVmcs12)},
                     {"vmcs12, if activated", value(s.sec12)},
                     {"never PML and SHADOW_VMCS", vmx::Value::of(0)}}};
        case EntryValue::EntryControls:
            return {{{"vmcs01", value(s.entry01)},
                     {"vmcs12 & ~LOAD_PERF_GLOBAL_CTRL", and_not(s.entry12, vmx::entries::kLoadPerfGlobalCtrl)},
                     {"L2's EFER", value(l2_efer(s, t))},
                     {"the host's EFER", value(s.host_efer)}}};
        case EntryValue::ExitControls:
            return {{{"vmcs01", value(s.exit01)},
                     {"L2's EFER", value(l2_efer(s, t))},
                     {"the host's EFER", value(s.host_efer)}}};
        case EntryValue::ExceptionBitmap: return {{{"vmcs01", t.vmcs01[rule.field]}, {"vmcs12", v12[rule.field]}}};
        case EntryValue::TscOffset:
            return {{{"L1's offset", value(t.context.l1_tsc_offset)},
                     {"vmcs12", v12[rule.field]},
                     {"vmcs12 TSC_MULTIPLIER", v12[Field::TSC_MULTIPLIER]}}};
        case EntryValue::TscMultiplier:
            return {{{"L1's ratio", value(t.context.l1_tsc_scaling_ratio)}, {"vmcs12", v12[rule.field]}}};
        case EntryValue::Cr0Mask:
            return {
                {{"L0: ~cr0_guest_owned_bits", owned(t.context.cr0_guest_owned_bits)}, {"vmcs12", v12[rule.field]}}};
        case EntryValue::Cr4Mask:
            return {
                {{"L0: ~cr4_guest_owned_bits", owned(t.context.cr4_guest_owned_bits)}, {"vmcs12", v12[rule.field]}}};
        case EntryValue::Cr0Shadow:
            return {{{"vmcs12 GUEST_CR0", v12[Field::GUEST_CR0]},
                     {"vmcs12 CR0_READ_SHADOW", v12[rule.field]},
                     {"vmcs12 CR0_GUEST_HOST_MASK", v12[Field::CR0_GUEST_HOST_MASK]}}};
        case EntryValue::Cr4Shadow:
            return {{{"vmcs12 GUEST_CR4", v12[Field::GUEST_CR4]},
                     {"vmcs12 CR4_READ_SHADOW", v12[rule.field]},
                     {"vmcs12 CR4_GUEST_HOST_MASK", v12[Field::CR4_GUEST_HOST_MASK]}}};
        case EntryValue::Cr0:
            return {{{"vmcs12 & ~(NW | CD)", and_not(known(v12[rule.field]), vmx::cr0::kNw | vmx::cr0::kCd)},
                     {"always NE", vmx::Value::of(kCr0Ne)}}};
        case EntryValue::Cr4: return {{{"vmcs12", v12[rule.field]}, {"always VMXE", vmx::Value::of(kCr4Vmxe)}}};
        default: return {};
    }
}

}  // namespace vmxscope::nested
