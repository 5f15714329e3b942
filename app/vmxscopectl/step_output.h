// What a step shows: the transition, the rule that a refused entry breaks, reports of findings.
#pragma once

#include <string>

#include "core/target.h"
#include "core/transition_text.h"

namespace vmxscope::app {

core::Style style();

class StepOutput {
  public:
    /// `reports`: a folder for a report of each finding; "" = none are written.
    StepOutput(bool json, std::string reports) : json_(json), reports_(std::move(reports)) {}

    /// Prints the transition. False when nobody reads it.
    core::Result<bool> show(core::Target& target, const nested::Transition& t);
    /// That of a stop, if it has one.
    core::Result<bool> show(core::Target& target, const core::Stop& stop);
    /// Says how many findings there were, if any.
    void conclude() const;

  private:
    core::Result<void> take_findings(const core::Target& target, const nested::Transition& t);

    bool json_;
    std::string reports_;
    std::size_t findings_ = 0;
};

}  // namespace vmxscope::app
