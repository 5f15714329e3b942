#include "plugins/kvm/intake.h"

#include <algorithm>
#include <utility>

#include "plugins/kvm/sample.h"

namespace vmxscope::kvm {
namespace {

using nested::Transition;

/// Keeps what looking at a held vCPU needs. BeforeEntry is the last record before it is held, and comes for vmcs02 only.
void remember(HeldVcpu& seen, const Sample& s) {
    if (s.role == Role::BeforeEntry || s.role == Role::HardwareEntry) seen.address = s.registers[0];  // RDI is the vCPU
    seen.vmcs02.reset();
    if (s.role == Role::BeforeEntry && s.level2) seen.vmcs02 = s.vmcs;
    if (s.role == Role::HardwareExit && !s.level2) seen.vmcs01_at_exit = s.vmcs.value_or(vmx::VmcsImage{});
    if (s.role == Role::NestedEntryBegin) seen.vmcs01_at_nested_entry = s.vmcs.value_or(vmx::VmcsImage{});
}

}  // namespace

Slot& Intake::slot_of(std::uint32_t index, std::uint32_t tid) {
    auto it = slots_.find(index);
    if (it == slots_.end()) {
        it = slots_.emplace(index, Slot(Assembler(parameters_, watched_), plan_)).first;
        if (changing_) it->second.assembler.change_begins();
        it->second.asked = it->second.going = asked_;
        it->second.step = step_;
    }
    it->second.tid = tid;
    return it->second;
}

std::map<std::uint32_t, Slot>::iterator Intake::find(std::uint32_t id) {
    return std::find_if(slots_.begin(), slots_.end(), [&](const auto& s) { return id_of(s.first, s.second) == id; });
}

/// Between two hardware exits of a vCPU there is one attempt at a nested entry at most. One that the processor refuses
/// with VMfail is told at the nested exit that follows.
void Intake::give_reason(const Slot& slot, const Sample& end, Transition& t) {
    const bool refused = t.kind == nested::Kind::NestedEntryFailed ||
                         (t.kind == nested::Kind::NestedExit && t.context.vmx_fail.value_or(false));
    if (refused && refusals_) t.kvm_reason = refusals_->take(slot.tid, slot.exited, end.tsc);
}

void Intake::keep(Slot& slot, Transition t) {
    slot.assembler.number(t, journal_.last() + 1);
    lost_ += t.lost_before;
    journal_.add(std::move(t), slot.recorded);
}

void Intake::take_sample(Slot& slot, const Sample& sample) {
    remember(slot.seen, sample);
    for (Transition& t : slot.assembler.take(sample)) {
        give_reason(slot, sample, t);
        keep(slot, std::move(t));
    }
    if (sample.role == Role::HardwareExit) slot.exited = sample.tsc;
}

void Intake::take_changes(Slot& slot, const RawRecord& record) {
    if (!std::exchange(slot.recorded, true))
        slot.assembler.change_ends({nested::EvidenceScope::None, evidence_gap(plan_, nested::EvidenceScope::None)});
    samples_.clear();
    if (!slot.tracker.take(record, samples_)) ++lost_;
    for (const Sample& sample : samples_) take_sample(slot, sample);
}

void Intake::take_access(Slot& slot, const vmxscope_record& h) {
    if (h.hook >= plan_.meaning.size()) return;
    nested::Evidence e;
    e.op = plan_.hooks[h.hook].kind == VMXSCOPE_AT_VMWRITE ? nested::Evidence::Op::Vmwrite : nested::Evidence::Op::Vmread;
    e.encoding = static_cast<std::uint16_t>(h.regs[0]);
    if (h.flags & VMXSCOPE_REC_VALUE) e.value = vmx::Value::of(h.regs[1]);
    e.at = plan_.meaning[h.hook].at;
    e.vmcs02 = h.flags & VMXSCOPE_REC_LEVEL2;
    slot.assembler.take(e, h.lost);
}

void Intake::take(const RawRecord& record) {
    const vmxscope_record& h = record.header;
    Slot& slot = slot_of(h.slot, h.tid);
    switch (h.type) {
        case VMXSCOPE_REC_HOOK:
            if (std::exchange(slot.recorded, false)) slot.assembler.change_ends(watched_);
            if (const auto sample = decode_sample(record, plan_))
                take_sample(slot, *sample);
            else
                ++lost_;
            break;
        case VMXSCOPE_REC_CHANGES: take_changes(slot, record); break;
        case VMXSCOPE_REC_OP: take_access(slot, h); break;
        case VMXSCOPE_REC_HELD: slot.held = true; break;
        case VMXSCOPE_REC_RELEASED: slot.held = false; break;
        default: ++lost_;
    }
}

void Intake::missed(std::uint32_t hits) {
    for (auto& [index, slot] : slots_) slot.assembler.missed(hits);
}

void Intake::change_begins() {
    for (auto& [index, slot] : slots_)
        if (!slot.held) slot.assembler.change_begins();
    changing_ = true;
}

void Intake::change_ends() {
    changing_ = false;
    for (auto& [index, slot] : slots_) slot.assembler.change_ends(watched_);
}

}  // namespace vmxscope::kvm
