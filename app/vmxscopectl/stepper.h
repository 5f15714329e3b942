// Stepping a target from the command line: attach, step, wait with signs of life, leave.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "core/target.h"

namespace vmxscope::app {

/// It goes back, and of what was not watched nothing can be gathered any more.
inline bool is_recording(const core::Target& target) {
    return target.can(core::Ability::Back) && !target.can(core::Ability::Evidence);
}

/// How one run ended.
struct Stopped {
    core::Stop stop;
    bool by_key = false;  // the user asked for the stop (interactive runs only)
};

class Stepper {
  public:
    /// Attaches with progress and waits for the first stop. Every vCPU is then held.
    static core::Result<Stepper> attach(const core::Backends& backends, const std::string& uri);

    /// Lets only `vcpu` step while the others run on; empty = all step.
    void choose_vcpu(std::optional<std::uint32_t> vcpu) { vcpu_ = vcpu; }
    /// Longest wait for one stop; zero = for ever.
    void limit_waits(std::chrono::seconds limit) { limit_ = limit; }
    /// A key pressed while the guest runs stops it (the terminal must give keys one by one).
    void stop_on_key(bool yes) { stop_on_key_ = yes; }

    core::Target& target() { return *target_; }
    const core::Stop& last_stop() const { return last_; }

    /// Runs to the next `kind`, or on (empty) until a key. Fails when the guest ended, the limit passed or a signal
    /// came.
    core::Result<Stopped> run(std::optional<core::StepKind> kind);
    /// The newest transition that the chosen vCPU (or any) came to; steps to the next nested one when there is none.
    core::Result<nested::Transition> newest();

  private:
    explicit Stepper(std::unique_ptr<core::Target> target) : target_(std::move(target)) {}
    core::Result<Stopped> wait(std::string_view for_what);
    std::string whereabouts();

    std::unique_ptr<core::Target> target_;
    core::Stop last_;
    std::optional<std::uint32_t> vcpu_;
    std::chrono::seconds limit_{0};
    bool stop_on_key_ = false;
};

}  // namespace vmxscope::app
