// From the module's records to the transitions of all vCPUs, numbered and kept.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "core/target.h"
#include "plugins/kvm/assembler.h"
#include "plugins/kvm/device.h"
#include "plugins/kvm/inspector.h"
#include "plugins/kvm/journal.h"
#include "plugins/kvm/refusals.h"
#include "plugins/kvm/tracker.h"

namespace vmxscope::kvm {

/// One vCPU as the module knows it, by slot: what its records made of it, and what it was told to do.
struct Slot {
    Slot(Assembler a, const ProbePlan& plan) : assembler(std::move(a)), tracker(plan) {}
    Assembler assembler;
    Tracker tracker;             // of a recording
    bool recorded = false;       // its newest record is a recording's
    std::uint32_t tid = 0;
    bool held = false;           // asleep before its next VM-entry
    HeldVcpu seen;               // for looking at it while it is held
    std::uint64_t exited = 0;    // TSC of its last hardware exit

    bool asked = false;          // told to go since its last stop: a stop of it is awaited
    bool going = false;          // … and let go
    bool interrupted = false;    // … and asked to stop
    std::optional<core::StepKind> step;  // what it goes to; empty = it runs on
    std::uint64_t shown = 0;     // seq of its newest shown transition
};

class Intake {
  public:
    /// `past_bytes`: of the past that is kept. The plan outlives this.
    Intake(const ProbePlan& plan, Parameters parameters, std::size_t past_bytes)
        : plan_(plan), parameters_(parameters), journal_(past_bytes) {}

    void take(const RawRecord& record);
    /// Hits that the kernel skipped, on whichever vCPU: none may draw conclusions from what was not seen.
    void missed(std::uint32_t hits);

    /// What is watched is about to change, to this from now on, and has changed with all that came before. What is under way
    /// meanwhile is incomplete; vCPUs that are held have nothing under way.
    void change_begins();
    void changes_to(const Watched& watched) { watched_ = watched; }
    void change_ends();

    /// For KVM's own reasons of refused entries; without them, transitions have none.
    void ask_reasons_of(Refusals refusals) { refusals_.emplace(std::move(refusals)); }
    void ask_no_more() { refusals_.reset(); }

    /// vCPUs that are seen for the first time are taken for told to do this (attaching: to stop at their first transition).
    void new_vcpus(bool asked, std::optional<core::StepKind> step) {
        asked_ = asked;
        step_ = step;
    }

    /// By the module's index. slot_of() makes one.
    std::map<std::uint32_t, Slot>& slots() { return slots_; }
    const std::map<std::uint32_t, Slot>& slots() const { return slots_; }
    Slot& slot_of(std::uint32_t index, std::uint32_t tid);
    /// The vCPU with KVM's vcpu_id `id`, and its index; end() = there is none.
    std::map<std::uint32_t, Slot>::iterator find(std::uint32_t id);

    Journal& journal() { return journal_; }
    std::uint64_t newest_of(const Slot& slot) const { return journal_.newest_of(slot.assembler.vcpu_id()); }
    /// What a step of this vCPU ends at, if that has come already.
    const nested::Transition* next_match(const Slot& slot) const {
        return slot.step ? journal_.next_match(slot.assembler.vcpu_id(), slot.shown, *slot.step) : nullptr;
    }
    std::uint64_t lost() const { return lost_; }

  private:
    void take_changes(Slot& slot, const RawRecord& record);
    void take_sample(Slot& slot, const Sample& sample);
    void take_access(Slot& slot, const vmxscope_record& header);
    void give_reason(const Slot& slot, const Sample& end, nested::Transition& t);
    void keep(Slot& slot, nested::Transition t);

    const ProbePlan& plan_;
    Parameters parameters_;
    Watched watched_;
    bool changing_ = false;
    bool asked_ = true;
    std::optional<core::StepKind> step_ = core::StepKind::Transition;
    std::optional<Refusals> refusals_;
    std::map<std::uint32_t, Slot> slots_;
    Journal journal_;
    std::vector<Sample> samples_;  // of one record of a recording
    std::uint64_t lost_ = 0;
};

/// A vCPU of which nothing but its index is known has that for its id.
inline std::uint32_t id_of(std::uint32_t index, const Slot& slot) {
    return slot.assembler.vcpu_id().value_or(index);
}

}  // namespace vmxscope::kvm
