// Records a target that runs: takes what it keeps of its past, block by block, into a file, or into a ring that is saved when
// asked (a flight recorder). The command line and the window drive it; it waits for nothing itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <vector>

#include "core/query/evaluator.h"
#include "core/target.h"
#include "core/trace/past.h"
#include "core/trace/writer.h"

namespace vmxscope::core {

struct RecorderOptions {
    std::filesystem::path path = {};
    bool replace = false;               // an existing file
    std::size_t ring_bytes = 0;         // > 0: only the newest transitions that fit are kept, and saved in the end
    std::uint64_t transitions = 0;      // the end after so many; 0 = without end
    std::optional<query::Query> until = {};  // the end after the first that it holds for
    std::vector<vmx::Field> fields = {};     // of the images only these are kept; empty = all
};

/// The head of a trace of this target, begun now.
trace::TraceInfo trace_info_of(Target& target, nested::EvidenceScope evidence, std::vector<vmx::Field> fields);

class Recorder {
  public:
    /// Makes the file, and begins with the transitions after `after`.
    static Result<Recorder> create(RecorderOptions options, trace::TraceInfo info, std::uint64_t after);

    /// Takes in what has come since the last call. True: an end came, by `transitions` or `until`; what is after it is left
    /// out. After an Error (the disk is full, the target is lost) finish() keeps what there is.
    Result<bool> pull(Target& target);
    /// Writes the ring into the file as it is now; recording goes on. Nothing to do for a file.
    Result<void> save();
    /// Ends the file; of a ring, saves it.
    Result<void> finish();

    std::uint64_t transitions() const { return taken_; }  // that came, also those that a ring dropped since
    std::uint64_t kept() const;                           // that are in the file, or in the ring
    std::uint64_t bytes() const;                          // of them
    std::uint64_t last_seq() const { return last_; }
    /// What was lost, by vCPU: records for want of room in the kernel's ring.
    const std::map<std::uint32_t, std::uint64_t>& lost() const { return lost_; }
    /// Transitions that the target had dropped from its past before they were taken.
    std::uint64_t missed() const { return missed_; }
    /// That ended it, by `until`.
    std::optional<std::uint64_t> found() const { return found_; }

  private:
    Recorder(RecorderOptions options, trace::TraceInfo info, std::uint64_t after);
    Result<bool> take(const nested::Transition& t);
    Result<void> keep(const nested::Transition& t);

    RecorderOptions options_;
    trace::TraceInfo info_;
    std::optional<trace::Writer> file_;  // of a ring: none until save()
    std::optional<trace::Past> ring_;
    std::optional<query::Watch> until_;
    std::uint64_t last_ = 0, taken_ = 0, missed_ = 0;
    std::map<std::uint32_t, std::uint64_t> lost_;
    std::optional<std::uint64_t> found_;
    bool ended_ = false;
};

}  // namespace vmxscope::core
