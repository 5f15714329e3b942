#include "plugins/replay/replay_backend.h"

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "core/timeline_stretch.h"
#include "plugins/replay/lanes.h"
#include "plugins/replay/vcpu_places.h"

namespace vmxscope::replay {
namespace {

using core::fail;
using core::Result;
using core::Stop;
using core::trace::Digest;
using core::trace::Trace;
using std::chrono::steady_clock;

constexpr std::string_view kEnd = "The recording ends here.", kBeginning = "The recording begins here.";

/// What no recording can tell.
tl::unexpected<core::Error> not_recorded(std::string_view what) {
    return fail(fmt::format("A recording has no {}: it is of the transitions alone.", what),
                "Attach to the guest itself, while it runs.");
}

class ReplayTarget final : public core::Target {
  public:
    ReplayTarget(Trace blocks, std::unique_ptr<core::Timeline> line, VcpuPlaces places,
                 const std::filesystem::path& file)
        : blocks_(std::move(blocks)), line_(std::move(line)), places_(std::move(places)), info_(line_->info().target) {
        info_.name = fmt::format("{}:{}", core::kTraceScheme, file.string());
        for (const std::string& gap : line_->gaps()) info_.notes.push_back(gap);
        if (info_.tsc_khz == 0) info_.tsc_khz = line_->info().tsc_khz;
        if (info_.host.empty()) info_.host = line_->info().host;
    }

    const core::TargetInfo& info() const override { return info_; }
    core::Abilities abilities() const override {
        using enum core::Ability;
        const core::Abilities all{Transitions, Back, NonStop};
        return line_->info().capabilities ? all.with(Capabilities) : all;
    }
    Result<std::vector<core::Vcpu>> vcpus() override;
    Result<void> resume(const std::vector<core::Action>& actions) override;
    Result<void> resume_back(std::optional<core::StepKind> step, std::optional<std::uint32_t> vcpu) override;
    Result<void> go_to(std::uint64_t seq) override;
    Result<std::optional<Stop>> wait(std::chrono::milliseconds limit) override;
    Result<void> interrupt() override;
    Result<void> set_non_stop(bool on) override;
    Result<void> interrupt_one(std::uint32_t vcpu) override;

    Result<core::History> history() override { return core::History{blocks_.first(), blocks_.last(), blocks_.lost()}; }
    Result<nested::Transition> transition(std::uint64_t seq) override { return line_->transition(seq); }
    Result<std::vector<std::byte>> past(std::uint64_t from) override;

    Result<void> record(const core::RecordSettings&) override {
        return fail("This is a recording already.", "Copy the file, or a part of it.");
    }
    Result<void> set_evidence(nested::EvidenceScope scope) override;
    Result<core::TargetCapabilities> capabilities() override;
    Result<std::vector<std::byte>> read_memory(std::uint32_t, core::Space, std::uint64_t, std::size_t) override {
        return not_recorded("memory");
    }
    Result<std::vector<std::byte>> msr_bitmap(std::uint32_t, HardwareVmcs) override { return not_recorded("memory"); }
    Result<std::vector<vmx::WalkStep>> ept02_walk(std::uint32_t, std::uint64_t) override {
        return not_recorded("memory");
    }
    Result<void> detach() override { return {}; }

  private:
    /// On the way to the next transition that one of the actions ends at.
    struct Run {
        core::Way way = core::Way::Forth;
        std::vector<core::Action> actions;
        std::uint64_t at = 0;  // so far it has come
    };
    Result<void> begin(Run run);
    Result<bool> run_on();
    void stop(Stop::Why why, const Digest& at);
    void stop_at_an_end();

    Trace blocks_;  // the same file once more, for its blocks as they are
    std::unique_ptr<core::Timeline> line_;
    VcpuPlaces places_;
    core::TargetInfo info_;
    std::uint64_t cursor_ = 0;  // the transition that it stands at
    std::uint32_t cursor_vcpu_ = 0;
    std::optional<Run> run_;
    std::optional<Stop> stop_;  // to be told by wait()
    std::optional<Lanes> lanes_;  // in non-stop mode

    friend Result<std::unique_ptr<core::Target>> replay::replay(const std::filesystem::path&, const core::Progress&);
};

/// Whether the vCPU's step ends with a transition of this kind; the first action that names the vCPU counts.
bool ends_step(const std::vector<core::Action>& actions, const Digest& d) {
    const auto of = std::ranges::find_if(actions, [&](const core::Action& a) { return !a.vcpu || *a.vcpu == d.vcpu; });
    return of != actions.end() && of->step && matches(*of->step, d.kind);
}

Result<void> of_transitions(const std::vector<core::Action>& actions) {
    if (std::ranges::any_of(actions, [](const core::Action& a) { return a.step == core::StepKind::Instruction; }))
        return fail("A recording has no single instructions: it is of the transitions alone.");
    return {};
}

void ReplayTarget::stop(Stop::Why why, const Digest& at) {
    run_.reset();
    cursor_ = at.seq;
    cursor_vcpu_ = at.vcpu;
    stop_ = Stop{why, at.vcpu, at.seq, {}};
}

Result<void> ReplayTarget::begin(Run run) {
    if (auto ok = of_transitions(run.actions); !ok) return ok;
    if (lanes_)
        return fail("In non-stop mode there is no way back: each vCPU is at a time of its own.", "Turn it off: set non-stop off.");
    if (run_ || stop_) return fail("The recording already runs.", "Wait for it to stop, or interrupt it.");
    run.at = cursor_;
    run_ = std::move(run);
    return {};
}

Result<void> ReplayTarget::resume(const std::vector<core::Action>& actions) {
    if (lanes_) {
        if (auto ok = of_transitions(actions); !ok) return ok;
        lanes_->resume(actions);
        return {};
    }
    return begin({core::Way::Forth, actions, 0});
}

Result<void> ReplayTarget::resume_back(std::optional<core::StepKind> step, std::optional<std::uint32_t> vcpu) {
    return begin({core::Way::Back, {core::Action{vcpu, step}}, 0});
}

Result<void> ReplayTarget::go_to(std::uint64_t seq) {
    if (auto begun = begin({core::Way::Forth, {}, 0}); !begun) return begun;
    run_.reset();
    const auto near = line_->digests_at(seq);
    if (!near) return tl::unexpected(near.error());
    const auto at = std::ranges::find(*near, seq, &Digest::seq);
    if (at == near->end())
        return fail(fmt::format("Transition {} is not in this recording, which is of {} to {}.", seq, line_->first(), line_->last()));
    stop(Stop::Why::Transition, *at);
    return {};
}

Result<void> ReplayTarget::set_non_stop(bool on) {
    if (on == lanes_.has_value()) return {};
    if (run_ || stop_) return fail("The recording runs.", "Wait for it to stop, or interrupt it.");
    if (on) {
        const auto now = places_.at(*line_, cursor_);
        if (!now) return tl::unexpected(now.error());
        lanes_.emplace(*now);
        return {};
    }
    // All stand where the one stands that came farthest.
    for (const core::Vcpu& v : lanes_->vcpus())
        if (v.last_seq > cursor_) cursor_ = v.last_seq, cursor_vcpu_ = v.id;
    lanes_.reset();
    return {};
}

Result<void> ReplayTarget::interrupt_one(std::uint32_t vcpu) {
    if (!lanes_) return interrupt();
    lanes_->interrupt(vcpu);
    return {};
}

/// Goes through one stretch; true once it has stopped.
Result<bool> ReplayTarget::run_on() {
    const bool forth = run_->way == core::Way::Forth;
    const std::uint64_t at = run_->at;
    const auto stretch = !forth       ? core::stretch_before(*line_, at)
                         : at < ~0ull ? core::stretch_from(*line_, at + 1)
                                      : core::Stretch{};
    if (!stretch) {
        run_.reset();
        return tl::unexpected(stretch.error());
    }
    if (stretch->empty()) {
        stop_at_an_end();
        return true;
    }
    for (std::size_t n = 0; n < stretch->size(); ++n) {
        const Digest& d = (*stretch)[forth ? n : stretch->size() - 1 - n];
        if ((forth ? d.seq <= at : d.seq >= at) || !ends_step(run_->actions, d)) continue;
        stop(Stop::Why::Transition, d);
        return true;
    }
    run_->at = forth ? stretch->back().seq : stretch->front().seq;
    return false;
}

/// The outermost transition, by its own number and vCPU.
void ReplayTarget::stop_at_an_end() {
    const bool forth = run_->way == core::Way::Forth;
    const auto outermost = forth ? core::stretch_before(*line_, ~0ull) : core::stretch_from(*line_, line_->first());
    if (outermost && !outermost->empty())
        stop(Stop::Why::End, forth ? outermost->back() : outermost->front());
    else
        stop_ = Stop{Stop::Why::End, cursor_vcpu_, cursor_, {}};
    run_.reset();
    stop_->text = forth ? kEnd : kBeginning;
}

Result<std::optional<Stop>> ReplayTarget::wait(std::chrono::milliseconds limit) {
    const auto end = steady_clock::now() + limit;
    if (lanes_) {
        auto next = lanes_->next(*line_);
        if (next && !*next) std::this_thread::sleep_until(end);
        return next;
    }
    while (run_) {
        const auto stopped = run_on();
        if (!stopped) return tl::unexpected(stopped.error());
        if (steady_clock::now() >= end) break;
    }
    if (!stop_ && !run_) std::this_thread::sleep_until(end);  // nothing will come: as a guest that is held
    return std::exchange(stop_, std::nullopt);
}

Result<void> ReplayTarget::interrupt() {
    if (lanes_) {
        lanes_->interrupt({});
        return {};
    }
    if (stop_) return {};
    if (run_) {
        const auto here = core::stretch_from(*line_, run_->at);
        const auto at = here ? std::ranges::find(*here, run_->at, &Digest::seq) : core::Stretch::const_iterator{};
        if (here && at != here->end()) {
            stop(Stop::Why::Interrupted, *at);
            return {};
        }
    }
    run_.reset();
    stop_ = Stop{Stop::Why::Interrupted, cursor_vcpu_, cursor_, {}};
    return {};
}

Result<std::vector<core::Vcpu>> ReplayTarget::vcpus() {
    if (lanes_) return lanes_->vcpus();
    auto all = places_.at(*line_, cursor_);
    if (all && run_)
        for (core::Vcpu& v : *all) v.state = core::VcpuState::Running;
    return all;
}

Result<std::vector<std::byte>> ReplayTarget::past(std::uint64_t from) {
    const auto begin = blocks_.block_of(from);
    // A block that cannot be read is passed over: its transitions are missing, as gaps are.
    for (std::size_t i = begin ? *begin : blocks_.blocks(); i < blocks_.blocks(); ++i) {
        auto bytes = blocks_.block_bytes(i);
        if (bytes && core::trace::BlockReader::open(*bytes)) return bytes;
    }
    return std::vector<std::byte>{};
}

Result<void> ReplayTarget::set_evidence(nested::EvidenceScope scope) {
    if (scope == line_->info().evidence) return {};
    return fail(fmt::format("The evidence '{}' cannot be gathered afterwards: this was recorded with '{}'.",
                            nested::name_of(scope), nested::name_of(line_->info().evidence)),
                "Record the guest again, with --evidence.");
}

Result<core::TargetCapabilities> ReplayTarget::capabilities() {
    if (line_->info().capabilities) return *line_->info().capabilities;
    return fail("The recording does not say what its processor's VMX could do.",
                "Give a processor by its name (--cpu).");
}

class ReplayBackend final : public core::Backend {
  public:
    std::string_view scheme() const override { return core::kTraceScheme; }
    std::vector<core::TargetName> list() override { return {}; }  // files are where their users put them
    Result<std::unique_ptr<core::Target>> attach(std::string_view rest, const core::Progress& progress) override {
        if (rest.empty()) return fail("A trace file is missing.", "Name it: trace:boot.vxt.");
        return replay(rest, progress);
    }
};

}  // namespace

Result<std::unique_ptr<core::Target>> replay(const std::filesystem::path& file, const core::Progress& progress) {
    auto blocks = Trace::open(file);
    if (!blocks) return tl::unexpected(blocks.error());
    auto trace = Trace::open(file);
    if (!trace) return tl::unexpected(trace.error());
    auto line = core::timeline_of(std::move(*trace));
    const auto first = core::stretch_from(*line, 0);
    if (!first) return tl::unexpected(first.error());
    if (first->empty()) return fail(fmt::format("There are no transitions in {}.", file.string()));
    auto places = VcpuPlaces::of(*line, progress);
    if (!places) return tl::unexpected(places.error());
    auto target = std::make_unique<ReplayTarget>(std::move(*blocks), std::move(line), std::move(*places), file);
    target->stop(Stop::Why::Attached, first->front());
    return target;
}

std::unique_ptr<core::Backend> replay_backend() {
    return std::make_unique<ReplayBackend>();
}

}  // namespace vmxscope::replay
