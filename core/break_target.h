// A target that runs on only as far as it is told: to the first transition that a break holds for. A break is a condition
// of the query language, or an address, where the target knows no breakpoints of its own. It steps, looks, and steps on;
// by the widest step that cannot miss.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "core/query/evaluator.h"
#include "core/wrapped_target.h"

namespace vmxscope::core {

class BreakTarget final : public WrappedTarget {
  public:
    static constexpr std::size_t kMostBreaks = 64, kMostAddresses = 4096;

    struct Break {
        std::uint64_t number = 0;
        query::Query condition;
        std::uint64_t hits = 0;
    };

    explicit BreakTarget(std::unique_ptr<Target> inner) : WrappedTarget(std::move(inner)) {}

    /// From the next resume on. Its number; fails where stops are no transitions, or there are too many breaks.
    Result<std::uint64_t> add(const query::Query& condition);
    Result<void> remove(std::uint64_t number);
    std::vector<Break> breaks() const;
    /// Addresses at which only a transition's rip is looked at, as the target itself cannot stop at an instruction.
    const std::set<std::uint64_t>& addresses() const { return addresses_; }
    /// What a run that looks for the breaks stops at.
    StepKind step() const;

    // Runs without a step end at a break, with Stop::Why::Transition and its text; steps are as they are.
    Result<void> resume(const std::vector<Action>& actions) override;
    Result<void> resume_back(std::optional<StepKind> step, std::optional<std::uint32_t> vcpu) override;
    Result<std::optional<Stop>> wait(std::chrono::milliseconds limit) override;
    Result<void> interrupt() override;
    Result<void> set_non_stop(bool on) override;
    Result<void> interrupt_one(std::uint32_t vcpu) override;
    Result<void> insert_breakpoint(std::uint64_t address) override;
    Result<void> remove_breakpoint(std::uint64_t address) override;

  private:
    struct Watched {
        Break shown;
        query::Watch watch;
    };
    /// A run that looks for breaks: what was asked for, with a step in each action.
    struct Run {
        bool back = false;
        std::vector<Action> actions;
        bool interrupted = false;
    };
    bool looks() const { return !breaks_.empty() || !addresses_.empty(); }
    Result<void> resume_each(const std::vector<Action>& actions);
    Result<void> go(Run& run);
    Run* run_of(std::uint32_t vcpu);
    void forget(std::uint32_t vcpu);
    Result<std::optional<std::string>> hit(std::uint64_t seq);
    Result<void> prepare(std::uint64_t seq);

    std::vector<Watched> breaks_;
    std::set<std::uint64_t> addresses_;
    std::uint64_t numbers_ = 0;  // given so far
    std::uint64_t looked_ = 0;   // the transition that the watches saw last
    bool non_stop_ = false;
    std::optional<Run> run_;             // all-stop
    std::map<std::uint32_t, Run> runs_;  // non-stop, by vCPU
};

}  // namespace vmxscope::core
