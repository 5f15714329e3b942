// A plugin with one target, "example:walk": no guest, but the transitions of one whose L1 loads its L2's PDPTRs. Two vCPUs
// walk round the same circle; what they find there follows from the transition's number, so every walk is the same.
#include <algorithm>
#include <deque>

#include "core/plugin.h"

namespace {

using namespace vmxscope;
using core::Action;
using core::Result;
using core::Stop;
using nested::Kind;

constexpr Kind kCircle[] = {Kind::L1Exit, Kind::NestedEntry, Kind::L2Entry, Kind::L2Exit, Kind::NestedExit, Kind::L1Entry};
constexpr std::uint32_t kVcpus = 2;
constexpr std::uint64_t kTscKhz = 1'000'000, kTicks = 5'000;  // between two transitions
constexpr std::uint64_t kKept = 100'000;                      // the oldest are forgotten

/// Transition `seq` is the `seq / kVcpus`th of its vCPU.
nested::Transition transition_at(std::uint64_t seq) {
    nested::Transition t;
    t.seq = seq;
    t.tsc = seq * kTicks;
    t.vcpu = static_cast<std::uint32_t>((seq - 1) % kVcpus);
    t.kind = kCircle[(seq - 1) / kVcpus % std::size(kCircle)];
    if (t.kind == Kind::L1Exit) t.exit.reason = vmx::Value::of(24);                               // VMRESUME
    if (t.kind == Kind::L2Exit || t.kind == Kind::NestedExit) t.exit.reason = vmx::Value::of(10);  // CPUID
    t.regs[nested::RIP] = vmx::Value::of(0x40'1000 + 2 * (seq % 512));
    t.context.enable_ept = t.context.nested_ept = t.context.pae = true;
    t.vmcs12_after[vmx::Field::GUEST_RIP] = t.regs[nested::RIP];
    t.vmcs12_after[vmx::Field::GUEST_CR3] = vmx::Value::of(0x1000 * (1 + seq / 64));
    t.vmcs02_after[vmx::Field::GUEST_CR3] = t.vmcs12_after[vmx::Field::GUEST_CR3];
    t.vmcs12_before = t.vmcs12_after;
    t.vmcs02_before = t.vmcs02_after;
    t.vmcs02_as_of = seq;
    t.evidence_scope = nested::EvidenceScope::None;
    return t;
}

class Walk final : public core::Target {
  public:
    Walk() {
        info_.name = "example:walk";
        info_.kernel = info_.cpu = info_.agent = "none";
        info_.tsc_khz = kTscKhz;
        info_.notes = {"Nothing here was seen: this walk is made up."};
        stops_.push_back({Stop::Why::Attached, 0, 0, {}});
    }

    const core::TargetInfo& info() const override { return info_; }
    core::Abilities abilities() const override { return {core::Ability::Transitions}; }

    Result<std::vector<core::Vcpu>> vcpus() override {
        if (left_) return left();
        std::vector<core::Vcpu> all;
        for (std::uint32_t id = 0; id < kVcpus; ++id) {
            core::Vcpu v;
            v.id = id;
            v.state = runs_on_ ? core::VcpuState::Running : core::VcpuState::Held;
            // The newest of this vCPU's among the first last_.
            v.last_seq = last_ > id ? last_ - (last_ - 1 - id) % kVcpus : 0;
            all.push_back(v);
        }
        return all;
    }

    Result<void> resume(const std::vector<Action>& actions) override {
        if (left_) return left();
        if (actions.empty()) return core::fail("No vCPU was told to go.");
        if (runs_on_ || !stops_.empty()) return core::fail("The walk goes on already.", "Interrupt it first.");
        for (const Action& a : actions) {
            if (a.vcpu && *a.vcpu >= kVcpus) return core::fail("The walk has two vCPUs: 0 and 1.");
            if (a.step == core::StepKind::Instruction) return core::fail("The walk has transitions, and no instructions.");
        }
        const bool stops = std::any_of(actions.begin(), actions.end(), [](const Action& a) { return a.step.has_value(); });
        if (!stops) return runs_on_ = true, Result<void>{};
        while (!is_stop(transition_at(++last_), actions)) {
        }
        stops_.push_back({Stop::Why::Transition, transition_at(last_).vcpu, last_, {}});
        return {};
    }

    Result<std::optional<Stop>> wait(std::chrono::milliseconds) override {
        if (left_) return left();
        if (stops_.empty()) return std::nullopt;
        Stop stop = std::move(stops_.front());
        stops_.pop_front();
        return std::optional(std::move(stop));
    }

    Result<void> interrupt() override {
        if (left_) return left();
        if (std::exchange(runs_on_, false)) stops_.push_back({Stop::Why::Interrupted, 0, vcpu0_last(), {}});
        return {};
    }

    Result<core::History> history() override {
        if (left_) return left();
        return core::History{last_ == 0 ? 0 : last_ - std::min(last_, kKept) + 1, last_, 0};
    }

    Result<nested::Transition> transition(std::uint64_t seq) override {
        const auto kept = history();
        if (!kept) return tl::unexpected(kept.error());
        if (seq == 0 || seq < kept->first || seq > kept->last) return core::fail("The walk has not come there, or has forgotten it.");
        return transition_at(seq);
    }

    Result<void> detach() override {
        left_ = true;
        return {};
    }

  private:
    static tl::unexpected<core::Error> left() { return core::fail("The walk was left.", "Attach again."); }
    std::uint64_t vcpu0_last() const { return last_ == 0 ? 0 : last_ - (last_ - 1) % kVcpus; }

    /// All go on together; one that no action names is held in a real guest, and merely passed by here.
    static bool is_stop(const nested::Transition& t, const std::vector<Action>& actions) {
        const Action* own = nullptr;
        for (const Action& a : actions)
            if (a.vcpu == t.vcpu || (!a.vcpu && own == nullptr)) own = &a;
        return own != nullptr && own->step && core::matches(*own->step, t.kind);
    }

    core::TargetInfo info_;
    std::deque<Stop> stops_;
    std::uint64_t last_ = 0;
    bool runs_on_ = false, left_ = false;
};

class Walks final : public core::Backend {
  public:
    std::string_view scheme() const override { return "example"; }
    std::vector<core::TargetName> list() override { return {{"example:walk", "a walk round a circle of transitions", true, {}}}; }
    Result<std::unique_ptr<core::Target>> attach(std::string_view rest, const core::Progress&) override {
        if (rest != "walk") return core::fail("There is only example:walk.");
        return std::make_unique<Walk>();
    }
};

}  // namespace

VMXSCOPE_PLUGIN = {
    .name = "example",
    .version = "1.0",
    .schemes = "example",
    .abilities = {core::Ability::Transitions},
    .make_backends = [](std::vector<std::unique_ptr<core::Backend>>& all) { all.push_back(std::make_unique<Walks>()); },
};
