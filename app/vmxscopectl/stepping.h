// Stepping key by key: forth, back, and to any moment of what was seen.
#pragma once

#include <string>

#include "app/vmxscopectl/seen.h"
#include "app/vmxscopectl/step_output.h"
#include "app/vmxscopectl/stepper.h"
#include "app/vmxscopectl/terminal.h"

namespace vmxscope::app {

class Stepping {
  public:
    Stepping(Stepper& stepper, Seen& seen, StepOutput output, std::optional<std::uint32_t> vcpu)
        : stepper_(stepper), seen_(seen), output_(std::move(output)), vcpu_(vcpu) {}

    /// Until the user leaves; gives the exit status.
    int run();

  private:
    /// What a key came to: go on, leave, or an error that ends it.
    enum class Next : std::uint8_t { Key, Leave };
    core::Result<Next> key(char key);
    core::Result<Next> forth(std::optional<core::StepKind> kind);
    core::Result<Next> live(std::optional<core::StepKind> kind);
    core::Result<Next> back(core::StepKind kind);
    core::Result<Next> ask_where();
    core::Result<Next> ask_query(core::Way way);
    core::Result<Next> look_at(std::uint64_t seq);
    core::Result<Next> fields();
    bool recorded() const { return is_recording(stepper_.target()); }

    Stepper& stepper_;
    Seen& seen_;
    StepOutput output_;
    std::optional<std::uint32_t> vcpu_;
    RawTerminal terminal_;
    std::uint64_t here_ = 0;                            // what is looked at; 0 = no transition yet
    core::StepKind kind_ = core::StepKind::Transition;  // of the last step
    std::string query_;                                 // the last
};

}  // namespace vmxscope::app
