// What the module is to be told about this kernel's KVM: the hooks and why each is there, the members of KVM's state
// that go with them, and the VMCS fields of an image. Worked out from BTF, kallsyms and KVM's own code.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "nested/transition.h"
#include "plugins/kvm/module/vmxscope_uapi.h"

namespace vmxscope::kvm {

/// What a hook's record means to the assembler.
enum class Role : std::uint8_t {
    HardwareEntry,     // the call to vmx_vcpu_enter_exit in vmx_vcpu_run: the VMCS is as the processor will load it
    HardwareExit,      // vmx_vcpu_run returns: the VMCS is as the processor saved it
    VmlaunchBegin,     // nested_vmx_run: L1 executed VMLAUNCH or VMRESUME
    VmlaunchEnd,
    NestedEntryBegin,  // nested_vmx_enter_non_root_mode: vmcs12 final, dirty_vmcs12 not yet cleared
    Vmcs02Loaded,      // prepare_vmcs02_early: vmcs02 current, as the last run left it
    NestedEntryEnd,
    BeforeEntry,       // vmx_prepare_switch_to_guest: MMU loaded, PDPTRs flushed; a vCPU is held here
    NestedExitBegin,   // nested_vmx_vmexit
    Vmcs02Leaves,      // vmx_switch_vmcs with vmcs02 loaded: vmcs02 as it stays until the next entry
    NestedExitEnd,
    VmcsAccess,        // a VMREAD or VMWRITE of KVM's
    VmxFail,           // nested_vmx_fail: a VMX instruction of L1's fails
    Rest,              // vmx_prepare_switch_to_guest, without a record: where a vCPU waits while the ring is full
};

/// Members of KVM's state that records carry, by the name used in KVM's sources.
enum class StateMember : std::uint8_t {
    VcpuId, Regs, Cr0, Cr3, Cr4, Efer, Hflags, RegsAvail, RegsDirty, PdptrsFromUserspace, CachedPdptrs, Fail,
    DirtyVmcs12, NestedRunPending, NeedVmcs12ToShadowSync, NeedSyncVmcs02ToVmcs12Rare, CurrentVmptr,
    HvEvmcsVmptr, HvEvmcs, HvCleanFields, Cr0GuestOwnedBits, Cr4GuestOwnedBits, L1TscOffset, L1TscScalingRatio, Pat, Dr7,
    PreVmenterDebugctl, PreVmenterBndcfgs, MpState, Vpid, Vpid02, Vmcs12,
    Count,
};

/// Groups of members, for hooks to ask for: bits of vmxscope_mem.groups.
enum MemGroup : std::uint32_t {
    kState = 1u << 0,
    kRegs = 1u << 1,
    kVmcs12 = 1u << 2,
    kCache = 1u << 3,
    kInputs = 1u << 4,  // what prepare_vmcs02 and the exit's load of L1's state compute from: where a transition begins
    // For a recording, where each word counts:
    kMode = 1u << 5,       // the paging mode of the active level
    kDecide = 1u << 6,     // what a nested entry's copies depend on
    kOutcome = 1u << 7,
    kPending = 1u << 8,    // which registers vmx_vcpu_run still has to write
    kVerdict12 = 1u << 9,   // those fields of vmcs12 that say what the PDPTRs are worth
    kOutcome12 = 1u << 10,  // … that KVM leaves for L1
};

/// Stop classes: bits of vmxscope_run.armed, raised by hooks.
enum StopClass : std::uint32_t {
    kStopL1Exit = 1u << 0,
    kStopNestedEntry = 1u << 1,  // an attempt: also a failed one
    kStopL2Entry = 1u << 2,
    kStopL2Exit = 1u << 3,
    kStopNestedExit = 1u << 4,
    kStopL1Entry = 1u << 5,
};

/// Bits of vmxscope_hook.sets.
enum HookSet : std::uint32_t {
    kStepping = 1u << 0,
    kPdptrAccesses = 1u << 1,  // VMREADs and VMWRITEs that may be of GUEST_PDPTR0-3
    kOtherAccesses = 1u << 2,
    kRecordVerdict = 1u << 3,  // the few hooks of a recording (recording_plan.h)
    kRecordAll = 1u << 4,
    kRest = 1u << 5,
};

struct PlannedHook {
    Role role;
    std::string at;  // "prepare_vmcs02_rare.constprop.0+0x4a0": for evidence and for messages
};

struct ProbePlan {
    std::vector<vmxscope_hook> hooks;
    std::vector<PlannedHook> meaning;  // one for each hook
    std::vector<vmxscope_mem> mems;
    std::vector<StateMember> mem_members;  // one for each mem
    std::vector<std::optional<vmx::Field>> mem_fields;  // one for each mem: the one field of vmcs12 that it is, if it is that
    std::vector<std::uint16_t> fields;
    std::int32_t loaded_vmcs = 0;  // offsets, as vmxscope_setup has them
    std::int32_t vmcs_in_loaded = 0;
    std::int32_t vmcs02 = 0;
    std::optional<unsigned> pdptr_cache_bit;  // of regs_avail: VCPU_EXREG_PDPTR; clear = the cached PDPTRs mean nothing
    std::optional<core::Error> no_recording;  // why a recording's own hooks cannot be placed here
    std::vector<std::string> notes;  // what this kernel does not have, and what that costs: one sentence each
    /// Functions with VMREADs or VMWRITEs of a memory operand, which cannot be hooked, by the set they belong to.
    std::vector<std::pair<HookSet, std::string>> memory_accesses;
};

/// Fails, naming the symbol or member, when this kernel lacks what cannot be done without.
core::Result<ProbePlan> plan_probes();

/// Makes a plan, which takes seconds on a slow machine, and gives it again for as long as KVM's modules stay loaded.
class Planner {
  public:
    core::Result<ProbePlan> plan();

  private:
    std::string of_;  // the load of the modules that it is for
    std::optional<ProbePlan> kept_;
};

/// What is to be watched: with the hooks of stepping (Hooks::Stepping, the only ones that gather evidence and hold vCPUs), or
/// with the few of a recording.
struct WatchFor {
    enum class Hooks : std::uint8_t { Stepping, RecordVerdict, RecordAll };
    Hooks hooks = Hooks::Stepping;
    nested::EvidenceScope scope = nested::EvidenceScope::Pdptrs;
    bool lossless = false;  // vCPUs wait while the ring is full
    bool prompt = false;    // … while records wait: the stop of another vCPU is to be seen soon, not behind megabytes of theirs
    bool may_hold = false;  // a recording's hooks can hold vCPUs, too
    bool writes = false;    // the session may write (Device::write)
    std::uint32_t ring_bytes = 1u << 23;
};
vmxscope_watch watch_of(ProbePlan& plan, const WatchFor& what);
/// So many bytes of records may wait before vCPUs do; 0: they never do.
std::uint32_t hold_at(const WatchFor& what);

/// What the plan's notes say, and which hooks the kernel refused (vmxscope_hook.status).
std::vector<std::string> notes_of(const ProbePlan& plan);

/// What a scope should watch and does not: "nested_vmx_vmexit could not be probed."; empty = nothing. Code that the
/// kernel lets nobody probe (noinstr, around the hardware VM-entry) only counts where PDPTRs may be accessed in it.
std::string evidence_gap(const ProbePlan& plan, nested::EvidenceScope scope);

}  // namespace vmxscope::kvm
