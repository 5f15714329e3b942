#include "records.h"

#include <gtest/gtest.h>

#include <cstring>

#include "nested/vmcs12.h"

namespace vmxscope::kvm {
namespace {

using vmx::Field;

constexpr Role kLastRole = Role::VmcsAccess;
constexpr Field kFields[] = {Field::VM_EXIT_REASON,    Field::EXIT_QUALIFICATION, Field::GUEST_RIP, Field::GUEST_CR0,
                             Field::GUEST_CR4,         Field::VM_ENTRY_CONTROLS,  Field::GUEST_CR3, Field::GUEST_PDPTR0,
                             Field::TSC_MULTIPLIER};
constexpr std::uint32_t kFieldsOfL1 = 3;

bool has_image(Role role) {
    return role != Role::VmlaunchBegin && role != Role::VmlaunchEnd && role != Role::NestedExitEnd;
}

std::uint32_t size_of(StateMember m) {
    switch (m) {
        case StateMember::Regs: return 17 * 8;
        case StateMember::CachedPdptrs: return 4 * 8;
        case StateMember::Vmcs12: return sizeof(nested::Vmcs12);  // 998: not a multiple of 8
        case StateMember::VcpuId:
        case StateMember::Hflags:
        case StateMember::RegsAvail:
        case StateMember::RegsDirty:
        case StateMember::MpState:
        case StateMember::Vpid:
        case StateMember::HvCleanFields: return 4;
        case StateMember::Vpid02: return 2;
        case StateMember::DirtyVmcs12:
        case StateMember::NestedRunPending:
        case StateMember::Fail:
        case StateMember::PdptrsFromUserspace: return 1;
        default: return 8;
    }
}

ProbePlan make_plan() {
    ProbePlan plan;
    for (unsigned i = 0; i <= static_cast<unsigned>(kLastRole); ++i) {
        const auto role = static_cast<Role>(i);
        vmxscope_hook hook{};
        hook.groups_l1 = hook.groups_l2 = 1;
        hook.flags = has_image(role) ? VMXSCOPE_HOOK_IMAGE : 0;
        hook.nr_l1 = role == Role::NestedEntryBegin ? static_cast<std::uint16_t>(std::size(kFields)) : std::uint16_t{kFieldsOfL1};
        hook.nr_l2 = static_cast<std::uint16_t>(std::size(kFields));
        plan.hooks.push_back(hook);
        plan.meaning.push_back({role, "hook"});
    }
    for (unsigned i = 0; i < static_cast<unsigned>(StateMember::Count); ++i) {
        vmxscope_mem mem{};
        mem.size = size_of(static_cast<StateMember>(i));
        mem.groups = 1;
        plan.mems.push_back(mem);
        plan.mem_members.push_back(static_cast<StateMember>(i));
        plan.mem_fields.emplace_back();
    }
    for (const Field f : kFields) plan.fields.push_back(static_cast<std::uint16_t>(f));
    return plan;
}

void put(std::vector<std::byte>& out, const void* bytes, std::size_t size) {
    const auto* first = static_cast<const std::byte*>(bytes);
    out.insert(out.end(), first, first + size);
    out.resize((out.size() + 7) & ~std::size_t{7});
}

std::vector<std::byte> bytes_of_member(const Record& r, StateMember m) {
    std::vector<std::byte> out(size_of(m));
    const auto set = [&](std::size_t offset, std::uint64_t v, std::size_t size) { std::memcpy(out.data() + offset, &v, size); };
    if (m == StateMember::Regs) {
        for (unsigned i = 0; i < 17; ++i) set(8 * i, gpr_in_records(i), 8);
    } else if (m == StateMember::CachedPdptrs) {
        for (unsigned i = 0; i < 4; ++i) set(8 * i, pdptr_in_records(i), 8);
    } else if (m == StateMember::Vmcs12) {
        for (const auto& [field, v] : r.vmcs12) set(*nested::vmcs12_offset(field), v, bytes_of(field));
    } else if (const auto it = r.state.find(m); it != r.state.end()) {
        set(0, it->second, out.size());
    }
    return out;
}

std::uint8_t status_of(const vmx::Value& v) {
    switch (v.state) {
        case vmx::Known::Yes: return VMXSCOPE_FIELD_READ;
        case vmx::Known::Unsupported: return VMXSCOPE_FIELD_UNSUPPORTED;
        case vmx::Known::Faulted: return VMXSCOPE_FIELD_FAULTED;
        case vmx::Known::NotRead: break;
    }
    return VMXSCOPE_FIELD_NOT_READ;
}

std::uint32_t fields_in(const Record& r) {
    if (!has_image(r.role)) return 0;
    return r.level2 ? static_cast<std::uint32_t>(std::size(kFields)) : small_plan().hooks[static_cast<std::size_t>(r.role)].nr_l1;
}

}  // namespace

const ProbePlan& small_plan() {
    static const ProbePlan plan = make_plan();
    return plan;
}

vmxscope_record header_of(const Record& r) {
    vmxscope_record h{};
    h.size = static_cast<std::uint32_t>(sizeof h + payload_of(r).size());
    h.type = VMXSCOPE_REC_HOOK;
    h.hook = static_cast<std::uint16_t>(r.role);
    h.slot = 2;
    h.tid = 4711;
    h.tsc = r.tsc;
    h.lost = r.lost;
    h.flags = (r.level2 ? VMXSCOPE_REC_LEVEL2 : 0) | (r.identified ? VMXSCOPE_REC_IDENTIFIED : 0);
    h.nr = static_cast<std::uint16_t>(fields_in(r));
    for (std::size_t i = 0; i < r.registers.size(); ++i) h.regs[i] = r.registers[i];
    return h;
}

std::vector<std::byte> payload_of(const Record& r) {
    std::vector<std::byte> out;
    for (const StateMember m : small_plan().mem_members) {
        const std::uint64_t status = r.unread.count(m) ? 14 : 0;  // EFAULT
        put(out, &status, sizeof status);
        const auto bytes = bytes_of_member(r, m);
        put(out, bytes.data(), bytes.size());
    }
    std::vector<std::uint8_t> statuses;
    for (std::uint32_t i = 0; i < fields_in(r); ++i) {
        const auto it = r.vmcs.find(kFields[i]);
        const vmx::Value v = it == r.vmcs.end() ? vmx::Value{} : it->second;
        put(out, &v.bits, sizeof v.bits);
        statuses.push_back(status_of(v));
    }
    put(out, statuses.data(), statuses.size());
    return out;
}

Sample sample_of(const Record& r) {
    const auto payload = payload_of(r);
    auto sample = decode_sample({header_of(r), payload}, small_plan());
    if (!sample) {
        ADD_FAILURE() << sample.error().text();
        return {};
    }
    return *sample;
}

}  // namespace vmxscope::kvm
