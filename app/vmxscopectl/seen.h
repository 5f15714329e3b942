// What can be gone through in time: a trace file, or what a guest's session has come to so far.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/history_reader.h"
#include "core/query/parse_error.h"
#include "core/session_log.h"
#include "core/timeline.h"

namespace vmxscope::app {

/// The file of "trace:FILE", or of a path that ends in .vxt; empty for any other target.
std::optional<std::string> trace_file_of(const std::string& uri);

class Seen {
  public:
    static core::Result<Seen> of_file(const std::string& path);
    /// Of a guest nothing yet: catch_up(). A recording is all there.
    static core::Result<Seen> of(core::Target& target);

    /// Takes in what the target has shown since the last call, as far as it still keeps it.
    core::Result<void> catch_up(core::Target& target);
    /// A guest's session is recorded from now on, too; `told` is shown what fails there, once.
    void record_into(core::SessionLog log, std::function<void(const core::Error&)> told);
    bool recorded() const { return log_ != nullptr; }
    /// Ends that recording; its file, if there is one.
    std::filesystem::path end_recording();
    const core::Timeline& line() const { return *line_; }

  private:
    Seen() = default;
    void log(const nested::Transition& t);

    std::unique_ptr<core::trace::Past> past_;  // none: of a file
    std::unique_ptr<core::Timeline> line_;
    std::unique_ptr<core::SessionLog> log_;
    std::function<void(const core::Error&)> told_;
    std::chrono::steady_clock::time_point flushed_;
    core::HistoryReader history_;
};

/// The transition that `where` names: "first", "last", "#1200" or "1200", "+1.5ms" (the newest by that time since the
/// first), else an expression: the first that it holds for.
core::Result<std::uint64_t> moment_of(const core::Timeline& line, const std::string& where);

/// The next transition that the expression holds for, with progress; an Error when there is none, or the user has
/// enough.
core::Result<std::uint64_t> found_from(const core::Timeline& line, std::uint64_t from, const core::query::Query& query,
                                       core::Way way);

}  // namespace vmxscope::app
