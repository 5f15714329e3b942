#include "plugins/kvm/probe_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <span>
#include <string_view>
#include <utility>

#include "nested/vmcs01_inputs.h"
#include "nested/vmcs12.h"
#include "plugins/kvm/btf.h"
#include "plugins/kvm/code.h"
#include "plugins/kvm/recording_plan.h"
#include "plugins/kvm/symbols.h"
#include "vmx/field.h"

namespace vmxscope::kvm {
namespace {

constexpr const char* kModule = "kvm_intel";
constexpr std::string_view kModules[] = {kModule, "kvm"};
constexpr std::uint64_t kMostCode = 1u << 25;  // bytes of a module's text
constexpr std::uint32_t kWhole = kState | kRegs | kVmcs12 | kCache;

// --- KVM's state ---------------------------------------------------------------------------------------------------

/// A member of struct vcpu_vmx; with `then` a pointer there is followed, to that member of `to`.
struct MemberRow {
    StateMember member;
    const char* path;
    const char* to;    // type that the pointer points at; null = no pointer
    const char* then;  // member there; "" = its start
    std::uint32_t groups;
    bool needed;
};

constexpr MemberRow kMembers[] = {
    {StateMember::VcpuId, "vcpu.vcpu_id", nullptr, nullptr, kState, true},
    {StateMember::Regs, "vcpu.arch.regs", nullptr, nullptr, kRegs, true},
    {StateMember::Cr0, "vcpu.arch.cr0", nullptr, nullptr, kState | kMode, true},
    {StateMember::Cr3, "vcpu.arch.cr3", nullptr, nullptr, kState | kMode, true},
    {StateMember::Cr4, "vcpu.arch.cr4", nullptr, nullptr, kState | kMode, true},
    {StateMember::Efer, "vcpu.arch.efer", nullptr, nullptr, kState | kMode, true},
    {StateMember::Hflags, "vcpu.arch.hflags", nullptr, nullptr, kState, false},
    {StateMember::RegsAvail, "vcpu.arch.regs_avail", nullptr, nullptr, kState | kPending, false},
    {StateMember::RegsDirty, "vcpu.arch.regs_dirty", nullptr, nullptr, kState | kPending, false},
    // v5.14 158a48ecf776: before it, PDPTRs never came from user space.
    {StateMember::PdptrsFromUserspace, "vcpu.arch.pdptrs_from_userspace", nullptr, nullptr, kState | kDecide, false},
    {StateMember::CachedPdptrs, "vcpu.arch.walk_mmu", "kvm_mmu", "pdptrs", kCache, false},
    {StateMember::Fail, "fail", nullptr, nullptr, kState | kOutcome, false},
    {StateMember::DirtyVmcs12, "nested.dirty_vmcs12", nullptr, nullptr, kState | kDecide, true},
    {StateMember::NestedRunPending, "nested.nested_run_pending", nullptr, nullptr, kState, false},
    {StateMember::NeedVmcs12ToShadowSync, "nested.need_vmcs12_to_shadow_sync", nullptr, nullptr, kState, false},
    {StateMember::NeedSyncVmcs02ToVmcs12Rare, "nested.need_sync_vmcs02_to_vmcs12_rare", nullptr, nullptr, kState, false},
    {StateMember::CurrentVmptr, "nested.current_vmptr", nullptr, nullptr, kState | kDecide, false},
    // v5.14 1e9dfbd748f3 added hv_evmcs_vmptr; v6.8 5a30f97683af lets CONFIG_KVM_HYPERV=n leave all three out.
    {StateMember::HvEvmcsVmptr, "nested.hv_evmcs_vmptr", nullptr, nullptr, kState | kDecide, false},
    {StateMember::HvEvmcs, "nested.hv_evmcs", nullptr, nullptr, kState | kDecide, false},
    {StateMember::HvCleanFields, "nested.hv_evmcs", "hv_enlightened_vmcs", "hv_clean_fields", kState | kDecide, false},
    {StateMember::Cr0GuestOwnedBits, "vcpu.arch.cr0_guest_owned_bits", nullptr, nullptr, kInputs, false},
    {StateMember::Cr4GuestOwnedBits, "vcpu.arch.cr4_guest_owned_bits", nullptr, nullptr, kInputs, false},
    {StateMember::L1TscOffset, "vcpu.arch.l1_tsc_offset", nullptr, nullptr, kInputs, false},
    {StateMember::L1TscScalingRatio, "vcpu.arch.l1_tsc_scaling_ratio", nullptr, nullptr, kInputs, false},
    {StateMember::Pat, "vcpu.arch.pat", nullptr, nullptr, kInputs, false},
    {StateMember::Dr7, "vcpu.arch.dr7", nullptr, nullptr, kInputs, false},
    // v6.0 764643a6be07 and fa578398a0ba renamed the two: one of each pair exists.
    {StateMember::PreVmenterDebugctl, "nested.pre_vmenter_debugctl", nullptr, nullptr, kInputs, false},
    {StateMember::PreVmenterDebugctl, "nested.vmcs01_debugctl", nullptr, nullptr, kInputs, false},
    {StateMember::PreVmenterBndcfgs, "nested.pre_vmenter_bndcfgs", nullptr, nullptr, kInputs, false},
    {StateMember::PreVmenterBndcfgs, "nested.vmcs01_guest_bndcfgs", nullptr, nullptr, kInputs, false},
    {StateMember::MpState, "vcpu.arch.mp_state", nullptr, nullptr, kInputs, false},
    {StateMember::Vpid, "vpid", nullptr, nullptr, kInputs, false},
    {StateMember::Vpid02, "nested.vpid02", nullptr, nullptr, kInputs, false},
    {StateMember::Vmcs12, "nested.cached_vmcs12", "vmcs12", "", kVmcs12, true},
};

core::Result<Member> need(const Btf& btf, const char* type, const char* path) {
    if (const auto m = btf.member(type, path)) return *m;
    return core::fail(fmt::format("This kernel's {} has no member {} in struct {}.", kModule, path, type),
                      "This version of vmxscope does not know this KVM: please report the kernel's version.");
}

core::Result<vmxscope_mem> locate(const Btf& btf, const MemberRow& row) {
    const auto start = need(btf, "vcpu_vmx", row.path);
    if (!start) return tl::unexpected(start.error());
    vmxscope_mem mem{};
    mem.groups = row.groups;
    mem.chain.depth = 1;
    mem.chain.offset[0] = static_cast<std::int32_t>(start->offset);
    mem.size = start->size;
    if (!row.to) return mem;
    mem.chain.depth = 2;
    if (*row.then) {
        const auto then = need(btf, row.to, row.then);
        if (!then) return tl::unexpected(then.error());
        mem.chain.offset[1] = static_cast<std::int32_t>(then->offset);
        mem.size = then->size;
    } else {
        mem.size = btf.size_of(row.to).value_or(sizeof(nested::Vmcs12));
    }
    return mem;
}

core::Result<void> plan_state(const Btf& btf, ProbePlan& plan) {
    if (const auto vcpu = need(btf, "vcpu_vmx", "vcpu"); !vcpu || vcpu->offset != 0)
        return core::fail("struct vcpu_vmx does not begin with its struct kvm_vcpu in this kernel.");
    for (const MemberRow& row : kMembers) {
        const auto mem = locate(btf, row);
        if (mem && mem->size <= VMXSCOPE_MAX_MEM_SIZE) {
            plan.mems.push_back(*mem);
            if (row.member == StateMember::Vmcs12) plan.mems.back().flags = VMXSCOPE_MEM_WRITABLE;
            if (row.member == StateMember::VcpuId) plan.mems.back().flags = VMXSCOPE_MEM_ONCE;
            plan.mem_members.push_back(row.member);
            plan.mem_fields.emplace_back();
        } else if (row.needed) {
            return tl::unexpected(mem ? core::Error{fmt::format("{} is {} bytes in this kernel.", row.path, mem->size), {}} : mem.error());
        }
    }
    const auto loaded = need(btf, "vcpu_vmx", "loaded_vmcs");
    const auto vmcs = need(btf, "loaded_vmcs", "vmcs");
    const auto vmcs02 = need(btf, "vcpu_vmx", "nested.vmcs02");
    for (const auto* m : {&loaded, &vmcs, &vmcs02})
        if (!*m) return tl::unexpected(m->error());
    for (const char* name : {"VCPU_EXREG_PDPTR", "VCPU_REG_PDPTR"})
        if (const auto bit = btf.enumerator(name); bit && !plan.pdptr_cache_bit) plan.pdptr_cache_bit = static_cast<unsigned>(*bit);
    plan.loaded_vmcs = static_cast<std::int32_t>(loaded->offset);
    plan.vmcs_in_loaded = static_cast<std::int32_t>(vmcs->offset);
    plan.vmcs02 = static_cast<std::int32_t>(vmcs02->offset);
    return {};
}

// --- Hooks -----------------------------------------------------------------------------------------------------------

struct HookRow {
    Role role;
    const char* symbols[2];  // the first that exists
    vmxscope_hook_kind kind;
    std::uint32_t flags, groups;
    std::uint32_t raise_l1, raise_l2;
};

// In the order of placing. BeforeEntry first: with its vCPUs held there, the guest does not run on through half of the rest.
constexpr HookRow kHooks[] = {
    {Role::BeforeEntry, {"vmx_prepare_switch_to_guest"}, VMXSCOPE_AT_ENTRY, VMXSCOPE_HOOK_IMAGE | VMXSCOPE_HOOK_LEVEL2 | VMXSCOPE_HOOK_PRE_ENTRY, kWhole, 0, 0},
    {Role::HardwareExit, {"vmx_vcpu_run"}, VMXSCOPE_AT_RETURN, VMXSCOPE_HOOK_IMAGE, kWhole, kStopL1Exit, kStopL2Exit},
    {Role::VmlaunchBegin, {"nested_vmx_run"}, VMXSCOPE_AT_ENTRY, 0, kState | kVmcs12, 0, 0},
    {Role::VmlaunchEnd, {"nested_vmx_run"}, VMXSCOPE_AT_RETURN, 0, kState | kRegs | kVmcs12, kStopNestedEntry, kStopNestedEntry},
    {Role::NestedEntryBegin, {"nested_vmx_enter_non_root_mode"}, VMXSCOPE_AT_ENTRY, VMXSCOPE_HOOK_IMAGE, kWhole | kInputs, 0, 0},
    {Role::Vmcs02Loaded, {"prepare_vmcs02_early"}, VMXSCOPE_AT_ENTRY, VMXSCOPE_HOOK_IMAGE | VMXSCOPE_HOOK_LEVEL2, 0, 0, 0},
    {Role::NestedEntryEnd, {"nested_vmx_enter_non_root_mode"}, VMXSCOPE_AT_RETURN, VMXSCOPE_HOOK_IMAGE, kWhole, kStopNestedEntry, kStopNestedEntry},
    // v6.18 fbd1e0f19546 made nested_vmx_vmexit a wrapper of __nested_vmx_vmexit.
    {Role::NestedExitBegin, {"__nested_vmx_vmexit", "nested_vmx_vmexit"}, VMXSCOPE_AT_ENTRY, VMXSCOPE_HOOK_IMAGE, kWhole | kInputs, 0, 0},
    {Role::Vmcs02Leaves, {"vmx_switch_vmcs"}, VMXSCOPE_AT_ENTRY, VMXSCOPE_HOOK_IMAGE | VMXSCOPE_HOOK_LEVEL2, kCache, 0, 0},
    {Role::NestedExitEnd, {"__nested_vmx_vmexit", "nested_vmx_vmexit"}, VMXSCOPE_AT_RETURN, 0, kWhole, kStopNestedExit, kStopNestedExit},
};

vmxscope_hook make_hook(std::uint64_t address, vmxscope_hook_kind kind) {
    vmxscope_hook hook{};
    hook.address = address;
    hook.kind = kind;
    hook.sets = kStepping;
    return hook;
}

void add(ProbePlan& plan, Role role, vmxscope_hook hook, std::string at) {
    plan.hooks.push_back(hook);
    plan.meaning.push_back({role, std::move(at)});
}

core::Result<void> plan_functions(const Symbols& symbols, ProbePlan& plan) {
    for (const HookRow& row : kHooks) {
        const Function* f = symbols.find_with_suffix(row.symbols[0]);
        if (!f && row.symbols[1]) f = symbols.find_with_suffix(row.symbols[1]);
        const bool optional = row.role == Role::Vmcs02Loaded || row.role == Role::Vmcs02Leaves;
        if (!f && optional) {
            plan.notes.push_back(fmt::format("This kernel's {} has no function {}: vmcs02 is shown as of the step before.", kModule, row.symbols[0]));
            continue;
        }
        if (!f)
            return core::fail(fmt::format("This kernel's {} has no function {}.", kModule, row.symbols[0]),
                              "This version of vmxscope does not know this KVM: please report the kernel's version.");
        vmxscope_hook hook = make_hook(f->address, row.kind);
        hook.flags = row.flags | (optional ? VMXSCOPE_HOOK_OPTIONAL : 0);
        hook.groups_l1 = hook.groups_l2 = row.groups;
        hook.raise_l1 = row.raise_l1;
        hook.raise_l2 = row.raise_l2;
        add(plan, row.role, hook, f->name);
    }
    return {};
}

/// The last moment before the hardware entry that can be hooked: vmx_vcpu_enter_exit itself is noinstr, so the call to it.
core::Result<void> plan_hardware_entry(const Symbols& symbols, const KernelMemory& memory, ProbePlan& plan) {
    const Function* run = symbols.find("vmx_vcpu_run");
    const Function* enter = symbols.find("vmx_vcpu_enter_exit");
    if (!run) return {};  // said by plan_functions()
    vmxscope_hook hook = make_hook(run->address, VMXSCOPE_AT_ENTRY);
    std::string at = "vmx_vcpu_run";
    if (enter) {
        const auto code = memory.read(run->address, run->size);
        if (!code) return tl::unexpected(code.error());
        if (const auto call = find_call(*code, run->address, enter->address)) {
            hook = make_hook(run->address + *call, VMXSCOPE_AT_CALL);
            at = fmt::format("vmx_vcpu_run+{:#x}", *call);
        }
    }
    if (hook.kind == VMXSCOPE_AT_ENTRY)
        plan.notes.push_back("vmx_vcpu_run's call to vmx_vcpu_enter_exit was not found: at l1-entry and l2-entry, RIP and RSP of the VMCS are those of before.");
    hook.flags = VMXSCOPE_HOOK_IMAGE;
    hook.groups_l1 = hook.groups_l2 = kWhole;
    hook.raise_l1 = kStopL1Entry;
    hook.raise_l2 = kStopL2Entry;
    add(plan, Role::HardwareEntry, hook, std::move(at));
    return {};
}

// --- Fields ----------------------------------------------------------------------------------------------------------

/// Those of vmcs01 first, so that of vmcs01 a prefix is read; the longer one only where a nested entry begins.
void plan_fields(ProbePlan& plan) {
    const auto add = [&](vmx::Field f) {
        const auto encoding = static_cast<std::uint16_t>(f);
        if (std::find(plan.fields.begin(), plan.fields.end(), encoding) == plan.fields.end()) plan.fields.push_back(encoding);
    };
    for (const vmx::Field f : nested::vmcs01_at_crossings()) add(f);
    const auto at_hardware = static_cast<std::uint16_t>(plan.fields.size());
    for (const vmx::Field f : nested::vmcs01_at_nested_entries()) add(f);
    const auto at_entry = static_cast<std::uint16_t>(plan.fields.size());
    for (const vmx::FieldInfo& f : vmx::all_fields()) add(f.field);
    for (std::size_t i = 0; i < plan.hooks.size(); ++i) {
        plan.hooks[i].nr_l1 = plan.meaning[i].role == Role::NestedEntryBegin ? at_entry : at_hardware;
        plan.hooks[i].nr_l2 = static_cast<std::uint16_t>(plan.fields.size());
    }
}

// --- Evidence --------------------------------------------------------------------------------------------------------

constexpr std::uint16_t kFirstPdptr = static_cast<std::uint16_t>(vmx::Field::GUEST_PDPTR0);
constexpr std::uint16_t kLastPdptr = static_cast<std::uint16_t>(vmx::Field::GUEST_PDPTR3) + 1;  // its high half

HookSet set_of(const VmcsAccess& access) {
    const bool other = access.encoding && (*access.encoding < kFirstPdptr || *access.encoding > kLastPdptr);
    return other ? kOtherAccesses : kPdptrAccesses;
}

/// These touch the shadow VMCS, or decode what L1 asked for: a field's encoding there is a variable, none of them touches
/// vmcs02, and the first two run through dozens of fields at every nested entry and exit.
bool of_shadow_vmcs(std::string_view function) {
    return function.starts_with("copy_shadow_to_vmcs12") || function.starts_with("nested_sync_vmcs12_to_shadow") ||
           function.starts_with("copy_vmcs12_to_shadow") || function.starts_with("handle_vmwrite");
}

/// Not between the two snapshots of any transition: one prints a VMCS after KVM failed, the other makes vmcs01.
bool of_no_transition(std::string_view function) { return function.starts_with("dump_vmcs") || function.starts_with("init_vmcs"); }

void plan_accesses(const Function& f, const VmcsAccesses& accesses, ProbePlan& plan) {
    for (const VmcsAccess& access : accesses.found) {
        const HookSet set = set_of(access);
        if ((!access.encoding && of_shadow_vmcs(f.name)) || of_no_transition(f.name)) continue;
        if (access.in_memory) {
            plan.memory_accesses.emplace_back(set, f.name);
            continue;
        }
        vmxscope_hook hook = make_hook(f.address + access.offset, access.write ? VMXSCOPE_AT_VMWRITE : VMXSCOPE_AT_VMREAD);
        hook.flags = VMXSCOPE_HOOK_OPTIONAL;
        hook.sets = set;
        hook.field_reg = access.field_register;
        hook.value_reg = access.value_register;
        add(plan, Role::VmcsAccess, hook, fmt::format("{}+{:#x}", f.name, access.offset));
    }
}

core::Result<void> plan_evidence(const Symbols& symbols, const KernelMemory& memory, ProbePlan& plan) {
    const auto functions = symbols.functions();
    if (functions.empty()) return {};
    // In one piece: a read of /proc/kcore takes its time, however short.
    const std::uint64_t begin = functions.front().address, end = functions.back().address + functions.back().size;
    if (end - begin > kMostCode) return core::fail(fmt::format("The code of {} is spread over {} bytes.", kModule, end - begin));
    const auto code = memory.read(begin, end - begin);
    if (!code) return tl::unexpected(code.error());
    for (const Function& f : functions) {
        const auto body = std::span(*code).subspan(f.address - begin, f.size);
        if (may_access_vmcs(body)) plan_accesses(f, find_vmcs_accesses(body), plan);
    }
    if (plan.hooks.size() > VMXSCOPE_MAX_HOOKS)
        return core::fail(fmt::format("This kernel's {} has {} VMREADs and VMWRITEs; the module hooks {} places.", kModule, plan.hooks.size(), VMXSCOPE_MAX_HOOKS));
    return {};
}

/// "prepare_vmcs02+0x10": prepare_vmcs02
std::string function_of(const std::string& at) { return at.substr(0, at.find('+')); }

void add_once(std::vector<std::string>& list, std::string name) {
    if (std::find(list.begin(), list.end(), name) == list.end()) list.push_back(std::move(name));
}

/// Another one each time a module is loaded: its folder in sysfs is new then.
std::string loaded_modules() {
    std::string id;
    for (const std::string_view module : kModules) {
        struct stat status {};
        if (::stat(fmt::format("/sys/module/{}", module).c_str(), &status) != 0) return {};
        id += fmt::format("{} ", status.st_ino);
    }
    return id;
}

}  // namespace

/// Not the whole ring: what is there at a stop has to be taken first.
std::uint32_t hold_at(const WatchFor& what) { return what.lossless ? what.ring_bytes / 8 : what.prompt ? what.ring_bytes / 64 : 0; }

vmxscope_watch watch_of(ProbePlan& plan, const WatchFor& what) {
    vmxscope_watch w{};
    w.hooks = reinterpret_cast<std::uintptr_t>(plan.hooks.data());
    w.wake_at = what.ring_bytes / 4;
    w.hold_at = hold_at(what);
    const bool all = what.scope == nested::EvidenceScope::All;
    w.op_first = all ? 0 : kFirstPdptr;
    w.op_last = all ? 0xffff : kLastPdptr;
    if (what.hooks != WatchFor::Hooks::Stepping) {
        w.sets = what.hooks == WatchFor::Hooks::RecordAll ? kRecordAll : kRecordVerdict;
        if (what.lossless || what.may_hold) w.sets |= kRest;
        return w;
    }
    w.sets = kStepping;
    if (what.scope != nested::EvidenceScope::None) w.sets |= kPdptrAccesses;
    if (all) w.sets |= kOtherAccesses;
    return w;
}

std::vector<std::string> notes_of(const ProbePlan& plan) {
    std::vector<std::string> notes = plan.notes, closed, refused;
    std::string first;
    for (std::size_t i = 0; i < plan.hooks.size(); ++i) {
        const std::int32_t status = plan.hooks[i].status;
        if (status >= 0) continue;
        const bool lets_nobody = status == -EINVAL && plan.meaning[i].role == Role::VmcsAccess;
        if (!lets_nobody && refused.empty()) first = std::strerror(-status);
        add_once(lets_nobody ? closed : refused, function_of(plan.meaning[i].at));
    }
    if (!closed.empty())
        notes.push_back(fmt::format("The kernel lets nobody probe {} (around the hardware VM-entry): VMREADs and VMWRITEs there are not seen.", fmt::join(closed, ", ")));
    if (!refused.empty()) notes.push_back(fmt::format("The kernel refused probes in {} ({}).", fmt::join(refused, ", "), first));
    std::vector<std::string> in_memory;
    for (const auto& [set, function] : plan.memory_accesses) add_once(in_memory, function);
    if (!in_memory.empty()) notes.push_back(fmt::format("VMREADs and VMWRITEs with a memory operand are not seen: in {}.", fmt::join(in_memory, ", ")));
    return notes;
}

std::string evidence_gap(const ProbePlan& plan, nested::EvidenceScope scope) {
    if (scope == nested::EvidenceScope::None) return "none is gathered.";
    const bool all = scope == nested::EvidenceScope::All;
    std::vector<std::string> missing;
    for (std::size_t i = 0; i < plan.hooks.size(); ++i) {
        const vmxscope_hook& h = plan.hooks[i];
        if (h.status >= 0 || plan.meaning[i].role != Role::VmcsAccess) continue;
        if (h.sets == kPdptrAccesses || (all && h.status != -EINVAL)) add_once(missing, function_of(plan.meaning[i].at));
    }
    for (const auto& [set, function] : plan.memory_accesses)
        if (all || set == kPdptrAccesses) add_once(missing, function);
    return missing.empty() ? "" : fmt::format("{} could not be probed.", fmt::join(missing, ", "));
}

core::Result<ProbePlan> Planner::plan() {
    const std::string now = loaded_modules();
    if (kept_ && !now.empty() && now == of_) return *kept_;
    auto made = plan_probes();
    if (made) {
        kept_ = *made;
        of_ = now;
    }
    return made;
}

core::Result<ProbePlan> plan_probes() {
    ProbePlan plan;
    const auto btf = Btf::of_module(kModule);
    if (!btf) return tl::unexpected(btf.error());
    auto of_both = Symbols::of_modules(kModules);
    if (!of_both) return tl::unexpected(of_both.error());
    const KvmSymbols symbols{std::move((*of_both)[0]), std::move((*of_both)[1])};
    const auto memory = KernelMemory::open();
    if (!memory) return tl::unexpected(memory.error());
    if (const auto ok = plan_state(*btf, plan); !ok) return tl::unexpected(ok.error());
    if (const auto ok = plan_functions(symbols.kvm_intel, plan); !ok) return tl::unexpected(ok.error());
    if (const auto ok = plan_hardware_entry(symbols.kvm_intel, *memory, plan); !ok) return tl::unexpected(ok.error());
    if (const auto ok = plan_evidence(symbols.kvm_intel, *memory, plan); !ok) return tl::unexpected(ok.error());
    plan_fields(plan);
    if (const auto ok = plan_recording(*btf, symbols, plan); !ok) return tl::unexpected(ok.error());
    return plan;
}

}  // namespace vmxscope::kvm
