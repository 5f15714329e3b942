#include "app/vmxscopectl/stepper.h"

#include <poll.h>
#include <unistd.h>

#include <fmt/format.h>

#include "app/vmxscopectl/command.h"
#include "app/vmxscopectl/progress.h"

namespace vmxscope::app {
namespace {

using std::chrono::steady_clock;

constexpr auto kSlice = std::chrono::milliseconds(100);  // how soon a signal or a key is noticed
constexpr auto kPatience = std::chrono::seconds(4);      // then it is said what is being waited for,
constexpr auto kSigns = std::chrono::seconds(2);         // this often: asking where the vCPUs are costs the target time

/// Takes one waiting key off the terminal.
bool key_pressed() {
    pollfd in{STDIN_FILENO, POLLIN, 0};
    char key = 0;
    return ::poll(&in, 1, 0) == 1 && ::read(STDIN_FILENO, &key, 1) == 1;
}

core::Error given_up() {
    return {"Interrupted.", ""};
}

}  // namespace

core::Result<Stepper> Stepper::attach(const core::Backends& backends, const std::string& uri) {
    ProgressLine progress;
    auto target = backends.attach(uri, progress.callback());
    if (!target) return tl::unexpected(target.error());
    progress.clear();
    Stepper stepper(std::move(*target));
    stepper.limit_ = std::chrono::seconds(60);
    const auto first = stepper.wait("the guest's vCPUs to stop");
    if (!first) return tl::unexpected(first.error());
    for (const std::string& note : stepper.target_->info().notes) remark("note: " + note);
    return stepper;
}

std::string Stepper::whereabouts() {
    const auto vcpus = target_->vcpus();
    if (!vcpus) return "";
    std::string text;
    for (const core::Vcpu& v : *vcpus)
        text += fmt::format("{}vCPU {} {}{}", text.empty() ? "" : ", ", v.id, name_of(v.state),
                            v.level ? fmt::format(" in L{}", *v.level) : "");
    return text;
}

core::Result<Stopped> Stepper::wait(std::string_view for_what) {
    const auto start = steady_clock::now();
    bool asked = false;
    auto last_sign = start;
    ProgressLine progress;
    while (!interrupted()) {
        auto stop = target_->wait(kSlice);
        if (!stop) return tl::unexpected(stop.error());
        if (*stop) {
            last_ = **stop;
            return Stopped{last_, asked};
        }
        const auto waited = steady_clock::now() - start;
        if (stop_on_key_ && !asked && key_pressed()) {
            if (const auto ok = target_->interrupt(); !ok) return tl::unexpected(ok.error());
            asked = true;
        }
        if (limit_.count() > 0 && waited > limit_)
            return core::fail(
                fmt::format("{} s passed and {} did not come ({}).", limit_.count(), for_what, whereabouts()),
                "Is L1 running a guest of its own? Wait longer with --timeout, without end with --timeout 0.");
        if (waited > kPatience && steady_clock::now() - last_sign > kSigns) {
            last_sign = steady_clock::now();
            const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(waited).count();
            progress.callback()(fmt::format("waiting for {}: {} s ({})", for_what, seconds, whereabouts()), -1);
        }
    }
    return tl::unexpected(given_up());
}

core::Result<Stopped> Stepper::run(std::optional<core::StepKind> kind) {
    std::vector<core::Action> actions;
    if (vcpu_) actions.push_back({vcpu_, kind});
    actions.push_back({std::nullopt, vcpu_ ? std::nullopt : kind});
    if (const auto ok = target_->resume(actions); !ok) return tl::unexpected(ok.error());
    auto stopped = wait(
        !kind ? "a key"
        : *kind == core::StepKind::Transition || *kind == core::StepKind::Instruction
            ? fmt::format("the next {}", name_of(*kind))
            : fmt::format("the next nested {}", *kind == core::StepKind::Nested ? "entry or exit" : name_of(*kind)));
    if (stopped && stopped->stop.why == core::Stop::Why::GuestGone)
        return core::fail(fmt::format("The guest has ended. {}", stopped->stop.text), "Start it again to go on.");
    return stopped;
}

core::Result<nested::Transition> Stepper::newest() {
    if (!target_->can(core::Ability::Transitions)) return target_->transition(0);  // says why there is none
    std::uint64_t seq = last_.seq;
    if (vcpu_) {
        const auto vcpus = target_->vcpus();
        if (!vcpus) return tl::unexpected(vcpus.error());
        seq = 0;
        for (const core::Vcpu& v : *vcpus)
            if (v.id == *vcpu_) seq = v.last_seq;
    }
    if (seq == 0) {
        const auto stopped = run(core::StepKind::Nested);
        if (!stopped) return tl::unexpected(stopped.error());
        if (stopped->stop.why == core::Stop::Why::End) return core::fail(stopped->stop.text);
        seq = stopped->stop.seq;
    }
    return target_->transition(seq);
}

}  // namespace vmxscope::app
