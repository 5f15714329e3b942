#include "plugins/kvm/assembler.h"

#include <string_view>
#include <utility>

#include "vmx/controls.h"

namespace vmxscope::kvm {
namespace {

using nested::Kind;
using nested::Transition;
using vmx::Field;
using vmx::Value;

constexpr std::uint64_t kEvmptrMapPending = ~1ull;           // EVMPTR_MAP_PENDING -2, EVMPTR_INVALID -1: the two above all pointers
constexpr std::int32_t kVmentryVmfail = 1;                   // enum nvmx_vmentry_status: L1 sees VMfail
constexpr std::int32_t kVmentryVmexit = 2;                   // …: L1 sees the failure as a VM-exit
constexpr std::uint64_t kEntryFailed = 1ull << 31;           // of the exit reason
constexpr unsigned kKvmRegisters = 17;
constexpr std::size_t kMostEvidence = 1u << 14;  // of one transition: a vCPU that user space reads out makes none
constexpr std::string_view kChanged = "what is watched was changed meanwhile.";

/// VCPU_REGS_* of arch/x86/include/asm/kvm_host.h to gdb's order.
constexpr nested::Reg kRegisterOf[kKvmRegisters] = {nested::RAX, nested::RCX, nested::RDX, nested::RBX, nested::RSP, nested::RBP,
                                                    nested::RSI, nested::RDI, nested::R8,  nested::R9,  nested::R10, nested::R11,
                                                    nested::R12, nested::R13, nested::R14, nested::R15, nested::RIP};

void note_incomplete(Transition& t, std::string_view why) { t.notes.push_back(std::string(nested::kEvidenceIncomplete).append(why)); }

std::optional<bool> pae_of(std::optional<std::uint64_t> cr0, std::optional<std::uint64_t> cr4, std::optional<bool> long_mode) {
    if (!cr0 || !cr4 || !long_mode) return std::nullopt;
    return (*cr0 & vmx::cr0::kPg) && (*cr4 & vmx::cr4::kPae) && !*long_mode;
}

std::optional<std::uint64_t> known(const Value& v) {
    if (!v.known()) return std::nullopt;
    return v.bits;
}

/// nested_cpu_has_ept(vmcs12).
std::optional<bool> has_ept(const vmx::VmcsImage& vmcs12) {
    const Value& primary = vmcs12[Field::CPU_BASED_VM_EXEC_CONTROL];
    const Value& secondary = vmcs12[Field::SECONDARY_VM_EXEC_CONTROL];
    if (!primary.known() || !secondary.known()) return std::nullopt;
    return (primary.bits & vmx::proc::kSecondaryControls) && (secondary.bits & vmx::secondary::kEpt);
}

/// evmptr_is_valid(); before v5.14 (1e9dfbd748f3) the mapping's pointer itself; no member at all: KVM built without it.
bool uses_evmcs(const Sample& s) {
    if (const auto vmptr = s.number(StateMember::HvEvmcsVmptr)) return *vmptr < kEvmptrMapPending;
    return s.number(StateMember::HvEvmcs).value_or(0) != 0;
}

/// KVM's state at `s`. What belongs to one moment only (dirty_vmcs12, from_vmentry, pae) is for the caller to set.
nested::Context context_of(const Sample& s, const Parameters& parameters) {
    nested::Context c;
    c.enable_ept = parameters.ept;
    c.enable_shadow_vmcs = parameters.shadow_vmcs;
    c.enable_vpid = parameters.vpid;
    c.enable_unrestricted_guest = parameters.unrestricted_guest;
    if (s.vmcs12) c.nested_ept = has_ept(*s.vmcs12);
    c.dirty_vmcs12 = s.flag(StateMember::DirtyVmcs12);
    c.evmcs = uses_evmcs(s);
    if (*c.evmcs)
        if (const auto clean = s.number(StateMember::HvCleanFields)) c.evmcs_clean_fields = static_cast<std::uint32_t>(*clean);
    c.pdptrs_from_userspace = s.flag(StateMember::PdptrsFromUserspace);
    c.nested_run_pending = s.flag(StateMember::NestedRunPending);
    c.need_vmcs12_to_shadow_sync = s.flag(StateMember::NeedVmcs12ToShadowSync);
    c.need_sync_vmcs02_to_vmcs12_rare = s.flag(StateMember::NeedSyncVmcs02ToVmcs12Rare);
    c.vmx_fail = s.flag(StateMember::Fail);
    c.current_vmptr = s.number(StateMember::CurrentVmptr);
    c.cr0 = s.number(StateMember::Cr0);
    c.cr3 = s.number(StateMember::Cr3);
    c.cr4 = s.number(StateMember::Cr4);
    c.efer = s.number(StateMember::Efer);
    const auto narrow = [&](StateMember m) -> std::optional<std::uint32_t> {
        if (const auto v = s.number(m)) return static_cast<std::uint32_t>(*v);
        return std::nullopt;
    };
    c.regs_avail = narrow(StateMember::RegsAvail);
    c.regs_dirty = narrow(StateMember::RegsDirty);
    c.hflags = narrow(StateMember::Hflags);
    c.pae = pae_of(c.cr0, c.cr4, c.efer ? std::optional(bool(*c.efer & vmx::efer::kLma)) : std::nullopt);
    c.cr0_guest_owned_bits = s.number(StateMember::Cr0GuestOwnedBits);
    c.cr4_guest_owned_bits = s.number(StateMember::Cr4GuestOwnedBits);
    c.l1_tsc_offset = s.number(StateMember::L1TscOffset);
    c.l1_tsc_scaling_ratio = s.number(StateMember::L1TscScalingRatio);
    c.pat = s.number(StateMember::Pat);
    c.dr7 = s.number(StateMember::Dr7);
    c.pre_vmenter_debugctl = s.number(StateMember::PreVmenterDebugctl);
    c.pre_vmenter_bndcfgs = s.number(StateMember::PreVmenterBndcfgs);
    c.mp_state = narrow(StateMember::MpState);
    c.vpid = narrow(StateMember::Vpid);
    c.vpid02 = narrow(StateMember::Vpid02);
    return c;
}

/// Of a nested entry's context, what is only true once KVM has installed L2's mode, or is left by having tried to.
void take_installed(nested::Context& c, const nested::Context& now) {
    c.nested_ept = now.nested_ept;
    c.pae = now.pae;
    c.nested_run_pending = now.nested_run_pending;
    c.need_vmcs12_to_shadow_sync = now.need_vmcs12_to_shadow_sync;
    c.need_sync_vmcs02_to_vmcs12_rare = now.need_sync_vmcs02_to_vmcs12_rare;
    c.vmx_fail = now.vmx_fail;
    c.current_vmptr = now.current_vmptr;
    c.cr0 = now.cr0;
    c.cr3 = now.cr3;
    c.cr4 = now.cr4;
    c.efer = now.efer;
    c.regs_avail = now.regs_avail;
    c.regs_dirty = now.regs_dirty;
    c.hflags = now.hflags;
}

/// General registers from KVM's array; RIP, RSP and RFLAGS from the VMCS that holds the level's own.
std::array<Value, nested::kRegCount> registers_of(const Sample& s, const std::optional<vmx::VmcsImage>& vmcs) {
    std::array<Value, nested::kRegCount> out{};
    for (unsigned i = 0; i < kKvmRegisters; ++i) out[kRegisterOf[i]] = s.gpr(i);
    out[nested::RIP] = vmcs ? (*vmcs)[Field::GUEST_RIP] : Value{};
    out[nested::RSP] = vmcs ? (*vmcs)[Field::GUEST_RSP] : Value{};
    out[nested::RFLAGS] = vmcs ? (*vmcs)[Field::GUEST_RFLAGS] : Value{};
    return out;
}

nested::ExitInfo exit_info_of(const vmx::VmcsImage& v) {
    nested::ExitInfo e;
    e.reason = v[Field::VM_EXIT_REASON];
    e.qualification = v[Field::EXIT_QUALIFICATION];
    e.intr_info = v[Field::VM_EXIT_INTR_INFO];
    e.intr_error_code = v[Field::VM_EXIT_INTR_ERROR_CODE];
    e.instruction_length = v[Field::VM_EXIT_INSTRUCTION_LEN];
    e.guest_linear = v[Field::GUEST_LINEAR_ADDRESS];
    e.guest_physical = v[Field::GUEST_PHYSICAL_ADDRESS];
    return e;
}

}  // namespace

std::optional<bool> pae_paging(const vmx::VmcsImage& vmcs) {
    const Value& controls = vmcs[Field::VM_ENTRY_CONTROLS];
    return pae_of(known(vmcs[Field::GUEST_CR0]), known(vmcs[Field::GUEST_CR4]),
                  controls.known() ? std::optional(bool(controls.bits & vmx::entries::kIa32eGuest)) : std::nullopt);
}

void Assembler::note_lost(std::uint64_t lost) {
    lost_since_ += lost - lost_seen_;
    lost_seen_ = lost;
}

/// A transition that starts at `s`: both VMCSs as last seen, for the caller to update.
Transition Assembler::begin(Kind kind, const Sample& s) {
    Transition t;
    t.kind = kind;
    t.tsc = s.tsc;
    t.vcpu = vcpu_id_.value_or(s.slot);
    t.context = context_of(s, parameters_);
    t.evidence_scope = watched_.scope;
    if (!s.level2 && s.vmcs) t.vmcs01 = *s.vmcs;
    t.context.last_hw_exit_pae = last_hw_exit_pae_;
    t.vmcs12_before = s.vmcs12.value_or(vmcs12_);
    t.vmcs12_after = t.vmcs12_before;
    t.vmcs02_before = vmcs02_;
    t.vmcs02_after = vmcs02_;
    t.vmcs02_as_of = vmcs02_seq_;
    t.cached_pdptrs = s.cached_pdptrs();
    t.lost_before = std::exchange(lost_since_, 0);
    t.evidence = std::exchange(loose_, {});
    return t;
}

/// The last word on a transition: what later ones start from.
Transition Assembler::finish(Transition t) {
    t.lost_before += std::exchange(lost_since_, 0);
    const bool judged = t.kind == Kind::NestedEntry || t.kind == Kind::NestedExit || t.kind == Kind::NestedEntryFailed;
    if (judged && !watched_.gap.empty()) note_incomplete(t, watched_.gap);
    if (judged && changing_) note_incomplete(t, kChanged);
    vmcs12_ = t.vmcs12_after;
    vmcs02_ = t.vmcs02_after;
    return t;
}

void Assembler::number(Transition& t, std::uint64_t seq) {
    t.seq = seq;
    if (t.vmcs02_as_of == kReadHere) t.vmcs02_as_of = vmcs02_seq_ = seq;
    else t.vmcs02_as_of = vmcs02_seq_;
}

void Assembler::take(const nested::Evidence& access, std::uint64_t lost) {
    note_lost(lost);
    auto& where = exit_ ? exit_->evidence : entry_ ? entry_->evidence : loose_;
    if (where.size() < kMostEvidence) where.push_back(access);
    else ++lost_since_;
}

void Assembler::change_ends(Watched watched) {
    for (auto* t : {&entry_, &exit_})
        if (*t && changing_) note_incomplete(**t, kChanged);
    changing_ = false;
    watched_ = std::move(watched);
}

std::vector<Transition> Assembler::take(const Sample& s) {
    note_lost(s.lost);
    if (const auto id = s.number(StateMember::VcpuId)) vcpu_id_ = static_cast<std::uint32_t>(*id);
    level_ = s.level2 ? 2 : 1;
    std::vector<Transition> out;
    if (vmfail_) out.push_back(vmfailed(s));
    switch (s.role) {
        case Role::VmlaunchBegin: vmlaunch_ = s; break;
        case Role::VmlaunchEnd:
            // With vmcs02 loaded it succeeded, and what is missing is the record of its beginning.
            if (vmlaunch_ && !s.level2) out.push_back(failed_vmlaunch(s));
            vmlaunch_.reset();
            break;
        case Role::NestedEntryBegin:
            if (exit_) out.push_back(nested_exit_unended());
            nested_entry_begins(s);
            break;
        case Role::Vmcs02Loaded:
            if (entry_ && s.vmcs) {
                entry_->vmcs02_before = entry_->vmcs02_after = *s.vmcs;
                entry_->vmcs02_as_of = kReadHere;
            }
            break;
        case Role::NestedEntryEnd:
            if (auto failed = nested_entry_ends(s)) out.push_back(std::move(*failed));
            break;
        case Role::BeforeEntry:
            if (entry_ && entry_returned_) out.push_back(nested_entry_done(s, {}));
            break;
        case Role::NestedExitBegin:
            if (entry_ && entry_returned_) out.push_back(nested_entry_done(s, "KVM exited to L1 before the hardware VM-entry: L2 did not run."));
            nested_exit_begins(s);
            break;
        case Role::Vmcs02Leaves:
            // In an entry: KVM goes back to vmcs01 because the entry failed.
            if (auto& under_way = exit_ ? exit_ : entry_; under_way && s.vmcs) {
                under_way->vmcs02_after = *s.vmcs;
                under_way->vmcs02_as_of = kReadHere;
            }
            break;
        case Role::NestedExitEnd:
            if (exit_) {
                if (s.vmcs12) exit_->vmcs12_after = *s.vmcs12;
                out.push_back(finish(std::move(*exit_)));
                exit_.reset();
            }
            break;
        case Role::HardwareEntry:
            if (exit_) out.push_back(nested_exit_unended());
            if (entry_ && (entry_returned_ || s.level2)) out.push_back(nested_entry_done(s, "the point before the hardware VM-entry was not seen."));
            out.push_back(hardware(s, true));
            break;
        case Role::HardwareExit: out.push_back(hardware(s, false)); break;
        case Role::VmcsAccess:
        case Role::VmxFail:
        case Role::Rest: break;
    }
    return out;
}

Transition Assembler::hardware(const Sample& s, bool entry) {
    const Kind kind = entry ? (s.level2 ? Kind::L2Entry : Kind::L1Entry) : (s.level2 ? Kind::L2Exit : Kind::L1Exit);
    Transition t = begin(kind, s);
    t.vmcs12_before = vmcs12_.any_known() ? vmcs12_ : t.vmcs12_before;
    t.regs = registers_of(s, s.vmcs);
    if (!s.vmcs) t.notes.push_back("The current VMCS was not the one that KVM has loaded, so it was not read.");
    if (!entry && s.vmcs) t.exit = exit_info_of(*s.vmcs);
    if (!entry && t.context.vmx_fail.value_or(false)) t.notes.push_back("The VM-entry itself failed (VMfail): no exit happened.");
    if (s.level2 && s.vmcs) {
        t.vmcs02_after = *s.vmcs;
        t.vmcs02_as_of = kReadHere;
    }
    // A VM-entry that failed saved no guest state (SDM Vol. 3C 26.8), so vmcs02 still has that of the exit before.
    const bool failed = t.context.vmx_fail.value_or(false) || (t.exit.reason.bits & kEntryFailed);
    if (s.level2 && !entry && !failed) last_hw_exit_pae_ = s.vmcs ? pae_paging(*s.vmcs) : std::nullopt;
    return finish(std::move(t));
}

void Assembler::nested_entry_begins(const Sample& s) {
    vmlaunch_.reset();
    entry_returned_ = false;
    entry_ = begin(Kind::NestedEntry, s);
    entry_->context.from_vmentry = s.registers[1] & 1;  // RSI: bool from_vmentry
    entry_->context.pae.reset();                        // L2's mode is not installed yet
}

/// KVM has installed L2's mode, or refused.
std::optional<Transition> Assembler::nested_entry_ends(const Sample& s) {
    if (!entry_) return std::nullopt;
    Transition& t = *entry_;
    t.status = static_cast<std::int32_t>(static_cast<std::uint32_t>(s.registers[5]));
    take_installed(t.context, context_of(s, parameters_));
    if (s.vmcs12) t.vmcs12_after = *s.vmcs12;
    t.regs = registers_of(s, s.vmcs12);
    if (*t.status != 0) {
        t.kind = Kind::NestedEntryFailed;
        t.context.pae.reset();
        if (s.vmcs12 && t.status == kVmentryVmexit) t.exit = exit_info_of(*s.vmcs12);
        if (t.status == kVmentryVmfail && t.context.from_vmentry.value_or(false)) {
            vmfail_ = std::move(entry_);
            entry_.reset();
            return std::nullopt;
        }
        Transition failed = finish(std::move(t));
        entry_.reset();
        return failed;
    }
    if (s.vmcs) t.vmcs02_after = *s.vmcs;
    entry_returned_ = true;
    return std::nullopt;
}

Transition Assembler::nested_entry_done(const Sample& s, std::string note) {
    Transition t = std::move(*entry_);
    entry_.reset();
    if (s.level2 && s.vmcs) {
        t.vmcs02_after = *s.vmcs;
        t.vmcs02_as_of = kReadHere;
    }
    t.cached_pdptrs = s.cached_pdptrs();
    t.tsc = s.tsc;
    if (const auto dirty = s.number(StateMember::RegsDirty)) t.context.regs_dirty = static_cast<std::uint32_t>(*dirty);
    // The PDPTRs from memory reach vmcs02 just before the hardware VM-entry: without that point, nothing follows from their absence.
    if (!note.empty()) note_incomplete(t, note);
    return finish(std::move(t));
}

void Assembler::nested_exit_begins(const Sample& s) {
    exit_ = begin(Kind::NestedExit, s);
    // nested_vmx_vmexit(vcpu, vm_exit_reason, exit_intr_info, exit_qualification)
    exit_->exit.reason = Value::of(s.registers[1] & 0xffffffff);
    exit_->exit.intr_info = Value::of(s.registers[2] & 0xffffffff);
    exit_->exit.qualification = Value::of(s.registers[3]);
    if (s.vmcs) {
        exit_->vmcs02_before = exit_->vmcs02_after = *s.vmcs;
        exit_->vmcs02_as_of = kReadHere;
        exit_->exit.instruction_length = (*s.vmcs)[Field::VM_EXIT_INSTRUCTION_LEN];
        exit_->exit.guest_linear = (*s.vmcs)[Field::GUEST_LINEAR_ADDRESS];
        exit_->exit.guest_physical = (*s.vmcs)[Field::GUEST_PHYSICAL_ADDRESS];
    }
    exit_->regs = registers_of(s, s.vmcs);
}

/// The record of its end was lost, or the probe there missed.
Transition Assembler::nested_exit_unended() {
    Transition t = std::move(*exit_);
    exit_.reset();
    note_incomplete(t, "the end of the nested VM-exit was not seen.");
    return finish(std::move(t));
}

/// VM_INSTRUCTION_ERROR is written after nested_vmx_enter_non_root_mode has returned.
Transition Assembler::vmfailed(const Sample& s) {
    Transition t = std::move(*vmfail_);
    vmfail_.reset();
    if (s.role == Role::VmlaunchEnd && s.vmcs12) t.vmcs12_after = *s.vmcs12;
    else t.notes.push_back("The end of VMLAUNCH or VMRESUME was not seen: vmcs12 is as of before KVM told L1 why.");
    return finish(std::move(t));
}

/// VMLAUNCH or VMRESUME ended without a nested entry having begun: VMfail, or an exception for L1.
Transition Assembler::failed_vmlaunch(const Sample& s) {
    Transition t = begin(Kind::NestedEntryFailed, *vmlaunch_);
    t.tsc = s.tsc;
    t.context.pae.reset();
    if (s.vmcs12) {
        // KVM first takes in what L1 left in its shadow or enlightened VMCS, and judges that; then it writes the error.
        const Value error = t.vmcs12_before[Field::VM_INSTRUCTION_ERROR];
        t.vmcs12_before = t.vmcs12_after = *s.vmcs12;
        t.vmcs12_before[Field::VM_INSTRUCTION_ERROR] = error;
    }
    t.regs = registers_of(s, std::nullopt);
    t.notes.push_back("KVM refused before it began: VMfail (see VM_INSTRUCTION_ERROR of vmcs12) or an exception for L1.");
    return finish(std::move(t));
}

}  // namespace vmxscope::kvm
