// What a target has come to, piece by piece as it grows: for who shows it, keeps it or writes it down.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "core/target.h"

namespace vmxscope::core {

/// Of a block (core/trace/block.h), the transitions from `first` to `last`.
struct HistoryPiece {
    std::vector<std::byte> block;
    std::uint64_t first = 0, last = 0;
};

/// Calls `each` with its transitions, in order; the reference is valid during the call only.
Result<void> for_each(const HistoryPiece& piece, const std::function<void(const nested::Transition&)>& each);

class HistoryReader {
  public:
    /// The next that the target has shown and that was not read, at most a block; empty: there is none for now.
    Result<std::optional<HistoryPiece>> next(Target& target);
    /// What is up to there was had in another way.
    void pass_over(std::uint64_t seq);

    const History& history() const { return kept_; }                                      // as of the last next()
    std::uint64_t unread() const { return kept_.last > last_ ? kept_.last - last_ : 0; }  // of it
    std::uint64_t missed() const { return missed_; }  // the target kept them no more

  private:
    History kept_;
    std::uint64_t last_ = 0;  // all up to it was read, or missed
    std::uint64_t missed_ = 0;
};

}  // namespace vmxscope::core
