// How long things take: the times between the crossings of each vCPU, from their TSCs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "core/trace/digest.h"

namespace vmxscope::core::query {

/// Of one transition, in TSC cycles; empty where it does not apply, or where records are missing in between.
struct Durations {
    std::optional<std::uint64_t> time;        // since the first transition
    std::optional<std::uint64_t> since_exit;  // since the newest hardware exit of this vCPU; not at hardware exits
    std::optional<std::uint64_t> in_guest;    // at a hardware exit: since the hardware entry before it
    std::optional<std::uint64_t> time_in_l1;  // the same, at an l1-exit
    std::optional<std::uint64_t> time_in_l2;  // the same, at an l2-exit
    std::optional<std::uint64_t> round_trip;  // at an l2-entry: since the l2-exit before it
};

/// Fed with a session's transitions in order. What lies before a gap is forgotten: numbers that are missing, records
/// lost, a TSC that goes back.
class Moments {
  public:
    Moments() = default;
    /// `start`: the TSC that `time` counts from.
    explicit Moments(std::uint64_t start) : start_(start) {}

    Durations take(const trace::Digest& d);
    /// Times that a gap made unknown, so far.
    std::uint64_t interrupted() const { return interrupted_; }

  private:
    struct Vcpu {
        std::uint64_t newest = 0;                                    // TSC
        std::optional<std::uint64_t> hardware_exit, entry, l2_exit;  // TSCs
    };
    Vcpu& of(std::uint32_t vcpu);
    void forget(Vcpu& v);

    std::optional<std::uint64_t> start_;
    std::map<std::uint32_t, Vcpu> vcpus_;
    Vcpu* newest_vcpu_ = nullptr;
    std::uint32_t newest_id_ = 0;
    std::uint64_t newest_seq_ = 0;
    std::uint64_t interrupted_ = 0;
};

}  // namespace vmxscope::core::query
