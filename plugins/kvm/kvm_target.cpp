#include "plugins/kvm/kvm_target.h"

#include <sys/syscall.h>
#include <sys/utsname.h>
#include <poll.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <thread>
#include <utility>

#include "plugins/kvm/intake.h"
#include "plugins/kvm/qmp.h"
#include "plugins/kvm/writer.h"

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

class KvmTarget : public core::Target {
  public:
    KvmTarget(ProbePlan plan, std::uint32_t pid)
        : plan_(std::move(plan)), pid_(pid), parameters_(kvm_parameters()), intake_(plan_, parameters_, kPastBytes) {}
    ~KvmTarget() override {
        if (pidfd_ >= 0) ::close(pidfd_);
    }

    Result<void> start(const AttachOptions& options);
    const core::TargetInfo& info() const override { return info_; }
    core::Abilities abilities() const override {
        using enum core::Ability;
        const core::Abilities all{Transitions, Record, Evidence, Capabilities, Memory, Looking, NonStop};
        return watching_.writes ? all.with(Write) : all;
    }
    Result<std::vector<core::Vcpu>> vcpus() override;
    Result<void> resume(const std::vector<Action>& actions) override;
    Result<std::optional<Stop>> wait(milliseconds limit) override;
    Result<void> interrupt() override;
    Result<void> set_non_stop(bool on) override;
    Result<void> interrupt_one(std::uint32_t vcpu) override;
    Result<core::History> history() override;
    Result<Transition> transition(std::uint64_t seq) override { return intake_.journal().transition(seq); }
    Result<std::vector<std::byte>> past(std::uint64_t from) override { return intake_.journal().block_from(from); }
    Result<void> record(const core::RecordSettings& settings) override;
    Result<void> set_evidence(nested::EvidenceScope scope) override;
    Result<core::TargetCapabilities> capabilities() override;
    Result<std::vector<std::byte>> read_memory(std::uint32_t vcpu, core::Space space, std::uint64_t address, std::size_t size) override;
    Result<std::vector<std::byte>> msr_bitmap(std::uint32_t vcpu, HardwareVmcs which) override;
    Result<std::vector<vmx::WalkStep>> ept02_walk(std::uint32_t vcpu, std::uint64_t l2_physical) override;
    Result<void> write_memory(std::uint32_t vcpu, core::Space space, std::uint64_t address, const std::vector<std::byte>& bytes) override;
    Result<void> write_field(std::uint32_t vcpu, core::WrittenVmcs which, vmx::Field field, std::uint64_t value) override;
    Result<std::vector<core::Write>> ledger() override { return writer_ ? writer_->ledger() : std::vector<core::Write>{}; }
    Result<void> detach() override;

  private:
    Result<void> drain(milliseconds limit);
    Result<void> drain_when_due();
    Result<void> ask_what_was_missed();
    Result<void> change_watch(const WatchFor& what);
    Result<void> watch_for_stepping();
    Watched watched() const;
    std::optional<Stop> look_for_stop();
    Stop stop_at(Slot& slot, std::uint32_t index, Stop::Why why, std::uint64_t seq);
    Result<void> stop_all();
    Result<void> let_go(std::uint32_t index, Slot& slot);
    Result<void> let_go_what_is_held();
    bool runs() const;
    bool interrupted(const Slot& slot) const { return slot.interrupted || interrupted_; }
    Result<void> be_prompt(bool yes);
    Result<void> resume_all_stop(const std::vector<Action>& actions);
    Result<void> resume_some(const std::vector<Action>& actions);
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
    std::optional<Inspector> inspector_;  // once it is asked for
    std::optional<Writer> writer_;        // if writing is allowed; of device_
    Intake intake_;
    std::uint32_t missed_ = 0;        // the module's count, as last asked
    bool running_ = false;            // all-stop: some vCPU was let go since the last stop
    bool interrupted_ = false;        // all-stop: every vCPU is asked to stop, also those that were not seen yet
    bool attaching_ = true;           // the first stop is still to come
    bool non_stop_ = false;
    bool gone_ = false;
    steady_clock::time_point attached_at_, asked_at_, drained_at_;
};

Result<void> KvmTarget::start(const AttachOptions& options) {
    // A kernel without it is worth a note, no more.
    if (auto refusals = Refusals::open()) intake_.ask_reasons_of(std::move(*refusals));
    else plan_.notes.push_back(refusals.error().text());
    watching_.ring_bytes = options.ring_bytes;
    watching_.writes = options.allow_writes;
    intake_.changes_to(watched());
    // Attaching ends at the first transition of any vCPU, so that there is something to show.
    intake_.new_vcpus(true, StepKind::Transition);
    auto device = Device::open(plan_, pid_, VMXSCOPE_STOP_NOW, watching_);
    if (!device) return tl::unexpected(device.error());
    device_ = std::move(*device);
    if (options.allow_writes) writer_.emplace(*device_, plan_);
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

/// What an action says of a vCPU; null = nothing.
const Action* action_for(const std::vector<Action>& actions, std::optional<std::uint32_t> vcpu) {
    const auto named = std::find_if(actions.begin(), actions.end(), [&](const Action& a) { return a.vcpu && a.vcpu == vcpu; });
    if (named != actions.end()) return &*named;
    const auto rest = std::find_if(actions.begin(), actions.end(), [](const Action& a) { return !a.vcpu; });
    return rest != actions.end() ? &*rest : nullptr;
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

// --- Looking ---------------------------------------------------------------------------------------------------------

Result<std::vector<core::Vcpu>> KvmTarget::vcpus() {
    if (const auto ok = drain(milliseconds(0)); !ok) return tl::unexpected(ok.error());
    std::vector<core::Vcpu> out;
    for (auto& [index, slot] : intake_.slots()) {
        core::Vcpu v;
        v.id = id_of(index, slot);
        v.tid = slot.tid;
        // One that rests only until the agent has caught up runs, for whoever asks.
        const bool runs = slot.asked && (non_stop_ || running_);
        v.state = gone_ ? VcpuState::Gone : runs ? VcpuState::Running : slot.held ? VcpuState::Held : VcpuState::Waiting;
        v.last_seq = slot.shown;
        // As its shown transition has it: the vCPU itself may be held some crossings further on.
        const auto shown = slot.shown && slot.shown != intake_.newest_of(slot) ? transition(slot.shown) : tl::unexpected(core::Error{});
        v.level = shown ? core::level_after(shown->kind) : slot.assembler.level();
        out.push_back(v);
    }
    std::sort(out.begin(), out.end(), [](auto& a, auto& b) { return a.id < b.id; });
    return out;
}

/// Up to the newest shown transition: what lies ahead of it was passed by the vCPU but is for later steps to show.
Result<core::History> KvmTarget::history() {
    core::History h;
    h.lost = intake_.lost();
    Journal& journal = intake_.journal();
    std::uint64_t shown = 0;
    for (const auto& [index, slot] : intake_.slots()) shown = std::max(shown, slot.shown);
    if (runs() || gone_) shown = std::max(shown, journal.last());
    if (journal.first() && shown >= journal.first()) {
        h.first = journal.first();
        h.last = shown;
    }
    return h;
}

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
    const auto found = intake_.find(vcpu);
    if (found == intake_.slots().end()) return core::fail(fmt::format("The guest has no vCPU {}.", vcpu));
    const Slot& slot = found->second;
    if (!slot.held || gone_) return core::fail(fmt::format("vCPU {} is not held: its memory may change while it is looked at.", vcpu), "Interrupt it first.");
    HeldVcpu v = slot.seen;
    v.level = slot.assembler.level().value_or(1);
    if (!v.address) return core::fail(fmt::format("No VM-entry of vCPU {} was seen yet.", vcpu), "Step it first.");
    return v;
}

Result<core::TargetCapabilities> KvmTarget::capabilities() {
    if (const auto ok = drain(milliseconds(0)); !ok) return tl::unexpected(ok.error());
    core::TargetCapabilities c;
    const auto msrs = device_->capability_msrs();
    if (!msrs) return tl::unexpected(msrs.error());
    c.l0.msrs = *msrs;
    read_cpuid_widths(c.l0);
    const auto seen = std::find_if(intake_.slots().begin(), intake_.slots().end(), [](const auto& s) { return s.second.seen.address != 0; });
    if (seen == intake_.slots().end()) return core::fail("No VM-entry of any vCPU was seen yet.", "Step first.");
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

Result<void> KvmTarget::write_memory(std::uint32_t vcpu, core::Space space, std::uint64_t address, const std::vector<std::byte>& bytes) {
    if (!writer_) return Target::write_memory(vcpu, space, address, bytes);
    const auto v = held(vcpu);
    if (!v) return tl::unexpected(v.error());
    const auto in = inspector();
    if (!in) return tl::unexpected(in.error());
    return writer_->memory(vcpu, intake_.find(vcpu)->second.shown, **in, *v, space, address, bytes);
}

Result<void> KvmTarget::write_field(std::uint32_t vcpu, core::WrittenVmcs which, vmx::Field field, std::uint64_t value) {
    if (!writer_) return Target::write_field(vcpu, which, field, value);
    const auto v = held(vcpu);
    if (!v) return tl::unexpected(v.error());
    const auto& [index, slot] = *intake_.find(vcpu);
    return writer_->field(vcpu, index, slot.shown, v->level, which, field, value);
}

Result<void> KvmTarget::detach() {
    writer_.reset();
    device_.reset();
    intake_.ask_no_more();
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
