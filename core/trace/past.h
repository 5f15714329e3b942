// The past of a session in memory, within a bound: blocks, the oldest of which go when room is needed. What the agent
// keeps, what a flight recorder is, and what an interactive session is recorded into.
#pragma once

#include <deque>
#include <optional>
#include <span>

#include "core/trace/writer.h"

namespace vmxscope::core::trace {

class Past {
  public:
    explicit Past(std::size_t most_bytes, BlockLimits limits = {});
    ~Past();
    Past(Past&&) noexcept;
    Past& operator=(Past&&) noexcept;

    void add(const nested::Transition& t);
    std::uint64_t first() const;  // seq; 0 = nothing kept
    std::uint64_t last() const;
    std::size_t bytes() const;
    std::uint64_t dropped() const;  // transitions that had to go

    Result<nested::Transition> transition(std::uint64_t seq) const;
    /// seq of the newest transition at or before `tsc`; of the first when all are after it; 0 = nothing kept.
    std::uint64_t at_tsc(std::uint64_t tsc) const;
    /// Of the block that has the oldest kept transition from `seq` on, or of those that follow the last whole block;
    /// empty: none is kept. Valid until the next call.
    Result<std::span<const Digest>> digests_at(std::uint64_t seq) const;
    /// Which fields that block's transitions changed; empty where it is not known, as for those that follow the last
    /// block.
    std::optional<ChangedFields> changed_at(std::uint64_t seq) const;
    /// A whole block that has the oldest kept transition from `seq` on; it may begin before it. No bytes: none is kept.
    /// Ends the block under way if it is that one.
    Bytes block_from(std::uint64_t seq);
    /// Everything kept, into a trace file.
    Result<void> save(Writer& to);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace vmxscope::core::trace
