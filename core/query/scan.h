// A query over a trace file: block by block, the digests first; only blocks in which they cannot decide are decoded.
#pragma once

#include <functional>

#include "core/query/evaluator.h"
#include "core/result.h"
#include "core/trace/trace.h"

namespace vmxscope::core::query {

struct ScanOptions {
    std::uint64_t first_seq = 0, last_seq = ~0ull;
    std::uint64_t first_tsc = 0, last_tsc = ~0ull;
    bool whole = false;       // rows come with their transitions
    bool durations = false;   // rows come with their durations, also when the query needs none
    bool everything = false;  // rows that do not match come, too; with their transitions only if the query needed them
    /// Told how far it is (0…1) after every block; false asks for the end.
    std::function<bool(double)> progress = {};
};

struct Scanned {
    std::uint64_t rows = 0;  // within the limits
    std::uint64_t matches = 0;
    std::uint64_t unknown = 0;        // for which a value that decides is not known
    std::vector<std::string> damage;  // what could not be read, a sentence each
    bool complete = true;             // false: somebody asked for the end
};

/// `each` is called in order; the row is valid during the call only; false ends the scan. Damaged blocks are passed
/// over.
Scanned scan(const trace::Trace& trace, const Query& where, const ScanOptions& options,
             const std::function<bool(const Row&, Truth)>& each);

}  // namespace vmxscope::core::query
