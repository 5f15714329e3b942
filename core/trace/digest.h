// What a question about a transition most often asks for, in 32 bytes: the trace keeps one beside each transition,
// column by column, so that a question about millions need not decode them. Derived (verdict, findings) like everything
// of that kind: kDerivation says by which rules, and a reader with other rules makes it anew.
#pragma once

#include <cstdint>

#include "nested/flow.h"
#include "nested/pdptr.h"
#include "nested/transition.h"

namespace vmxscope::core::trace {

/// Raised whenever a rule changes what a Digest says of a Transition.
inline constexpr std::uint32_t kDerivation = 1;

struct Digest {
    std::uint64_t seq = 0, tsc = 0;
    std::uint32_t vcpu = 0;
    std::uint32_t reason = 0;       // all 32 bits of ExitInfo::reason
    std::uint32_t lost_before = 0;  // saturates
    nested::Kind kind = nested::Kind::L1Exit;
    bool has_reason = false;
    bool has_verdict = false;  // what follows, of pdptr_verdict()
    nested::Did did = nested::Did::Unknown, by_rule = nested::Did::Unknown, by_evidence = nested::Did::Unknown;
    nested::Is vmcs12 = nested::Is::Unknown, vmcs02 = nested::Is::Unknown;
    std::uint8_t used = 0;  // 0 no, 1 yes, 2 not known
    bool alarm = false, agree = true;
    std::uint8_t routing = 0;   // nested::Routing::Who
    std::uint8_t findings = 0;  // of flow_of(); saturates
    bool operator==(const Digest&) const = default;
};

Digest digest_of(const nested::Transition& t);

}  // namespace vmxscope::core::trace
