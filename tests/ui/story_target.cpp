#include "tests/ui/story_target.h"

#include <algorithm>
#include <thread>

namespace vmxscope::ui::test {

namespace {

using core::Action;
using core::Result;
using core::Stop;

class StoryTarget : public core::Target {
  public:
    explicit StoryTarget(std::shared_ptr<Strings> strings) : strings_(std::move(strings)) {
        info_ = {"story:", "6.1.0-56-cloud-amd64", "Intel Core i7 (Skylake-X), emulated",
                 217,      "vmxscope-agent 0.1",   {}};
        next_stop_ = Stop{Stop::Why::Attached, 0, 0, {}};
    }
    ~StoryTarget() override { ++strings_->detaches; }

    const core::TargetInfo& info() const override { return info_; }

    Result<std::vector<core::Vcpu>> vcpus() override {
        std::vector<core::Vcpu> all;
        for (int i = 0; i < strings_->vcpus; ++i) {
            core::Vcpu v{
                static_cast<std::uint32_t>(i), 300U + static_cast<std::uint32_t>(i), core::VcpuState::Held, {}, 0};
            if (i == 0) {
                v.last_seq = at_;
                if (at_ > 0) v.level = strings_->story[at_ - 1]->kind == nested::Kind::NestedEntry ? 2 : 1;
            }
            all.push_back(v);
        }
        return all;
    }

    Result<void> resume(const std::vector<Action>& actions) override {
        strings_->note(actions);
        const auto step = actions.front().step;
        const std::size_t end = strings_->story.size();
        std::size_t to = at_;
        while (to < end && !(step && to > at_ && core::matches(*step, strings_->story[to - 1]->kind))) ++to;
        const bool found = step && to > at_ && core::matches(*step, strings_->story[to - 1]->kind);
        at_ = to;
        if (found)
            next_stop_ = Stop{Stop::Why::Transition, 0, at_, {}};
        else if (!strings_->endless)
            next_stop_ = Stop{Stop::Why::GuestGone, 0, at_, "The guest ended."};
        return {};
    }

    Result<std::optional<Stop>> wait(std::chrono::milliseconds limit) override {
        if (strings_->lost) return core::fail("The connection to story: broke.", "Is the agent still running?");
        if (next_stop_) {
            return std::exchange(next_stop_, std::nullopt);
        }
        std::this_thread::sleep_for(limit);
        return std::nullopt;
    }

    Result<void> interrupt() override {
        ++strings_->interrupts;
        next_stop_ = Stop{Stop::Why::Interrupted, 0, at_, {}};
        return {};
    }

    Result<core::History> history() override { return at_ == 0 ? core::History{} : core::History{1, at_, 0}; }

    Result<nested::Transition> transition(std::uint64_t seq) override {
        if (seq == 0 || seq > at_) return core::fail("There is no such transition.");
        return *strings_->story[seq - 1];
    }

    Result<void> detach() override { return {}; }

  private:
    std::shared_ptr<Strings> strings_;
    core::TargetInfo info_;
    std::size_t at_ = 0;  // seq of the newest transition
    std::optional<Stop> next_stop_;
};

class StoryBackend : public core::Backend {
  public:
    explicit StoryBackend(std::shared_ptr<Strings> strings) : strings_(std::move(strings)) {}
    std::string_view scheme() const override { return "story"; }
    std::vector<core::TargetName> list() override {
        return {{"story:", "a nested guest that was written by hand", true, {}},
                {"story:locked", "another one", false, "Only root may attach to it."}};
    }
    Result<std::unique_ptr<core::Target>> attach(std::string_view, const core::Progress& progress) override {
        ++strings_->attaches;
        progress("opening the book", 0.2);
        while (strings_->attach_hangs) {
            if (!progress("waiting for the first page", -1)) return core::fail("Given up.");
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        if (strings_->attach_fails) return core::fail("There is no such story.", "Write one.");
        return std::make_unique<StoryTarget>(strings_);
    }

  private:
    std::shared_ptr<Strings> strings_;
};

}  // namespace

std::vector<Action> Strings::last_actions() {
    const std::scoped_lock lock(mutex_);
    return actions_;
}

void Strings::note(std::vector<Action> actions) {
    const std::scoped_lock lock(mutex_);
    actions_ = std::move(actions);
}

std::unique_ptr<core::Backend> make_story_backend(std::shared_ptr<Strings> strings) {
    return std::make_unique<StoryBackend>(std::move(strings));
}

}  // namespace vmxscope::ui::test
