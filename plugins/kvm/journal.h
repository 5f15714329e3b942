// The transitions of a session: the newest as they are, and as many of the past as fit a bound, in blocks.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "core/target.h"
#include "core/trace/past.h"

namespace vmxscope::kvm {

class Journal {
  public:
    /// `most_bytes`: of the past.
    explicit Journal(std::size_t most_bytes);

    /// Its seq is one more than last(). `quick`: nobody will step to it; it is not kept as it is but only in a block.
    void add(nested::Transition t, bool quick = false);

    std::uint64_t first() const { return past_.first(); }  // 0 = none yet
    std::uint64_t last() const { return last_; }
    core::Result<nested::Transition> transition(std::uint64_t seq) const;
    core::trace::Bytes block_from(std::uint64_t seq) { return past_.block_from(seq); }

    /// Of this vCPU, the oldest after `seq` that a step ends at; among the newest, where all that was not shown is.
    const nested::Transition* next_match(std::optional<std::uint32_t> vcpu, std::uint64_t seq, core::StepKind step) const;
    /// seq of the newest of this vCPU; 0 = none.
    std::uint64_t newest_of(std::optional<std::uint32_t> vcpu) const;

  private:
    std::deque<nested::Transition> newest_;  // consecutive seq
    core::trace::Past past_;                 // all of them
    std::uint64_t last_ = 0;
    std::map<std::uint32_t, std::uint64_t> last_of_;  // seq of each vCPU's newest
};

}  // namespace vmxscope::kvm
