// An interactive session, recorded as it goes: a trace file among those of the last sessions, within a bound.
#pragma once

#include <filesystem>
#include <memory>

#include "core/fd.h"
#include "core/trace/writer.h"

namespace vmxscope::core {

/// Where the files are: $XDG_STATE_HOME/vmxscope/sessions, by default of ~/.local/state (XDG Base Directory Specification).
std::filesystem::path sessions_folder();

class SessionLog {
  public:
    static constexpr std::uint64_t kMostBytes = 64u << 20;  // of a file; a longer session goes on in another
    static constexpr std::size_t kMostFiles = 10;           // the newest stay, and those that are being written

    /// Writes nothing yet: a session in which nothing is seen leaves no file. A folder that is not there is made, for
    /// its owner alone; root's must be one that nobody else can change (core/trusted_folder.h).
    SessionLog(std::filesystem::path folder, trace::TraceInfo info) : folder_(std::move(folder)), info_(std::move(info)) {}
    SessionLog(SessionLog&&) noexcept = default;
    SessionLog& operator=(SessionLog&&) = delete;
    ~SessionLog() { (void)finish(); }

    /// An error is told once. Nothing is recorded after it; what was stays.
    Result<void> add(const nested::Transition& t);
    /// All that was added is in the file, whatever becomes of this program.
    Result<void> flush();
    /// The file is whole. What is added later begins another.
    Result<void> finish();

    /// The newest; empty: there is none.
    const std::filesystem::path& file() const { return file_; }

  private:
    Result<void> begin();
    Result<void> checked(Result<void> done);
    void remove_oldest() const;

    std::filesystem::path folder_, file_;
    trace::TraceInfo info_;
    std::unique_ptr<trace::Writer> writer_;  // of file_, while it is not whole
    Fd lock_;           // on file_: who makes room leaves it alone
    bool new_ = false;  // something was added since flush()
    bool broken_ = false;
};

}  // namespace vmxscope::core
