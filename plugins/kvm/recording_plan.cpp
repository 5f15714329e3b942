#include "plugins/kvm/recording_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "nested/vmcs12.h"
#include "plugins/kvm/btf.h"

namespace vmxscope::kvm {
namespace {

using vmx::Field;

/// What a verdict is made from, of vmcs02. At an l2-exit all of them are read, at an l1-exit the first three (of vmcs01), at an
/// l2-entry those from GUEST_CR0 on.
constexpr Field kVerdictFields[] = {
    Field::VM_EXIT_REASON, Field::EXIT_QUALIFICATION, Field::GUEST_RIP,    Field::VM_EXIT_INTR_INFO,
    Field::GUEST_CR0,      Field::GUEST_CR3,          Field::GUEST_CR4,    Field::VM_ENTRY_CONTROLS,
    Field::GUEST_PDPTR0,   Field::GUEST_PDPTR1,       Field::GUEST_PDPTR2, Field::GUEST_PDPTR3,
};
constexpr std::uint16_t kOfL1Exit = 3, kOfEntry = 4;

/// The same of vmcs12: what decides at a nested entry, …
constexpr Field kVerdict12Fields[] = {
    Field::CPU_BASED_VM_EXEC_CONTROL, Field::SECONDARY_VM_EXEC_CONTROL, Field::VM_ENTRY_CONTROLS, Field::GUEST_IA32_EFER,
    Field::GUEST_CR0,                 Field::GUEST_CR3,                 Field::GUEST_CR4,
};
/// … and what is to be seen in it afterwards, too.
constexpr Field kBoth12Fields[] = {Field::GUEST_PDPTR0, Field::GUEST_PDPTR1, Field::GUEST_PDPTR2, Field::GUEST_PDPTR3};
constexpr Field kOutcome12Fields[] = {Field::VM_EXIT_REASON, Field::VM_INSTRUCTION_ERROR};

/// What a VM-exit writes of a VMCS (SDM Vol. 3C 28.2, 28.3): guest state and exit information, and the valid bit of the
/// entry's event.
bool written_by_exit(const vmx::FieldInfo& f) {
    return f.group == vmx::Group::GuestState || f.group == vmx::Group::ExitInformation || f.field == Field::VM_ENTRY_INTR_INFO_FIELD;
}

struct Range {
    std::uint16_t first = 0, count = 0;
};

/// One of the recording's places: a tracepoint of kvm's, or a function of kvm_intel's.
struct Row {
    Role role;
    const char* names[2];
    vmxscope_hook_kind kind;
    std::uint32_t groups_l1, groups_l2;
    Range fields_l1, fields_l2;
};

core::Result<std::uint64_t> address_of(const Row& row, const KvmSymbols& symbols) {
    for (const char* name : row.names) {
        if (!name) continue;
        if (row.kind == VMXSCOPE_AT_TRACEPOINT || row.kind == VMXSCOPE_AT_TRACEPOINT_OF_CURRENT) {
            if (const auto found = symbols.kvm.tracepoint(name)) return *found;
        } else if (const Function* f = symbols.kvm_intel.find_with_suffix(name)) {
            return f->address;
        }
    }
    return core::fail(fmt::format("This kernel's KVM has no {}.", row.names[0]), "A recording is then made with the hooks of stepping: --evidence pdptr.");
}

/// What KVM leaves for L1 in vmcs12 is looked at when it lets L1 go on for the first time since it may have left something:
/// most of L1's exits have nothing to do with L2.
std::uint32_t due(const Row& row, HookSet set) {
    if (set != kRecordVerdict) return 0;
    if (row.role == Role::HardwareEntry) return VMXSCOPE_HOOK_IF_DUE;
    return row.role == Role::HardwareExit ? 0 : VMXSCOPE_HOOK_DUE;
}

core::Result<void> add_rows(std::span<const Row> rows, HookSet set, const KvmSymbols& symbols, ProbePlan& plan) {
    for (const Row& row : rows) {
        const auto address = address_of(row, symbols);
        if (!address) return tl::unexpected(address.error());
        vmxscope_hook hook{};
        hook.address = *address;
        hook.kind = row.kind;
        hook.flags = VMXSCOPE_HOOK_CHANGES | due(row, set);
        hook.groups_l1 = row.groups_l1;
        hook.groups_l2 = row.groups_l2;
        hook.sets = set;
        hook.first_l1 = row.fields_l1.first;
        hook.nr_l1 = row.fields_l1.count;
        hook.first_l2 = row.fields_l2.first;
        hook.nr_l2 = row.fields_l2.count;
        plan.hooks.push_back(hook);
        plan.meaning.push_back({row.role, row.names[0]});
    }
    return {};
}

/// Some fields of vmcs12, each a piece of memory of its own: the whole of it is 1,000 bytes to be compared.
core::Result<void> add_vmcs12_fields(std::span<const Field> fields, std::uint32_t groups, const Btf& btf, ProbePlan& plan) {
    const auto cached = btf.member("vcpu_vmx", "nested.cached_vmcs12");
    if (!cached) return core::fail("This kernel's struct vcpu_vmx has no member nested.cached_vmcs12.");
    for (const Field f : fields) {
        vmxscope_mem mem{};
        mem.groups = groups;
        mem.chain.depth = 2;
        mem.chain.offset[0] = static_cast<std::int32_t>(cached->offset);
        mem.chain.offset[1] = static_cast<std::int32_t>(nested::vmcs12_offset(f).value_or(0));
        mem.size = vmx::bytes_of(f);
        plan.mems.push_back(mem);
        plan.mem_members.push_back(StateMember::Vmcs12);
        plan.mem_fields.emplace_back(f);
    }
    return {};
}

/// Where a vCPU rests while the ring is full: the one hook of stepping's that a lossless recording needs.
void add_rest(ProbePlan& plan) {
    const auto before = std::find_if(plan.meaning.begin(), plan.meaning.end(), [](const PlannedHook& h) { return h.role == Role::BeforeEntry; });
    if (before == plan.meaning.end()) return;
    vmxscope_hook hook{};
    hook.address = plan.hooks[static_cast<std::size_t>(before - plan.meaning.begin())].address;
    hook.kind = VMXSCOPE_AT_ENTRY;
    hook.flags = VMXSCOPE_HOOK_PRE_ENTRY | VMXSCOPE_HOOK_SILENT;
    hook.sets = kRest;
    const std::string at = before->at;
    plan.hooks.push_back(hook);
    plan.meaning.push_back({Role::Rest, at});
}

}  // namespace

core::Result<void> plan_recording(const Btf& btf, const KvmSymbols& symbols, ProbePlan& plan) {
    // Stepping's list begins with what is read of vmcs01 (plan_fields() in probe_plan.cpp), in its hooks' ranges.
    const auto range_of = [&](Role role) -> Range {
        for (std::size_t i = 0; i < plan.hooks.size(); ++i)
            if (plan.meaning[i].role == role) return {0, plan.hooks[i].nr_l1};
        return {};
    };
    const Range l1 = range_of(Role::HardwareExit), inputs = range_of(Role::NestedEntryBegin);
    const auto append = [&](auto&& wanted) -> Range {
        const auto first = static_cast<std::uint16_t>(plan.fields.size());
        for (const vmx::FieldInfo& f : vmx::all_fields())
            if (wanted(f)) plan.fields.push_back(static_cast<std::uint16_t>(f.field));
        return {first, static_cast<std::uint16_t>(plan.fields.size() - first)};
    };
    const Range saved = append(written_by_exit);
    const Range rest = append([](const vmx::FieldInfo& f) { return !written_by_exit(f); });
    const Range all{saved.first, static_cast<std::uint16_t>(saved.count + rest.count)};
    const Range verdict{static_cast<std::uint16_t>(plan.fields.size()), static_cast<std::uint16_t>(std::size(kVerdictFields))};
    for (const Field f : kVerdictFields) plan.fields.push_back(static_cast<std::uint16_t>(f));
    const Range exited{verdict.first, kOfL1Exit};
    const Range entered{static_cast<std::uint16_t>(verdict.first + kOfEntry), static_cast<std::uint16_t>(verdict.count - kOfEntry)};

    const auto point = VMXSCOPE_AT_TRACEPOINT;
    const auto begins = VMXSCOPE_AT_TRACEPOINT_OF_CURRENT;  // the first thing in nested_vmx_enter_non_root_mode
    const auto entry = VMXSCOPE_AT_ENTRY;
    const Row of_verdict[] = {
        {Role::HardwareExit, {"kvm_exit"}, point, 0, 0, exited, verdict},
        {Role::HardwareEntry, {"kvm_entry"}, point, kOutcome12, kMode, {}, entered},
        {Role::NestedEntryBegin, {"kvm_nested_vmenter"}, begins, kDecide | kVerdict12, kDecide | kVerdict12, {}, {}},
        {Role::NestedExitBegin, {"__nested_vmx_vmexit", "nested_vmx_vmexit"}, entry, kMode | kOutcome, kMode | kOutcome, {}, {}},
        {Role::VmxFail, {"nested_vmx_fail"}, entry, 0, 0, {}, {}},
    };
    const Row of_all[] = {
        {Role::HardwareExit, {"kvm_exit"}, point, kRegs, kRegs, l1, saved},
        {Role::HardwareEntry, {"kvm_entry"}, point, kRegs | kPending | kVmcs12, kRegs | kPending | kMode | kCache, l1, all},
        {Role::NestedEntryBegin, {"kvm_nested_vmenter"}, begins, kState | kInputs | kVmcs12, kState | kInputs | kVmcs12, inputs, {}},
        {Role::NestedExitBegin, {"__nested_vmx_vmexit", "nested_vmx_vmexit"}, entry, kState | kInputs, kState | kInputs, {}, {}},
        {Role::VmxFail, {"nested_vmx_fail"}, entry, 0, 0, {}, {}},
    };
    for (const auto& [fields, groups] : {std::pair{std::span<const Field>(kVerdict12Fields), std::uint32_t{kVerdict12}},
                                         {std::span<const Field>(kBoth12Fields), kVerdict12 | kOutcome12},
                                         {std::span<const Field>(kOutcome12Fields), std::uint32_t{kOutcome12}}})
        if (const auto ok = add_vmcs12_fields(fields, groups, btf, plan); !ok) return ok;
    add_rest(plan);
    // A kernel without one of the places can still be stepped, and recorded with stepping's hooks.
    const std::size_t before = plan.hooks.size();
    auto added = add_rows(of_verdict, kRecordVerdict, symbols, plan);
    if (added) added = add_rows(of_all, kRecordAll, symbols, plan);
    if (!added) {
        plan.hooks.resize(before);
        plan.meaning.resize(before);
        plan.no_recording = added.error();
    }
    return {};
}

}  // namespace vmxscope::kvm
