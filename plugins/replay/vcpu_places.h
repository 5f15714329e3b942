// Which vCPUs a recording has, and what each had come to at any moment of it.
#pragma once

#include <map>

#include "core/timeline.h"

namespace vmxscope::replay {

class VcpuPlaces {
  public:
    /// Looks through the whole recording once; fails if `progress` asks for it.
    static core::Result<VcpuPlaces> of(const core::Timeline& line, const core::Progress& progress);

    /// The vCPUs as they were at transition `seq`, in the order of their numbers; all of them held. Quick near the
    /// `seq` of the call before.
    core::Result<std::vector<core::Vcpu>> at(const core::Timeline& line, std::uint64_t seq);

  private:
    struct Place {
        std::uint64_t first = 0, newest = 0;  // seq; newest: at `seq_`, 0 = none yet
        int level = 1;                        // at `newest`
    };
    std::map<std::uint32_t, Place> vcpus_;
    std::uint64_t seq_ = 0;  // that all `newest` are of
};

}  // namespace vmxscope::replay
