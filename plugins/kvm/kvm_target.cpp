#include "plugins/kvm/kvm_target.h"

#include <sys/syscall.h>
#include <sys/utsname.h>
#include <poll.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <thread>
#include <utility>

#include "plugins/kvm/assembler.h"
#include "plugins/kvm/device.h"
#include "plugins/kvm/inspector.h"
#include "plugins/kvm/journal.h"
#include "plugins/kvm/qmp.h"
#include "plugins/kvm/refusals.h"
#include "plugins/kvm/sample.h"
#include "plugins/kvm/tracker.h"

#ifndef VMXSCOPE_VERSION
#error "VMXSCOPE_VERSION is given by the build"
#endif

namespace vmxscope::kvm {
namespace {

using core::Action;
using core::Result;
using core::StepKind;
using core::Stop;
using core::VcpuState;
using nested::Transition;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kPastBytes = 64u << 20;     // of the session's past: a million transitions, and more
constexpr auto kRecordingPace = milliseconds(100);  // how often a recording's records are taken at least
constexpr std::size_t kAtOnce = 64;  // records of a recording
constexpr auto kFirstStop = std::chrono::seconds(5);  // after attach: an idle guest enters nothing

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

std::optional<bool> parameter(const char* name) {
    std::ifstream in(std::string("/sys/module/kvm_intel/parameters/") + name);
    char c = 0;
    if (!(in >> c)) return std::nullopt;
    return c == 'Y' || c == '1';
}

Parameters kvm_parameters() {
    return {parameter("ept"), parameter("enable_shadow_vmcs"), parameter("vpid"), parameter("unrestricted_guest")};
}

std::string cpu_name() {
    std::ifstream in("/proc/cpuinfo");
    for (std::string line; std::getline(in, line);)
        if (line.starts_with("model name"))
            if (const auto colon = line.find(": "); colon != std::string::npos) return line.substr(colon + 2);
    return "unknown";
}

/// One vCPU as the module knows it, by slot.
struct Slot {
    Slot(Assembler a, const ProbePlan& plan) : assembler(std::move(a)), tracker(plan) {}
    Assembler assembler;
    Tracker tracker;                    // of a recording
    bool recorded = false;              // its newest record is a recording's
    std::uint32_t tid = 0;
    bool held = false;                  // asleep before its next VM-entry
    bool going = false;                 // told to run since the last stop
    std::optional<StepKind> step;       // … to what; empty = run on
    std::uint64_t shown = 0;            // seq of its newest shown transition
    HeldVcpu seen;                      // for looking at it while it is held
    std::uint64_t exited = 0;           // TSC of its last hardware exit
};

/// Keeps what looking at a held vCPU needs. BeforeEntry is the last record before it is held, and comes for vmcs02 only.
void remember(HeldVcpu& seen, const Sample& s) {
    if (s.role == Role::BeforeEntry || s.role == Role::HardwareEntry) seen.address = s.registers[0];  // RDI is the vCPU
    seen.vmcs02.reset();
    if (s.role == Role::BeforeEntry && s.level2) seen.vmcs02 = s.vmcs;
    if (s.role == Role::HardwareExit && !s.level2) seen.vmcs01_at_exit = s.vmcs.value_or(vmx::VmcsImage{});
    if (s.role == Role::NestedEntryBegin) seen.vmcs01_at_nested_entry = s.vmcs.value_or(vmx::VmcsImage{});
}

class KvmTarget : public core::Target {
  public:
    KvmTarget(ProbePlan plan, std::uint32_t pid) : plan_(std::move(plan)), pid_(pid), parameters_(kvm_parameters()) {}
    ~KvmTarget() override {
        if (pidfd_ >= 0) ::close(pidfd_);
    }

    Result<void> start(const AttachOptions& options);
    const core::TargetInfo& info() const override { return info_; }
    core::Abilities abilities() const override {
        using enum core::Ability;
        return {Transitions, Record, Evidence, Capabilities, Memory, Looking};
    }
    Result<std::vector<core::Vcpu>> vcpus() override;
    Result<void> resume(const std::vector<Action>& actions) override;
    Result<std::optional<Stop>> wait(milliseconds limit) override;
    Result<void> interrupt() override;
    Result<core::History> history() override;
    Result<Transition> transition(std::uint64_t seq) override;
    Result<std::vector<std::byte>> past(std::uint64_t from) override { return journal_.block_from(from); }
    Result<void> record(const core::RecordSettings& settings) override;
    Result<void> set_evidence(nested::EvidenceScope scope) override;
    Result<core::TargetCapabilities> capabilities() override;
    Result<std::vector<std::byte>> read_memory(std::uint32_t vcpu, core::Space space, std::uint64_t address, std::size_t size) override;
    Result<std::vector<std::byte>> msr_bitmap(std::uint32_t vcpu, HardwareVmcs which) override;
    Result<std::vector<vmx::WalkStep>> ept02_walk(std::uint32_t vcpu, std::uint64_t l2_physical) override;
    Result<void> detach() override;

  private:
    Result<void> drain(milliseconds limit);
    Result<void> ask_what_was_missed();
    Result<void> drain_when_due();
    void take(const RawRecord& record);
    void take_changes(Slot& slot, const RawRecord& record);
    void take_sample(Slot& slot, const Sample& sample);
    void take_access(Slot& slot, const vmxscope_record& header);
    void keep(Slot& slot, Transition t);
    Result<void> change_watch(const WatchFor& what);
    Result<void> watch_for_stepping();
    std::string gap() const;
    void give_reason(const Slot& slot, const Sample& end, Transition& t);
    Slot& slot_of(std::uint32_t index, std::uint32_t tid);
    const Transition* next_match(const Slot& slot) const {
        return slot.step ? journal_.next_match(slot.assembler.vcpu_id(), slot.shown, *slot.step) : nullptr;
    }
    std::optional<Stop> look_for_stop();
    Stop stop_at(Slot& slot, std::uint32_t index, Stop::Why why, std::uint64_t seq);
    Result<void> stop_all();
    Result<void> let_go(std::uint32_t index, Slot& slot);
    std::uint64_t newest_of(const Slot& slot) const { return journal_.newest_of(slot.assembler.vcpu_id()); }
    bool process_gone() const;
    Result<const Inspector*> inspector();
    Result<HeldVcpu> held(std::uint32_t vcpu);
    /// What `ask` answers of that vCPU, if it is held.
    template <typename Ask>
    auto look(std::uint32_t vcpu, Ask ask) -> decltype(ask(std::declval<const Inspector&>(), HeldVcpu{})) {
        const auto v = held(vcpu);
        if (!v) return tl::unexpected(v.error());
        const auto in = inspector();
        if (!in) return tl::unexpected(in.error());
        return ask(**in, *v);
    }
    std::uint32_t id_of(std::uint32_t index, const Slot& slot) const { return slot.assembler.vcpu_id().value_or(index); }

    ProbePlan plan_;
    std::uint32_t pid_;
    Parameters parameters_;
    WatchFor watching_;
    nested::EvidenceScope stepping_scope_ = nested::EvidenceScope::Pdptrs;  // what a recording goes back to
    bool recording_ = false;
    bool behind_ = false;             // more records wait than are taken at once
    core::TargetInfo info_;
    std::unique_ptr<Device> device_;
    int pidfd_ = -1;
    std::optional<Refusals> refusals_;
    std::optional<Inspector> inspector_;  // once it is asked for
    std::map<std::uint32_t, Slot> slots_;
    Journal journal_{kPastBytes};
    std::vector<Sample> samples_;     // of one record of a recording
    std::uint64_t lost_ = 0;
    std::uint32_t missed_ = 0;        // the module's count, as last asked
    bool running_ = false;            // some vCPU was let go since the last stop
    bool attaching_ = true;           // the first stop is still to come
    bool interrupted_ = false;
    bool gone_ = false;
    bool changing_ = false;           // what is watched
    steady_clock::time_point attached_at_, asked_at_, drained_at_;
};

Result<void> KvmTarget::start(const AttachOptions& options) {
    // A kernel without it is worth a note, no more.
    if (auto refusals = Refusals::open()) refusals_.emplace(std::move(*refusals));
    else plan_.notes.push_back(refusals.error().text());
    watching_.ring_bytes = options.ring_bytes;
    auto device = Device::open(plan_, pid_, VMXSCOPE_STOP_NOW, watching_);
    if (!device) return tl::unexpected(device.error());
    device_ = std::move(*device);
    pidfd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
    if (pidfd_ < 0) return core::fail(fmt::format("Process {} has ended.", pid_));
    if (!options.resume_qmp.empty())
        if (const auto ok = qmp_continue(options.resume_qmp); !ok) return ok;
    utsname name{};
    ::uname(&name);
    info_.name = fmt::format("kvm:{}", pid_);
    info_.kernel = name.release;
    info_.cpu = cpu_name();
    info_.pid = pid_;
    info_.agent = VMXSCOPE_VERSION;
    info_.host = name.nodename;
    info_.tsc_khz = device_->tsc_khz();
    running_ = true;
    info_.notes = notes_of(plan_);
    attached_at_ = steady_clock::now();
    // Until now every vCPU was held at its first sight; the first crossing of any is where attaching ends.
    return device_->run(VMXSCOPE_ALL_SLOTS, stop_classes(StepKind::Transition), VMXSCOPE_RUN_RELEASE);
}

// --- Records in ------------------------------------------------------------------------------------------------------

Slot& KvmTarget::slot_of(std::uint32_t index, std::uint32_t tid) {
    auto it = slots_.find(index);
    if (it == slots_.end()) {
        it = slots_.emplace(index, Slot(Assembler(parameters_, {watching_.scope, gap()}), plan_)).first;
        if (changing_) it->second.assembler.change_begins();
        // Attaching ends at the first transition of any vCPU, so that there is something to show.
        it->second.going = attaching_;
        if (attaching_) it->second.step = StepKind::Transition;
    }
    it->second.tid = tid;
    return it->second;
}

/// Between two hardware exits of a vCPU there is one attempt at a nested entry at most. One that the processor refuses
/// with VMfail is told at the nested exit that follows.
void KvmTarget::give_reason(const Slot& slot, const Sample& end, Transition& t) {
    const bool refused = t.kind == nested::Kind::NestedEntryFailed || (t.kind == nested::Kind::NestedExit && t.context.vmx_fail.value_or(false));
    if (refused && refusals_) t.kvm_reason = refusals_->take(slot.tid, slot.exited, end.tsc);
}

void KvmTarget::keep(Slot& slot, Transition t) {
    slot.assembler.number(t, journal_.last() + 1);
    lost_ += t.lost_before;
    journal_.add(std::move(t), slot.recorded);
}

void KvmTarget::take_sample(Slot& slot, const Sample& sample) {
    remember(slot.seen, sample);
    for (Transition& t : slot.assembler.take(sample)) {
        give_reason(slot, sample, t);
        keep(slot, std::move(t));
    }
    if (sample.role == Role::HardwareExit) slot.exited = sample.tsc;
}

void KvmTarget::take_changes(Slot& slot, const RawRecord& record) {
    if (!std::exchange(slot.recorded, true)) slot.assembler.change_ends({nested::EvidenceScope::None, evidence_gap(plan_, nested::EvidenceScope::None)});
    samples_.clear();
    if (!slot.tracker.take(record, samples_)) ++lost_;
    for (const Sample& sample : samples_) take_sample(slot, sample);
}

void KvmTarget::take_access(Slot& slot, const vmxscope_record& h) {
    if (h.hook >= plan_.meaning.size()) return;
    nested::Evidence e;
    e.op = plan_.hooks[h.hook].kind == VMXSCOPE_AT_VMWRITE ? nested::Evidence::Op::Vmwrite : nested::Evidence::Op::Vmread;
    e.encoding = static_cast<std::uint16_t>(h.regs[0]);
    if (h.flags & VMXSCOPE_REC_VALUE) e.value = vmx::Value::of(h.regs[1]);
    e.at = plan_.meaning[h.hook].at;
    e.vmcs02 = h.flags & VMXSCOPE_REC_LEVEL2;
    slot.assembler.take(e, h.lost);
}

void KvmTarget::take(const RawRecord& record) {
    const vmxscope_record& h = record.header;
    Slot& slot = slot_of(h.slot, h.tid);
    switch (h.type) {
        case VMXSCOPE_REC_HOOK:
            if (std::exchange(slot.recorded, false)) slot.assembler.change_ends({watching_.scope, gap()});
            if (const auto sample = decode_sample(record, plan_)) take_sample(slot, *sample);
            else ++lost_;
            break;
        case VMXSCOPE_REC_CHANGES: take_changes(slot, record); break;
        case VMXSCOPE_REC_OP: take_access(slot, h); break;
        case VMXSCOPE_REC_HELD: slot.held = true; break;
        case VMXSCOPE_REC_RELEASED: slot.held = false; break;
        default: ++lost_;
    }
}

Result<void> KvmTarget::drain(milliseconds limit) {
    if (!device_) return core::fail("The guest has been left.", "Attach again.");
    if (recording_) return drain_when_due();
    const auto n = device_->read(limit, [this](const RawRecord& r) { take(r); });
    if (!n) return tl::unexpected(n.error());
    return {};
}

/// A recording's records may wait in the ring: what takes them competes with the guest for processors. When it cannot keep
/// up, the client is heard all the same.
Result<void> KvmTarget::drain_when_due() {
    if (!device_) return core::fail("The guest has been left.", "Attach again.");
    if (!behind_ && device_->waiting() < device_->ring_bytes() / 4 && steady_clock::now() - drained_at_ < kRecordingPace) return {};
    drained_at_ = steady_clock::now();
    const auto n = device_->read(milliseconds(0), [this](const RawRecord& r) { take(r); }, kAtOnce);
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

Stop KvmTarget::stop_at(Slot& slot, std::uint32_t index, Stop::Why why, std::uint64_t seq) {
    for (auto& [other_index, other] : slots_) {
        if (other.going && !other.step) other.shown = std::max(other.shown, newest_of(other));
        other.going = false;
    }
    slot.shown = std::max(slot.shown, seq);
    running_ = attaching_ = interrupted_ = false;
    recording_ = behind_ = false;
    // All-stop. Those that run on are held at their next VM-entry; an error here would show at the next call.
    (void)stop_all();
    return {why, id_of(index, slot), slot.shown, {}};
}

std::optional<Stop> KvmTarget::look_for_stop() {
    const Transition* first = nullptr;
    std::uint32_t where = 0;
    for (auto& [index, slot] : slots_) {
        const Transition* t = slot.held ? next_match(slot) : nullptr;
        if (!t || (first && first->seq < t->seq)) continue;
        first = t;
        where = index;
    }
    if (first) return stop_at(slots_.at(where), where, attaching_ ? Stop::Why::Attached : Stop::Why::Transition, first->seq);
    for (auto& [index, slot] : slots_)
        if (slot.held && interrupted_) return stop_at(slot, index, Stop::Why::Interrupted, newest_of(slot));
    if (attaching_ && steady_clock::now() - attached_at_ > kFirstStop) {
        attaching_ = running_ = false;
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
    return change_watch({.scope = stepping_scope_, .ring_bytes = watching_.ring_bytes});
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
        if (status->slots[i].held) slot_of(i, status->slots[i].tid).held = true;
    // Probe hits that the kernel skipped, on whichever vCPU: none of them may draw conclusions from what was not seen.
    const std::uint32_t newly_missed = status->missed - std::exchange(missed_, status->missed);
    if (newly_missed)
        for (auto& [index, slot] : slots_) slot.assembler.missed(newly_missed);
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
            return Stop{Stop::Why::GuestGone, 0, journal_.last(), fmt::format("Process {} has ended, and the guest with it.", pid_)};
        }
        if (!running_) return std::optional<Stop>{};
        if (auto stop = look_for_stop()) return stop;
        // Held without what it was to run to (told to stop just before it was told to run): on with it.
        // One that rests because the ring was full goes on when there is room again.
        const bool room = !watching_.lossless || device_->waiting() < device_->ring_bytes() / 16;
        for (auto& [index, slot] : slots_)
            if (slot.held && slot.going && !interrupted_ && room)
                if (const auto ok = let_go(index, slot); !ok) return tl::unexpected(ok.error());
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
    if (std::any_of(actions.begin(), actions.end(), [](const Action& a) { return a.step == StepKind::Instruction; }))
        return core::fail("KVM lets only the guest's VMM step single instructions.", "Step to a transition, or attach to QEMU's own gdbstub.");
    if (const auto ok = drain(milliseconds(0)); !ok) return ok;
    // Who steps does not record, whatever was asked for before.
    if (std::any_of(actions.begin(), actions.end(), [](const Action& a) { return a.step.has_value(); })) recording_ = false;
    if (const auto ok = watch_for_stepping(); !ok) return ok;
    const bool everyone = std::any_of(actions.begin(), actions.end(), [](const Action& a) { return !a.vcpu; });
    const Action* rest = nullptr;
    for (const Action& a : actions)
        if (!a.vcpu && !rest) rest = &a;
    // vCPUs that were never seen run on, or stop at once when nobody named them.
    const std::uint32_t unseen = everyone ? (rest->step ? stop_classes(*rest->step) : 0) : VMXSCOPE_STOP_NOW;
    if (const auto ok = device_->run(VMXSCOPE_ALL_SLOTS, unseen, 0); !ok) return ok;
    bool shown_already = false;
    std::vector<std::uint32_t> go;
    for (auto& [index, slot] : slots_) {
        const auto id = slot.assembler.vcpu_id();
        const auto named = std::find_if(actions.begin(), actions.end(), [&](const Action& a) { return a.vcpu && a.vcpu == id; });
        const Action* action = named != actions.end() ? &*named : rest;
        slot.step.reset();
        if (!action) {
            if (const auto ok = device_->run(index, VMXSCOPE_STOP_NOW, 0); !ok) return ok;
            continue;
        }
        slot.step = action->step;
        shown_already |= slot.held && next_match(slot);
        go.push_back(index);
    }
    running_ = true;
    // A step that ends at a transition already seen moves no vCPU.
    if (shown_already) return {};
    for (const std::uint32_t index : go) {
        Slot& slot = slots_.at(index);
        if (!slot.step) slot.shown = std::max(slot.shown, newest_of(slot));
        if (const auto ok = let_go(index, slot); !ok) return ok;
    }
    return {};
}

Result<void> KvmTarget::interrupt() {
    if (!running_) return {};
    interrupted_ = true;
    // First, so that the vCPUs stop at the first place that can hold them. A recording's own hooks cannot; those of stepping
    // are placed when the guest runs on.
    if (const auto ok = stop_all(); !ok || !recording_ || watching_.hooks == WatchFor::Hooks::Stepping) return ok;
    watching_.may_hold = true;
    watching_.lossless = false;
    return device_->watch(plan_, watching_);
}

// --- Looking ---------------------------------------------------------------------------------------------------------

Result<std::vector<core::Vcpu>> KvmTarget::vcpus() {
    if (const auto ok = drain(milliseconds(0)); !ok) return tl::unexpected(ok.error());
    std::vector<core::Vcpu> out;
    for (auto& [index, slot] : slots_) {
        core::Vcpu v;
        v.id = id_of(index, slot);
        v.tid = slot.tid;
        v.state = gone_ ? VcpuState::Gone : slot.held ? VcpuState::Held : running_ ? VcpuState::Running : VcpuState::Waiting;
        v.level = slot.assembler.level();
        v.last_seq = slot.shown;
        out.push_back(v);
    }
    std::sort(out.begin(), out.end(), [](auto& a, auto& b) { return a.id < b.id; });
    return out;
}

/// Up to the newest shown transition: what lies ahead of it was passed by the vCPU but is for later steps to show.
Result<core::History> KvmTarget::history() {
    core::History h;
    h.lost = lost_;
    std::uint64_t shown = 0;
    for (const auto& [index, slot] : slots_) shown = std::max(shown, slot.shown);
    if (running_ || gone_) shown = std::max(shown, journal_.last());
    if (journal_.first() && shown >= journal_.first()) {
        h.first = journal_.first();
        h.last = shown;
    }
    return h;
}

Result<Transition> KvmTarget::transition(std::uint64_t seq) { return journal_.transition(seq); }

std::string KvmTarget::gap() const {
    if (watching_.hooks != WatchFor::Hooks::Stepping) return evidence_gap(plan_, nested::EvidenceScope::None);
    return evidence_gap(plan_, watching_.scope);
}

/// A vCPU that is held has no transition under way that evidence belongs to: it is held before its next VM-entry, where a
/// nested entry is complete.
Result<void> KvmTarget::change_watch(const WatchFor& what) {
    if (const auto ok = drain(milliseconds(0)); !ok) return ok;
    for (auto& [index, slot] : slots_)
        if (!slot.held) slot.assembler.change_begins();
    changing_ = true;
    const auto watched = device_->watch(plan_, what);
    if (watched) watching_ = what;
    const auto drained = drain(milliseconds(0));
    changing_ = false;
    for (auto& [index, slot] : slots_) slot.assembler.change_ends({watching_.scope, gap()});
    info_.notes = notes_of(plan_);
    return watched ? drained : watched;
}

Result<void> KvmTarget::set_evidence(nested::EvidenceScope scope) {
    if (recording_) return core::fail("The guest is being recorded.", "Stop it first.");
    stepping_scope_ = scope;
    const auto ok = drain(milliseconds(0));
    return ok ? watch_for_stepping() : ok;
}

Result<void> KvmTarget::record(const core::RecordSettings& settings) {
    if (running_) return core::fail("The guest runs.", "Stop it first.");
    WatchFor what{.scope = settings.evidence, .ring_bytes = watching_.ring_bytes};
    what.lossless = settings.lossless;
    if (settings.evidence == nested::EvidenceScope::None) {
        if (plan_.no_recording) return tl::unexpected(*plan_.no_recording);
        what.hooks = settings.all_fields ? WatchFor::Hooks::RecordAll : WatchFor::Hooks::RecordVerdict;
    }
    if (const auto ok = change_watch(what); !ok) return ok;
    recording_ = true;
    return {};
}

Result<const Inspector*> KvmTarget::inspector() {
    if (!inspector_) {
        auto opened = Inspector::open(pid_, parameters_.ept.value_or(true));
        if (!opened) return tl::unexpected(opened.error());
        inspector_.emplace(std::move(*opened));
    }
    return &*inspector_;
}

Result<HeldVcpu> KvmTarget::held(std::uint32_t vcpu) {
    if (const auto ok = drain(milliseconds(0)); !ok) return tl::unexpected(ok.error());
    for (const auto& [index, slot] : slots_) {
        if (id_of(index, slot) != vcpu) continue;
        if (!slot.held || gone_) return core::fail(fmt::format("vCPU {} is not held: its memory may change while it is looked at.", vcpu), "Interrupt it first.");
        HeldVcpu v = slot.seen;
        v.level = slot.assembler.level().value_or(1);
        if (!v.address) return core::fail(fmt::format("No VM-entry of vCPU {} was seen yet.", vcpu), "Step it first.");
        return v;
    }
    return core::fail(fmt::format("The guest has no vCPU {}.", vcpu));
}

Result<core::TargetCapabilities> KvmTarget::capabilities() {
    if (const auto ok = drain(milliseconds(0)); !ok) return tl::unexpected(ok.error());
    core::TargetCapabilities c;
    const auto msrs = device_->capability_msrs();
    if (!msrs) return tl::unexpected(msrs.error());
    c.l0.msrs = *msrs;
    read_cpuid_widths(c.l0);
    const auto seen = std::find_if(slots_.begin(), slots_.end(), [](const auto& s) { return s.second.seen.address != 0; });
    if (seen == slots_.end()) return core::fail("No VM-entry of any vCPU was seen yet.", "Step first.");
    const auto look = inspector();
    if (!look) return tl::unexpected(look.error());
    auto l1 = (*look)->l1_capabilities(seen->second.seen.address);
    if (!l1) return tl::unexpected(l1.error());
    c.l1 = *l1;
    return c;
}

Result<std::vector<std::byte>> KvmTarget::read_memory(std::uint32_t vcpu, core::Space space, std::uint64_t address, std::size_t size) {
    return look(vcpu, [&](const Inspector& in, const HeldVcpu& v) { return in.read_memory(v, space, address, size); });
}

Result<std::vector<std::byte>> KvmTarget::msr_bitmap(std::uint32_t vcpu, HardwareVmcs which) {
    return look(vcpu, [&](const Inspector& in, const HeldVcpu& v) { return in.msr_bitmap(v, which); });
}

Result<std::vector<vmx::WalkStep>> KvmTarget::ept02_walk(std::uint32_t vcpu, std::uint64_t l2_physical) {
    return look(vcpu, [&](const Inspector& in, const HeldVcpu& v) { return in.ept02_walk(v, l2_physical); });
}

Result<void> KvmTarget::detach() {
    device_.reset();
    refusals_.reset();
    running_ = false;
    return {};
}

}  // namespace

Result<std::unique_ptr<core::Target>> attach_kvm(ProbePlan plan, const KvmProcess& process, const AttachOptions& options) {
    auto target = std::make_unique<KvmTarget>(std::move(plan), process.pid);
    if (const auto ok = target->start(options); !ok) return tl::unexpected(ok.error());
    return target;
}

}  // namespace vmxscope::kvm
