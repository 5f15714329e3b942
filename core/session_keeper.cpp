#include "core/session_keeper.h"

#include <fmt/format.h>

#include "core/recorder.h"

namespace vmxscope::core {

using std::chrono::steady_clock;

namespace {

constexpr auto kPause = std::chrono::seconds(2);     // what may be missing of a session whose program is killed
constexpr auto kLastPull = std::chrono::seconds(2);  // the next client waits meanwhile

}  // namespace

void SessionKeeper::check(const Result<void>& done) {
    if (done || over_) return;
    over_ = true;
    tell_(done.error().text());
}

/// A block; false: there is no more.
bool SessionKeeper::take() {
    const auto piece = history_.next(target_);
    if (!piece) check(tl::unexpected(piece.error()));
    if (!piece || !*piece) return false;
    if (!log_) log_.emplace(folder_, trace_info_of(target_, nested::EvidenceScope::Pdptrs, {}));
    Result<void> added;
    const auto decoded = for_each(**piece, [&](const nested::Transition& t) {
        if (added) added = log_->add(t);
    });
    check(added);
    check(decoded);
    if (!over_ && told_ != log_->file()) {
        told_ = log_->file();
        tell_(fmt::format("this session is recorded into {}", told_.string()));
    }
    return !over_;
}

void SessionKeeper::go_on() {
    if (over_ || steady_clock::now() < due_ || take() || !log_) return;
    due_ = steady_clock::now() + kPause;
    check(log_->flush());
}

void SessionKeeper::finish() {
    const auto end = steady_clock::now() + kLastPull;
    while (!over_ && steady_clock::now() < end && take()) {
    }
    if (log_) check(log_->finish());
    if (const std::uint64_t without = history_.missed() + history_.unread(); without > 0 && !over_)
        tell_(fmt::format("{} transitions came too quickly to be recorded", without));
}

}  // namespace vmxscope::core
