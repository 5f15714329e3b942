// Progress that is told only once the work has taken a while.
#pragma once

#include <chrono>
#include <string>

#include "app/vmxscopectl/command.h"
#include "app/vmxscopectl/progress.h"

namespace vmxscope::app {

class SlowProgress {
  public:
    explicit SlowProgress(std::string what) : what_(std::move(what)) {}
    /// False when a signal asked for the end.
    bool tell(double fraction) { return tell(what_, fraction); }
    /// Of work without a known end.
    bool tell(std::string_view what, double fraction = -1) {
        if (std::chrono::steady_clock::now() - begin_ < std::chrono::seconds(1)) return !interrupted();
        return tell_(what, fraction);
    }
    void clear() { line_.clear(); }

  private:
    std::string what_;
    ProgressLine line_;
    core::Progress tell_ = line_.callback();
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace vmxscope::app
