// Digests and transitions for the tests of the query language.
#pragma once

#include <random>
#include <vector>

#include "core/trace/digest.h"
#include "nested/transition.h"

namespace vmxscope::core::query::test {

/// A digest of one vCPU, as a trace has them one after the other.
inline trace::Digest digest(std::uint64_t seq, nested::Kind kind, std::uint64_t tsc, int reason = -1,
                            std::uint8_t routing = 0) {
    trace::Digest d;
    d.seq = seq;
    d.tsc = tsc;
    d.kind = kind;
    d.has_reason = reason >= 0;
    d.reason = reason >= 0 ? static_cast<std::uint32_t>(reason) : 0;
    d.routing = routing;
    return d;
}

/// Kinds in the order of a round trip, with times, reasons and verdicts that vary but are not wild.
std::vector<nested::Transition> session(std::size_t count, unsigned seed);

/// Expressions of every kind; all of them parse.
std::string random_condition(std::mt19937_64& random, int depth);

}  // namespace vmxscope::core::query::test
