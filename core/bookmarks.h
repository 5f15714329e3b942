// Notes on transitions of a trace, kept beside it in FILE.notes.json: the trace itself is never changed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "core/result.h"

namespace vmxscope::core {

class Bookmarks {
  public:
    static constexpr std::size_t kMost = 10'000, kLongestNote = 4096;  // bytes of UTF-8

    /// Of that trace; none when it has no such file. Fails for a file that is not one, or cannot be read.
    static Result<Bookmarks> of(const std::filesystem::path& trace);
    /// FILE.notes.json.
    static std::filesystem::path path_of(const std::filesystem::path& trace);

    const std::map<std::uint64_t, std::string>& all() const { return notes_; }  // by seq; a note may be empty
    /// Replaces an older note. Fails for what is too long, or too many.
    Result<void> set(std::uint64_t seq, std::string note);
    /// False: there was none.
    bool remove(std::uint64_t seq) { return notes_.erase(seq) > 0; }

    /// Whole or not at all: what was there before stays until the new file is on the disk. Without any bookmark there
    /// is no file.
    Result<void> save() const;
    const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
    std::map<std::uint64_t, std::string> notes_;
};

}  // namespace vmxscope::core
