#include "plugins/kvm/tracker.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "vmx/exit_reason.h"

namespace vmxscope::kvm {
namespace {

using vmx::Field;
using vmx::Value;

constexpr unsigned kRegsRsp = 4, kRegsRip = 16;  // VCPU_REGS_RSP, VCPU_REGS_RIP of asm/kvm_host.h
constexpr std::int32_t kEntered = 0, kVmfailed = 1, kExited = 2;  // enum nvmx_vmentry_status

std::size_t words_in(std::size_t bytes) { return (bytes + 7) / 8; }

/// vmx_vcpu_run() writes the RIP and RSP that are marked dirty just before the hardware VM-entry, after the tracepoint.
void add_pending_registers(Sample& s) {
    const auto dirty = s.number(StateMember::RegsDirty);
    if (!dirty || !s.vmcs) return;
    if ((*dirty >> kRegsRip) & 1) (*s.vmcs)[Field::GUEST_RIP] = s.gpr(kRegsRip);
    if ((*dirty >> kRegsRsp) & 1) (*s.vmcs)[Field::GUEST_RSP] = s.gpr(kRegsRsp);
}

bool is_vmentry(const Value& exit_reason) {
    const auto basic = vmx::basic_exit_reason(static_cast<std::uint32_t>(exit_reason.bits));
    return exit_reason.known() && (basic == vmx::kExitVmlaunch || basic == vmx::kExitVmresume);
}

Sample as(Sample s, Role role) {
    s.role = role;
    return s;
}

}  // namespace

Tracker::Tracker(const ProbePlan& plan) : plan_(&plan) {
    for (std::size_t i = 0; i < plan.mems.size(); ++i) {
        first_word_.push_back(static_cast<std::uint16_t>(mem_of_.size()));
        mem_of_.insert(mem_of_.end(), words_in(plan.mems[i].size), static_cast<std::uint16_t>(i));
        if (plan.mem_members[i] == StateMember::Vmcs12 && !plan.mem_fields[i]) vmcs12_mem_ = i;
    }
    words_.resize(mem_of_.size());
    readable_.resize(mem_of_.size());
}

void Tracker::forget() {
    std::fill(readable_.begin(), readable_.end(), false);
    vmcs_ = {};
}

/// What was under way may have ended among the lost records.
void Tracker::forget_flow() {
    under_way_ = UnderWay::Nothing;
    entering_ = false;
    begun_.reset();
}

void Tracker::apply_word(std::size_t word, std::uint64_t value, bool readable) {
    words_[word] = value;
    readable_[word] = readable;
    if (readable) return;
    // Told of a mem's first word, for all of it.
    for (std::size_t w = word; w < mem_of_.size() && mem_of_[w] == mem_of_[word]; ++w) readable_[w] = false;
}

core::Result<void> Tracker::apply(const RawRecord& record) {
    const vmxscope_record& h = record.header;
    const std::size_t n = h.nr;
    if (record.payload.size() != 8 * n + (2 * n + 7) / 8 * 8) return core::fail("A record of the module has not the size that its changes take.");
    if (h.flags & VMXSCOPE_REC_AFRESH) forget();
    if (h.flags & VMXSCOPE_REC_REGS) vcpu_ = h.regs[0];
    vmx::VmcsImage& vmcs = vmcs_[h.flags & VMXSCOPE_REC_LEVEL2 ? 1 : 0];
    for (std::size_t i = 0; i < n; ++i) {
        std::uint64_t value;
        std::uint16_t what;
        std::memcpy(&value, record.payload.data() + 8 * i, sizeof value);
        std::memcpy(&what, record.payload.data() + 8 * n + 2 * i, sizeof what);
        const bool status = what & VMXSCOPE_CHANGE_STATUS;
        const std::size_t at = what & (VMXSCOPE_CHANGE_MEM - 1);
        if (what & VMXSCOPE_CHANGE_MEM) {
            if (at >= words_.size()) return core::fail("A record of the module has memory that was not asked for.");
            apply_word(at, value, !status);
        } else {
            if (at >= plan_->fields.size()) return core::fail("A record of the module has a field that was not asked for.");
            const auto field = static_cast<Field>(plan_->fields[at]);
            vmcs[field] = status ? value_of(static_cast<std::uint8_t>(value), 0) : Value::of(value);
            // The processor has it in no VMCS; the module does not try again to find out.
            if (vmcs[field] == Value::unsupported()) vmcs_[0][field] = vmcs_[1][field] = Value::unsupported();
        }
    }
    return {};
}

/// The members that the hook looked at, as they are now, and those that never change; and vmcs12, whole or in pieces.
void Tracker::add_state(Sample& s, std::uint32_t groups) const {
    const auto bytes_of = [&](std::size_t mem) {
        return std::as_bytes(std::span(words_)).subspan(8 * first_word_[mem], plan_->mems[mem].size);
    };
    for (std::size_t i = 0; i < plan_->mems.size(); ++i) {
        const bool looked_at = plan_->mems[i].groups & groups || plan_->mems[i].flags & VMXSCOPE_MEM_ONCE;
        if (!looked_at || !readable_[first_word_[i]]) continue;
        if (plan_->mem_fields[i]) {
            if (!s.vmcs12) s.vmcs12.emplace();
            (*s.vmcs12)[*plan_->mem_fields[i]] = Value::of(words_[first_word_[i]]);
        } else if (vmcs12_mem_ == i) {
            s.vmcs12 = nested::vmcs12_image(bytes_of(i));
        } else {
            s.set(plan_->mem_members[i], bytes_of(i));
        }
    }
}

Sample Tracker::sample_of(const RawRecord& record) const {
    const vmxscope_hook& hook = plan_->hooks[record.header.hook];
    Sample s = begin_sample(record.header, plan_->meaning[record.header.hook].role);
    s.registers[0] = vcpu_;
    const bool looked = record.header.flags & VMXSCOPE_REC_STATE;
    add_state(s, !looked ? 0 : s.level2 ? hook.groups_l2 : hook.groups_l1);
    s.drop_stale_pdptrs(*plan_);
    if (s.identified) s.vmcs = vmcs_[s.level2 ? 1 : 0];
    return s;
}

/// What nested_vmx_enter_non_root_mode would have returned, and what it left.
void Tracker::end_entry(const Sample& at, std::int32_t status, std::vector<Sample>& out) {
    Sample end = as(at, Role::NestedEntryEnd);
    end.registers[5] = static_cast<std::uint32_t>(status);
    if (begun_) end.fill_from(*begun_);
    if (begun_ && !end.vmcs12) end.vmcs12 = begun_->vmcs12;
    out.push_back(end);
    under_way_ = UnderWay::Nothing;
}

void Tracker::hardware_entry(Sample s, std::vector<Sample>& out) {
    add_pending_registers(s);
    switch (under_way_) {
        case UnderWay::Entry:
            if (s.level2) {
                end_entry(s, kEntered, out);
                out.push_back(as(s, Role::BeforeEntry));
            } else {
                end_entry(s, failed_ ? kVmfailed : kExited, out);
                if (failed_) out.push_back(as(s, Role::VmlaunchEnd));
            }
            break;
        case UnderWay::Exit:
            if (!s.level2) out.push_back(as(s, Role::NestedExitEnd));
            break;
        case UnderWay::Refusal:
            if (!s.level2) out.push_back(as(s, Role::VmlaunchEnd));
            break;
        case UnderWay::Nothing: break;
    }
    under_way_ = UnderWay::Nothing;
    out.push_back(std::move(s));
}

core::Result<void> Tracker::take(const RawRecord& record, std::vector<Sample>& out) {
    if (record.header.hook >= plan_->hooks.size()) return core::fail("A record names a hook that was never placed.");
    if (std::exchange(lost_, record.header.lost) != record.header.lost) forget_flow();
    if (const auto ok = apply(record); !ok) return ok;
    Sample s = sample_of(record);
    switch (s.role) {
        case Role::HardwareEntry:
            entering_ = false;
            hardware_entry(std::move(s), out);
            return {};
        case Role::HardwareExit:
            entering_ = !s.level2 && is_vmentry(vmcs_[0][Field::VM_EXIT_REASON]);
            break;
        case Role::NestedEntryBegin:
            // from_vmentry, which the tracepoint does not tell: the first after such an exit, with no other crossing between.
            s.registers[1] = std::exchange(entering_, false);
            under_way_ = UnderWay::Entry;
            failed_ = false;
            begun_ = s;
            break;
        case Role::NestedExitBegin:
            // KVM gave the entry up for an exit to L1 before the hardware VM-entry.
            if (under_way_ == UnderWay::Entry) end_entry(s, kEntered, out);
            under_way_ = UnderWay::Exit;
            // While L2 runs nobody writes vmcs12's controls, nor what it was entered with.
            if (begun_ && !s.vmcs12) s.vmcs12 = begun_->vmcs12;
            break;
        case Role::VmxFail: {
            failed_ = true;
            if (under_way_ != UnderWay::Nothing || !entering_) return {};
            under_way_ = UnderWay::Refusal;
            out.push_back(as(std::move(s), Role::VmlaunchBegin));
            return {};
        }
        default: break;
    }
    out.push_back(std::move(s));
    return {};
}

}  // namespace vmxscope::kvm
