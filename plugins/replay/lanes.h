// A recording in non-stop mode: each vCPU goes through its own transitions, with a cursor of its own.
#pragma once

#include <optional>
#include <vector>

#include "core/timeline.h"

namespace vmxscope::replay {

class Lanes {
  public:
    /// From where each vCPU stands.
    explicit Lanes(const std::vector<core::Vcpu>& now);

    /// Those that stand and that an action names (the first that does counts). Never of a step by instructions.
    void resume(const std::vector<core::Action>& actions);
    void interrupt(std::optional<std::uint32_t> vcpu);  // empty: all that run
    /// The next that stops: an interrupted one, else the one whose stop came first in the recording. Empty: none runs.
    core::Result<std::optional<core::Stop>> next(const core::Timeline& line);
    std::vector<core::Vcpu> vcpus() const;

  private:
    struct Lane {
        core::Vcpu shown;
        std::optional<core::StepKind> step;
        std::optional<core::Stop> due;  // what it will come to
        bool runs() const { return shown.state == core::VcpuState::Running; }
    };
    static core::Result<core::Stop> found(const core::Timeline& line, const Lane& lane);
    std::vector<Lane> lanes_;
};

}  // namespace vmxscope::replay
