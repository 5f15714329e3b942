// The Transition: the one central record. The agent ships it, the trace stores it, every view derives from it.
// Verdicts, differences and texts are not in it: they are computed from it by pure functions (nested/pdptr.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmx/field.h"

namespace vmxscope::nested {

/// Hardware crossings (l1-*, l2-*) and KVM's two nested operations between them, in the order of one round trip:
/// l1-exit, nested-entry, l2-entry, l2-exit, nested-exit, l1-entry.
enum class Kind : std::uint8_t { L1Exit, NestedEntry, L2Entry, L2Exit, NestedExit, L1Entry, NestedEntryFailed };

std::string_view name_of(Kind kind);          // "nested-entry"
std::optional<Kind> kind_by_name(std::string_view name);
std::string_view levels_of(Kind kind);        // "L1->L2": from whom to whom; hardware crossings name L0 ("L1->L0")

/// What the exit (l1-exit, l2-exit: by the hardware; nested-exit: as L0 told L1) was about. Raw field contents.
struct ExitInfo {
    vmx::Value reason;  // all 32 bits: basic reason in 15:0, bit 31 = failed entry
    vmx::Value qualification, intr_info, intr_error_code, instruction_length, guest_linear, guest_physical;
    bool operator==(const ExitInfo&) const = default;
};

/// What KVM decided from, sampled where KVM decides (names are KVM's: struct nested_vmx, struct kvm_vcpu_arch).
/// Absent = this kernel has no such member, or it was not read.
struct Context {
    std::optional<bool> enable_ept;            // kvm_intel's parameter: E
    std::optional<bool> nested_ept;            // nested_cpu_has_ept(vmcs12): N
    std::optional<bool> pae;                   // is_pae_paging() of L2's mode: P
    std::optional<bool> dirty_vmcs12;          // before prepare_vmcs02 clears it: D
    std::optional<bool> evmcs;                 // evmptr_is_valid(hv_evmcs_vmptr): V
    std::optional<std::uint32_t> evmcs_clean_fields;  // hv_clean_fields; GUEST_GRP1 is bit 11: C
    std::optional<bool> from_vmentry;          // VMLAUNCH/VMRESUME, not KVM_SET_NESTED_STATE or RSM: F
    std::optional<bool> pdptrs_from_userspace; // U
    std::optional<bool> last_hw_exit_pae;      // the previous hardware exit of this vmcs02 was in PAE paging
    std::optional<bool> nested_run_pending, need_vmcs12_to_shadow_sync, need_sync_vmcs02_to_vmcs12_rare;
    std::optional<bool> vmx_fail;              // vmx->fail: the hardware entry itself VMfailed
    std::optional<std::uint64_t> current_vmptr;
    std::optional<std::uint64_t> cr0, cr3, cr4, efer;  // vcpu->arch of the active level
    std::optional<std::uint32_t> regs_avail, regs_dirty, hflags;
    // What prepare_vmcs02 computes from, as it was when the transition began (kvm_vcpu_arch, nested_vmx, vcpu_vmx).
    std::optional<std::uint64_t> cr0_guest_owned_bits, cr4_guest_owned_bits;
    std::optional<std::uint64_t> l1_tsc_offset, l1_tsc_scaling_ratio;
    std::optional<std::uint64_t> pat, dr7;                                 // vcpu->arch
    std::optional<std::uint64_t> pre_vmenter_debugctl, pre_vmenter_bndcfgs;  // older: vmcs01_debugctl, vmcs01_guest_bndcfgs
    std::optional<std::uint32_t> mp_state;                                 // KVM_MP_STATE_*
    std::optional<std::uint32_t> vpid, vpid02;
    std::optional<bool> enable_shadow_vmcs, enable_vpid, enable_unrestricted_guest;  // kvm_intel's parameters
    bool operator==(const Context&) const = default;
};

/// One VMREAD or VMWRITE instruction of KVM's, seen as it executed.
struct Evidence {
    enum class Op : std::uint8_t { Vmread, Vmwrite };
    Op op = Op::Vmread;
    std::uint16_t encoding = 0;  // the field operand
    vmx::Value value;
    std::string at;              // "prepare_vmcs02_rare.constprop.0+0x4a0"
    bool vmcs02 = true;          // KVM had vmcs02 loaded; false: vmcs01
    bool operator==(const Evidence&) const = default;
};

/// Which of KVM's VMREADs and VMWRITEs a session watches.
enum class EvidenceScope : std::uint8_t {
    None,
    Pdptrs,  // those that may be of GUEST_PDPTR0-3
    All,     // those of every field, in every function that may touch vmcs02
};
std::string_view name_of(EvidenceScope scope);  // "none", "pdptr", "all"
std::optional<EvidenceScope> evidence_scope_by_name(std::string_view name);

/// How a note of Transition::notes begins that says that VMREADs or VMWRITEs of the PDPTRs may have gone unseen (a probe
/// could not be placed, or missed): "Evidence is incomplete: vmx_ept_load_pdptrs could not be probed." No conclusion is then
/// drawn from what was not seen.
inline constexpr std::string_view kEvidenceIncomplete = "Evidence is incomplete: ";

/// Order of Transition::regs: gdb's amd64 order.
enum Reg : std::uint8_t { RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8, R9, R10, R11, R12, R13, R14, R15, RIP, RFLAGS, kRegCount };

struct Transition {
    std::uint64_t seq = 0;  // 1, 2, … over all vCPUs of a session, in the order of the crossings
    std::uint64_t tsc = 0;  // host TSC at the crossing
    std::uint32_t vcpu = 0; // KVM's vcpu_id
    Kind kind = Kind::L1Exit;
    ExitInfo exit;          // for entries: empty
    std::optional<std::int32_t> status;  // nested entries: enum nvmx_vmentry_status that KVM returned; 0 = entered
    std::array<vmx::Value, kRegCount> regs{};  // of the level that leaves (exits) or is entered (entries)
    Context context;
    vmx::VmcsImage vmcs01;  // as far as it was read, when the transition began (nested-entry, l1-*); else not read
    vmx::VmcsImage vmcs12_before, vmcs12_after;
    vmx::VmcsImage vmcs02_before, vmcs02_after;
    std::uint64_t vmcs02_as_of = 0;  // seq of the transition at which vmcs02_after was read; == seq when read here, 0 = never
    std::array<vmx::Value, 4> cached_pdptrs{};  // vcpu->arch.walk_mmu->pdptrs, after
    EvidenceScope evidence_scope = EvidenceScope::Pdptrs;
    std::vector<Evidence> evidence;
    std::string kvm_reason;          // nested-entry-failed: kvm_nested_vmenter_failed's text ("nested_cr0_valid(...)"), or ""
    std::uint64_t lost_before = 0;   // records lost for want of room just before this one
    std::vector<std::string> notes;  // what could not be seen here, and why: one sentence each
    bool operator==(const Transition&) const = default;
};

struct DecodeError {
    std::string what;
    std::size_t offset = 0;  // bytes from the start of the input
};

}  // namespace vmxscope::nested
