// The head of a trace: where, when, of what and with which settings it was recorded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/target.h"

namespace vmxscope::core::trace {

struct TraceInfo {
    std::string program;  // "vmxscope 0.1.0"
    std::string host;     // of L0, where it is known
    TargetInfo target;
    std::int64_t started_ns = 0;  // since the epoch, UTC
    std::uint64_t tsc_khz = 0;    // of L0's processor; 0 = not known: times are then in cycles
    std::optional<TargetCapabilities> capabilities;
    nested::EvidenceScope evidence = nested::EvidenceScope::Pdptrs;
    std::vector<vmx::Field> fields;  // those recorded; empty = all
};

}  // namespace vmxscope::core::trace
