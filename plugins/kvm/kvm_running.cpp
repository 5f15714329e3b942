#include "plugins/kvm/kvm_target.h"

#include <poll.h>

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

namespace vmxscope::kvm {

using core::Action;
using core::Result;
using core::StepKind;
using core::Stop;
using nested::Transition;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr auto kRecordingPace = milliseconds(100);    // how often a recording's records are taken at least
constexpr std::size_t kAtOnce = 64;                   // records of a recording
constexpr auto kFirstStop = std::chrono::seconds(5);  // after attach: an idle guest enters nothing

/// What an action says of a vCPU; null = nothing.
const Action* action_for(const std::vector<Action>& actions, std::optional<std::uint32_t> vcpu) {
    const auto named = std::find_if(actions.begin(), actions.end(), [&](const Action& a) { return a.vcpu && a.vcpu == vcpu; });
    if (named != actions.end()) return &*named;
    const auto rest = std::find_if(actions.begin(), actions.end(), [](const Action& a) { return !a.vcpu; });
    return rest != actions.end() ? &*rest : nullptr;
}

}  // namespace

std::uint32_t stop_classes(StepKind k) {
    switch (k) {
        case StepKind::Nested: return kStopNestedEntry | kStopNestedExit;
        case StepKind::Entry: return kStopNestedEntry;
        case StepKind::Exit: return kStopNestedExit;
        case StepKind::Transition:
        case StepKind::Instruction: break;
    }
    return kStopL1Exit | kStopNestedEntry | kStopL2Entry | kStopL2Exit | kStopNestedExit | kStopL1Entry;
}

// --- What is watched -----------------------------------------------------------------------------------------------

Watched KvmTarget::watched() const {
    const bool stepping = watching_.hooks == WatchFor::Hooks::Stepping;
    return {watching_.scope, evidence_gap(plan_, stepping ? watching_.scope : nested::EvidenceScope::None)};
}

/// A vCPU that is held has no transition under way that evidence belongs to: it is held before its next VM-entry, where a
/// nested entry is complete.
Result<void> KvmTarget::change_watch(const WatchFor& what) {
    if (const auto ok = drain(milliseconds(0)); !ok) return ok;
    intake_.change_begins();
    const auto changed = device_->watch(plan_, what);
    if (changed) watching_ = what;
    intake_.changes_to(watched());
    const auto drained = drain(milliseconds(0));
    intake_.change_ends();
    info_.notes = notes_of(plan_);
    return changed ? drained : changed;
}

Result<void> KvmTarget::set_evidence(nested::EvidenceScope scope) {
    if (recording_) return core::fail("The guest is being recorded.", "Stop it first.");
    stepping_scope_ = scope;
    const auto ok = drain(milliseconds(0));
    return ok ? watch_for_stepping() : ok;
}

Result<void> KvmTarget::record(const core::RecordSettings& settings) {
    if (runs()) return core::fail("The guest runs.", "Stop it first.");
    if (non_stop_) return core::fail("In non-stop mode nothing is recorded: a recording stops all vCPUs at its end.", "Turn it off first.");
    WatchFor what{.scope = settings.evidence, .ring_bytes = watching_.ring_bytes};
    what.lossless = settings.lossless;
    what.writes = watching_.writes;
    if (settings.evidence == nested::EvidenceScope::None) {
        if (plan_.no_recording) return tl::unexpected(*plan_.no_recording);
        what.hooks = settings.all_fields ? WatchFor::Hooks::RecordAll : WatchFor::Hooks::RecordVerdict;
    }
    if (const auto ok = change_watch(what); !ok) return ok;
    recording_ = true;
    return {};
}

// --- Records in ------------------------------------------------------------------------------------------------------

Result<void> KvmTarget::drain(milliseconds limit) {
    if (!device_) return core::fail("The guest has been left.", "Attach again.");
    if (recording_) return drain_when_due();
    const auto n = device_->read(limit, [this](const RawRecord& r) { intake_.take(r); });
    if (!n) return tl::unexpected(n.error());
    return {};
}

/// A recording's records may wait in the ring: what takes them competes with the guest for processors. When it cannot keep
/// up, the client is heard all the same.
Result<void> KvmTarget::drain_when_due() {
    if (!device_) return core::fail("The guest has been left.", "Attach again.");
    if (!behind_ && device_->waiting() < device_->ring_bytes() / 4 && steady_clock::now() - drained_at_ < kRecordingPace) return {};
    drained_at_ = steady_clock::now();
    const auto n = device_->read(milliseconds(0), [this](const RawRecord& r) { intake_.take(r); }, kAtOnce);
    if (!n) return tl::unexpected(n.error());
    behind_ = *n == kAtOnce;
    return {};
}

// --- Running and stopping --------------------------------------------------------------------------------------------

// A vCPU passes several transitions before it can be held; they are shown one by one while it stays where it is.

Result<void> KvmTarget::let_go(std::uint32_t index, Slot& slot) {
    slot.held = false;
    slot.going = true;
    return device_->run(index, slot.step ? stop_classes(*slot.step) : 0, VMXSCOPE_RUN_RELEASE);
}

Result<void> KvmTarget::stop_all() { return device_->run(VMXSCOPE_ALL_SLOTS, VMXSCOPE_STOP_NOW, VMXSCOPE_RUN_KICK); }

/// In non-stop mode each vCPU says it for itself, a new one too.
bool KvmTarget::runs() const {
    if (!non_stop_) return running_;
    return std::any_of(intake_.slots().begin(), intake_.slots().end(), [](const auto& s) { return s.second.asked; });
}

Stop KvmTarget::stop_at(Slot& slot, std::uint32_t index, Stop::Why why, std::uint64_t seq) {
    for (auto& [other_index, other] : intake_.slots()) {
        if (non_stop_ && &other != &slot) continue;
        if (other.going && !other.step) other.shown = std::max(other.shown, intake_.newest_of(other));
        other.asked = other.going = other.interrupted = false;
    }
    slot.shown = std::max(slot.shown, seq);
    const Stop stop{why, id_of(index, slot), slot.shown, {}};
    attaching_ = false;
    if (non_stop_) return stop;
    running_ = interrupted_ = false;
    recording_ = behind_ = false;
    intake_.new_vcpus(false, std::nullopt);
    // All-stop. Those that run on are held at their next VM-entry; an error here would show at the next call.
    (void)stop_all();
    return stop;
}

std::optional<Stop> KvmTarget::look_for_stop() {
    const Transition* first = nullptr;
    std::uint32_t where = 0;
    for (auto& [index, slot] : intake_.slots()) {
        const Transition* t = slot.held && slot.asked ? intake_.next_match(slot) : nullptr;
        if (!t || (first && first->seq < t->seq)) continue;
        first = t;
        where = index;
    }
    if (first) return stop_at(intake_.slots().at(where), where, attaching_ ? Stop::Why::Attached : Stop::Why::Transition, first->seq);
    for (auto& [index, slot] : intake_.slots())
        if (slot.held && interrupted(slot)) return stop_at(slot, index, Stop::Why::Interrupted, intake_.newest_of(slot));
    if (attaching_ && steady_clock::now() - attached_at_ > kFirstStop) {
        attaching_ = running_ = false;
        intake_.new_vcpus(false, std::nullopt);
        return Stop{Stop::Why::Attached, 0, 0, "No vCPU is about to enter the guest: it is halted, paused or in user space."};
    }
    return std::nullopt;
}

bool KvmTarget::process_gone() const {
    pollfd p{pidfd_, POLLIN, 0};
    return ::poll(&p, 1, 0) > 0;
}

/// A recording's hooks stay until the guest runs on without one: it may be recorded again.
Result<void> KvmTarget::watch_for_stepping() {
    const bool stepping = watching_.hooks == WatchFor::Hooks::Stepping && watching_.scope == stepping_scope_ && !watching_.lossless;
    if (recording_ || stepping) return {};
    WatchFor what{.scope = stepping_scope_, .ring_bytes = watching_.ring_bytes};
    what.writes = watching_.writes;
    what.prompt = watching_.prompt;
    return change_watch(what);
}

/// A full ring can swallow the record that says "held", and a probe can be skipped. The module's status has both; it is
/// asked now and then.
Result<void> KvmTarget::ask_what_was_missed() {
    const auto now = steady_clock::now();
    if (now - asked_at_ < milliseconds(250)) return {};
    asked_at_ = now;
    const auto status = device_->status();
    if (!status) return tl::unexpected(status.error());
    // What is still in the ring comes first.
    for (std::uint32_t i = 0; device_->waiting() == 0 && i < status->slots.size(); ++i)
        if (status->slots[i].held) intake_.slot_of(i, status->slots[i].tid).held = true;
    if (const std::uint32_t newly = status->missed - std::exchange(missed_, status->missed)) intake_.missed(newly);
    return {};
}

/// Held without what it was to run to (told to stop just before it was told to run): on with it. One that rests because
/// the ring was full goes on when there is room again.
Result<void> KvmTarget::let_go_what_is_held() {
    const std::uint32_t full = hold_at(watching_);
    const bool room = full == 0 || device_->waiting() < full / 2;
    for (auto& [index, slot] : intake_.slots())
        if (slot.held && slot.going && !interrupted(slot) && room)
            if (const auto ok = let_go(index, slot); !ok) return ok;
    return {};
}

Result<std::optional<Stop>> KvmTarget::wait(milliseconds limit) {
    const auto end = steady_clock::now() + limit;
    for (;;) {
        if (const auto ok = drain(milliseconds(0)); !ok) return tl::unexpected(ok.error());
        if (gone_ || process_gone()) {
            gone_ = true;
            running_ = recording_ = false;
            (void)drain(milliseconds(0));  // the rest, all of it: nothing more comes
            return Stop{Stop::Why::GuestGone, 0, intake_.journal().last(), fmt::format("Process {} has ended, and the guest with it.", pid_)};
        }
        if (!runs()) return std::optional<Stop>{};
        if (auto stop = look_for_stop()) return stop;
        if (const auto ok = let_go_what_is_held(); !ok) return tl::unexpected(ok.error());
        if (const auto ok = ask_what_was_missed(); !ok) return tl::unexpected(ok.error());
        const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
        if (left.count() <= 0) return std::optional<Stop>{};
        if (!recording_) {
            if (const auto ok = drain(std::min(left, milliseconds(20))); !ok) return tl::unexpected(ok.error());
        } else if (!behind_) {
            std::this_thread::sleep_for(std::min(left, milliseconds(5)));
        }
    }
}

Result<void> KvmTarget::resume(const std::vector<Action>& actions) {
    if (gone_) return core::fail("The guest has ended: there is nothing to run.");
    const auto step_is = [&](auto like) { return std::any_of(actions.begin(), actions.end(), [&](const Action& a) { return a.step && like(*a.step); }); };
    if (step_is([](StepKind k) { return k == StepKind::Instruction; }))
        return core::fail("KVM lets only the guest's VMM step single instructions.", "Step to a transition, or attach to QEMU's own gdbstub.");
    if (const auto ok = drain(milliseconds(0)); !ok) return ok;
    // Who steps does not record, whatever was asked for before.
    if (step_is([](StepKind) { return true; })) recording_ = false;
    if (!runs())
        if (const auto ok = watch_for_stepping(); !ok) return ok;
    const auto steps = [](const Action& a) { return a.step.has_value(); };
    const bool some_run = !std::all_of(actions.begin(), actions.end(), steps);
    if (const auto ok = be_prompt(non_stop_ || (some_run && std::any_of(actions.begin(), actions.end(), steps))); !ok) return ok;
    if (non_stop_) return resume_some(actions);
    const auto ok = resume_all_stop(actions);
    running_ = running_ || ok;
    return ok;
}

/// Whether vCPUs that run on wait while the agent is behind: where the stop of another is awaited.
Result<void> KvmTarget::be_prompt(bool yes) {
    if (recording_ || watching_.prompt == yes) return {};
    WatchFor what = watching_;
    what.prompt = yes;
    const auto changed = device_->watch(plan_, what);  // no hook comes or goes
    if (changed) watching_ = what;
    return changed;
}

/// vCPUs that no action names stay held, or stop.
Result<void> KvmTarget::resume_all_stop(const std::vector<Action>& actions) {
    // Those that were never seen run on, or stop at once.
    const Action* rest = action_for(actions, std::nullopt);
    const std::uint32_t unseen = rest ? (rest->step ? stop_classes(*rest->step) : 0) : VMXSCOPE_STOP_NOW;
    if (const auto ok = device_->run(VMXSCOPE_ALL_SLOTS, unseen, 0); !ok) return ok;
    intake_.new_vcpus(rest != nullptr, rest ? rest->step : std::nullopt);
    bool shown_already = false;
    for (auto& [index, slot] : intake_.slots()) {
        const Action* action = action_for(actions, slot.assembler.vcpu_id());
        slot.step = action ? action->step : std::nullopt;
        slot.asked = action;
        if (action)
            shown_already |= slot.held && intake_.next_match(slot);
        else if (const auto ok = device_->run(index, VMXSCOPE_STOP_NOW, 0); !ok)
            return ok;
    }
    // A step that ends at a transition already seen moves no vCPU.
    if (shown_already) return {};
    for (auto& [index, slot] : intake_.slots()) {
        if (!slot.asked) continue;
        if (!slot.step) slot.shown = std::max(slot.shown, intake_.newest_of(slot));
        if (const auto ok = let_go(index, slot); !ok) return ok;
    }
    return {};
}

/// Non-stop: of the vCPUs that have stopped, those that an action names; the others are as they are.
Result<void> KvmTarget::resume_some(const std::vector<Action>& actions) {
    for (auto& [index, slot] : intake_.slots()) {
        const Action* action = slot.asked ? nullptr : action_for(actions, slot.assembler.vcpu_id());
        if (!action) continue;
        slot.asked = true;
        slot.step = action->step;
        if (slot.held && intake_.next_match(slot)) continue;
        if (!slot.step) slot.shown = std::max(slot.shown, intake_.newest_of(slot));
        if (const auto ok = let_go(index, slot); !ok) return ok;
    }
    return {};
}

Result<void> KvmTarget::interrupt() {
    if (!runs()) return {};
    if (non_stop_)
        for (auto& [index, slot] : intake_.slots()) slot.interrupted = slot.asked;
    else
        interrupted_ = true;
    // First, so that the vCPUs stop at the first place that can hold them. A recording's own hooks cannot; those of stepping
    // are placed when the guest runs on.
    if (const auto ok = stop_all(); !ok || !recording_ || watching_.hooks == WatchFor::Hooks::Stepping) return ok;
    watching_.may_hold = true;
    watching_.lossless = false;
    return device_->watch(plan_, watching_);
}

/// vCPUs that are seen for the first time run on in non-stop mode: another may wait for them.
Result<void> KvmTarget::set_non_stop(bool on) {
    if (on == non_stop_) return {};
    if (on && runs()) return core::fail("The guest runs.", "Stop it first.");
    if (recording_) return core::fail("The guest is being recorded.", "Stop it first.");
    non_stop_ = on;
    running_ = interrupted_ = false;
    for (auto& [index, slot] : intake_.slots()) slot.asked = slot.going = slot.interrupted = false;
    intake_.new_vcpus(on, std::nullopt);
    if (!on) return stop_all();
    if (const auto ok = device_->run(VMXSCOPE_ALL_SLOTS, 0, 0); !ok) return ok;
    for (auto& [index, slot] : intake_.slots())
        if (const auto ok = device_->run(index, VMXSCOPE_STOP_NOW, VMXSCOPE_RUN_KICK); !ok) return ok;
    return {};
}

Result<void> KvmTarget::interrupt_one(std::uint32_t vcpu) {
    if (!non_stop_) return interrupt();
    const auto found = intake_.find(vcpu);
    if (found == intake_.slots().end()) return core::fail(fmt::format("The guest has no vCPU {}.", vcpu));
    if (!found->second.asked) return {};
    found->second.interrupted = true;
    return device_->run(found->first, VMXSCOPE_STOP_NOW, VMXSCOPE_RUN_KICK);
}

}  // namespace vmxscope::kvm
