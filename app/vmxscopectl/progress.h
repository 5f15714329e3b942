// Slow work told on stderr: one line updated in place on a terminal, else a line for each step.
#pragma once

#include <chrono>
#include <string>

#include "core/target.h"

namespace vmxscope::app {

class ProgressLine {
  public:
    ProgressLine();
    ~ProgressLine();
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    /// Gives up the work when a signal asked for the end.
    core::Progress callback();
    /// Takes the line in place away, before something else is printed.
    void clear();

  private:
    void show(std::string_view step, double fraction);

    bool terminal_;
    bool shown_ = false;
    std::string step_;
    std::chrono::steady_clock::time_point last_{};
};

}  // namespace vmxscope::app
