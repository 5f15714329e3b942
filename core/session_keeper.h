// Records the session of a client that does not do so itself, beside other work: a little at a time, and whatever
// becomes of the disk, the session goes on.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

#include "core/history_reader.h"
#include "core/session_log.h"

namespace vmxscope::core {

class SessionKeeper {
  public:
    /// `tell` is shown a line for each file that is begun, and for what goes wrong, once.
    SessionKeeper(std::filesystem::path folder, Target& target, std::function<void(std::string_view)> tell)
        : folder_(std::move(folder)), target_(target), tell_(std::move(tell)) {}

    /// To be called again and again. The first transition is taken at once; then, every two seconds, what came
    /// meanwhile, a block at each call.
    void go_on();
    /// The session is over; what is left is taken, as far as two seconds suffice.
    void finish();
    /// Where it is recorded; empty: it is not.
    std::filesystem::path file() const { return log_ && !over_ ? log_->file() : std::filesystem::path(); }

  private:
    bool take();
    void check(const Result<void>& done);

    std::filesystem::path folder_;
    Target& target_;
    std::function<void(std::string_view)> tell_;
    HistoryReader history_;
    std::optional<SessionLog> log_;  // from the first transition on: by then the target knows its processor
    std::filesystem::path told_;     // of
    std::chrono::steady_clock::time_point due_;
    bool over_ = false;
};

}  // namespace vmxscope::core
