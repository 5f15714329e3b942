// Walking a lab's guest from nested transition to nested transition, through the agent and the wire.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "core/rsp/remote_target.h"
#include "core/transition_text.h"
#include "nested/pdptr.h"
#include "tests/lab/lab_fixture.h"

namespace vmxscope::e2e {

struct Judged {
    nested::Transition transition;
    nested::Verdict verdict;
};

inline std::ostream& operator<<(std::ostream& out, const Judged& j) {
    return out << core::headline(j.transition) << "\n" << core::pdptr_text(j.transition);
}

/// On a slow machine the client before may still be leaving: until it has gone, the agent lets others only look on.
template <typename Attach>
core::Result<std::unique_ptr<core::Target>> attach_to_drive(const Attach& attach) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(3);
    for (;;) {
        core::Result<std::unique_ptr<core::Target>> target = attach();
        const bool drives = target && (*target)->can(core::Ability::Evidence);
        if (drives || std::chrono::steady_clock::now() > end) return target;
        target = {};
        std::this_thread::sleep_for(std::chrono::seconds(1));
    }
}

inline core::Result<std::unique_ptr<core::Target>> attach_to_drive(const lab::Lab& lab) {
    return attach_to_drive([&] { return core::rsp::attach_remote(lab.agent_endpoint(), "the lab", lab::told_on_stderr()); });
}

/// One attachment to the lab's agent. What fails ends the test program: nothing after it would mean anything.
class Walk {
  public:
    explicit Walk(const lab::Lab& lab) {
        auto target = attach_to_drive(lab);
        target_ = require(std::move(target));
        next_stop();  // attached
    }

    core::Target& target() { return *target_; }

    /// Lets the vCPUs go as told and returns where the first of them stopped.
    core::Stop go(const std::vector<core::Action>& actions) {
        require(target_->resume(actions));
        return next_stop();
    }

    nested::Transition at(std::uint64_t seq) { return require(target_->transition(seq)); }

    /// `count` nested entries and exits of every vCPU, in the order of the stops.
    std::vector<Judged> nested(std::size_t count) {
        std::vector<Judged> out;
        while (out.size() < count) out.push_back(judged(at(go({{std::nullopt, core::StepKind::Nested}}).seq)));
        return out;
    }

    static Judged judged(nested::Transition t) {
        auto verdict = nested::pdptr_verdict(t);
        EXPECT_TRUE(verdict) << core::headline(t);
        return {std::move(t), verdict.value_or(nested::Verdict{})};
    }

    core::Stop next_stop() {
        const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(8);
        while (std::chrono::steady_clock::now() < end)
            if (const auto stop = require(target_->wait(std::chrono::milliseconds(200)))) return *stop;
        std::fprintf(stderr, "The guest did not stop in 8 minutes.\n");
        std::exit(1);
    }

  private:
    template <typename T>
    static T require(core::Result<T> result) {
        if (!result) {
            std::fprintf(stderr, "%s\n", result.error().text().c_str());
            std::exit(1);
        }
        if constexpr (!std::is_void_v<T>) return std::move(*result);
    }

    std::unique_ptr<core::Target> target_;
};

}  // namespace vmxscope::e2e
