#include "core/break_target.h"

#include <algorithm>

#include <fmt/format.h>

namespace vmxscope::core {
namespace {

using nested::Kind;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr Kind kKinds[] = {Kind::L1Exit, Kind::NestedEntry, Kind::NestedEntryFailed, Kind::L2Entry,
                           Kind::L2Exit, Kind::NestedExit,  Kind::L1Entry};
/// A time is known once both its ends were seen: so far back it is looked for where the watches have a gap.
constexpr std::uint64_t kBeforeAGap = 256;

}  // namespace

Result<std::uint64_t> BreakTarget::add(const query::Query& condition) {
    if (!can(Ability::Transitions))
        return fail("This target stops at instructions: there are no transitions that a condition could hold for.");
    if (breaks_.size() == kMostBreaks)
        return fail(fmt::format("There are {} breaks already.", kMostBreaks), "Delete one: monitor delete N.");
    breaks_.push_back({{++numbers_, condition, 0}, query::Watch(condition, info().tsc_khz)});
    looked_ = 0;
    return numbers_;
}

Result<void> BreakTarget::remove(std::uint64_t number) {
    if (std::erase_if(breaks_, [&](const Watched& w) { return w.shown.number == number; }) == 0)
        return fail(fmt::format("There is no break {}.", number), "They are listed by: monitor breaks.");
    return {};
}

std::vector<BreakTarget::Break> BreakTarget::breaks() const {
    std::vector<Break> all;
    for (const Watched& w : breaks_) all.push_back(w.shown);
    return all;
}

Result<void> BreakTarget::insert_breakpoint(std::uint64_t address) {
    if (can(Ability::Breakpoints) || !can(Ability::Transitions)) return WrappedTarget::insert_breakpoint(address);
    if (addresses_.size() == kMostAddresses) return fail(fmt::format("There are {} breakpoints already.", kMostAddresses));
    addresses_.insert(address);
    return {};
}

Result<void> BreakTarget::remove_breakpoint(std::uint64_t address) {
    return addresses_.erase(address) ? Result<void>{} : WrappedTarget::remove_breakpoint(address);
}

StepKind BreakTarget::step() const {
    std::set<Kind> kinds;
    for (const Watched& w : breaks_) {
        if (w.shown.condition.uses_durations()) return StepKind::Transition;
        for (const Kind k : kKinds)
            if (may_hold(w.shown.condition, k)) kinds.insert(k);
    }
    if (!addresses_.empty()) return StepKind::Transition;
    for (const StepKind s : {StepKind::Entry, StepKind::Exit, StepKind::Nested})
        if (std::ranges::all_of(kinds, [&](Kind k) { return matches(s, k); })) return s;
    return StepKind::Transition;
}

Result<void> BreakTarget::resume(const std::vector<Action>& actions) {
    if (non_stop_) return resume_each(actions);
    run_.reset();
    const bool steps = std::ranges::any_of(actions, [](const Action& a) { return a.step.has_value(); });
    if (steps || !looks()) return WrappedTarget::resume(actions);
    return go(run_.emplace(Run{false, actions}));
}

Result<void> BreakTarget::resume_back(std::optional<StepKind> step, std::optional<std::uint32_t> vcpu) {
    run_.reset();
    if (step || !looks()) return WrappedTarget::resume_back(step, vcpu);
    return go(run_.emplace(Run{true, {Action{vcpu, {}}}}));
}

/// The vCPUs that are named, each for itself: one that looks for breaks is resumed again when it has not come to one.
Result<void> BreakTarget::resume_each(const std::vector<Action>& actions) {
    const auto vcpus = WrappedTarget::vcpus();
    if (!vcpus) return tl::unexpected(vcpus.error());
    std::vector<Action> each;
    for (const Vcpu& v : *vcpus) {
        const auto a = std::ranges::find_if(actions, [&](const Action& x) { return !x.vcpu || *x.vcpu == v.id; });
        if (a == actions.end() || v.state == VcpuState::Running || v.state == VcpuState::Gone) continue;
        each.push_back({v.id, a->step});
        runs_.erase(v.id);
        if (a->step || !looks()) continue;
        each.back().step = step();
        runs_[v.id] = {false, {each.back()}};
    }
    return WrappedTarget::resume(each);
}

Result<void> BreakTarget::go(Run& run) {
    for (Action& a : run.actions) a.step = step();
    return run.back ? WrappedTarget::resume_back(run.actions.front().step, run.actions.front().vcpu)
                    : WrappedTarget::resume(run.actions);
}

BreakTarget::Run* BreakTarget::run_of(std::uint32_t vcpu) {
    if (!non_stop_) return run_ ? &*run_ : nullptr;
    const auto at = runs_.find(vcpu);
    return at != runs_.end() ? &at->second : nullptr;
}

void BreakTarget::forget(std::uint32_t vcpu) {
    run_.reset();
    runs_.erase(vcpu);
}

Result<std::optional<Stop>> BreakTarget::wait(milliseconds limit) {
    const auto end = steady_clock::now() + limit;
    for (auto left = limit; left.count() >= 0;
         left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now())) {
        auto found = WrappedTarget::wait(left);
        if (!found) run_.reset();
        if (!found || !*found) return found;
        Stop& stop = **found;
        Run* run = run_of(stop.vcpu);
        if (run != nullptr && stop.why == Stop::Why::Transition) {
            auto held = hit(stop.seq);
            if (held && !*held && !run->interrupted) {
                auto on = go(*run);
                if (on) continue;
                held = tl::unexpected(on.error());
            }
            if (!held) return forget(stop.vcpu), tl::unexpected(held.error());
            if (*held)
                stop.text = std::move(**held);
            else
                stop.why = Stop::Why::Interrupted;
        }
        forget(stop.vcpu);
        return found;
    }
    return std::nullopt;
}

/// A stop that is none of a break's may be on its way already.
Result<void> BreakTarget::interrupt() {
    if (run_) run_->interrupted = true;
    for (auto& [id, run] : runs_) run.interrupted = true;
    return WrappedTarget::interrupt();
}

Result<void> BreakTarget::interrupt_one(std::uint32_t vcpu) {
    if (Run* run = run_of(vcpu)) run->interrupted = true;
    return WrappedTarget::interrupt_one(vcpu);
}

Result<void> BreakTarget::set_non_stop(bool on) {
    auto set = WrappedTarget::set_non_stop(on);
    if (!set) return set;
    non_stop_ = on;
    run_.reset();
    runs_.clear();
    return set;
}

/// Times need the transitions before this one, in order: where the watches have not seen them, they are shown them.
Result<void> BreakTarget::prepare(std::uint64_t seq) {
    const bool times = std::ranges::any_of(breaks_, [](const Watched& w) { return w.shown.condition.uses_durations(); });
    if (!times || looked_ + 1 == seq) return {};
    const auto kept = history();
    if (!kept) return tl::unexpected(kept.error());
    for (Watched& w : breaks_) w.watch = query::Watch(w.shown.condition, info().tsc_khz);
    for (std::uint64_t s = std::max(kept->first, seq - std::min(seq, kBeforeAGap)); s < seq; ++s)
        if (const auto t = transition(s))
            for (Watched& w : breaks_)
                if (w.shown.condition.uses_durations()) (void)w.watch.take(*t);
    return {};
}

/// Which breaks hold at a transition, for people; empty: none does.
Result<std::optional<std::string>> BreakTarget::hit(std::uint64_t seq) {
    if (auto ready = prepare(seq); !ready) return tl::unexpected(ready.error());
    const auto t = transition(seq);
    if (!t) return tl::unexpected(t.error());
    looked_ = seq;
    std::string text;
    const trace::Digest digest = trace::digest_of(*t);
    for (Watched& w : breaks_) {
        if (w.watch.take(*t, digest) != query::Truth::Yes) continue;
        ++w.shown.hits;
        text += fmt::format("{}Break {}: {}", text.empty() ? "" : "\n", w.shown.number, w.shown.condition.text());
    }
    const vmx::Value rip = t->regs[nested::RIP];
    if (rip.known() && addresses_.contains(rip.bits))
        text += fmt::format("{}Breakpoint at {:#x}: the rip of this transition.", text.empty() ? "" : "\n", rip.bits);
    return text.empty() ? std::nullopt : std::optional(std::move(text));
}

}  // namespace vmxscope::core
