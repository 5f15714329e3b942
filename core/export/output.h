// The files that an export makes. What is not finished is taken away again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/fd.h"
#include "core/result.h"

namespace vmxscope::core::exporting {

/// One file, written from its beginning to its end.
class OutputFile {
  public:
    /// A regular file that exists is an Error unless `replace`; a pipe or a device is written to as it is.
    static Result<OutputFile> create(const std::filesystem::path& path, bool replace);
    OutputFile(OutputFile&&) noexcept = default;
    OutputFile& operator=(OutputFile&&) = delete;
    ~OutputFile();

    /// Collects, and writes now and then. After an Error (the disk is full) what was written is removed, which the
    /// Error tells, and every later call gives the same Error.
    Result<void> write(std::string_view text);
    Result<void> finish();

  private:
    OutputFile(Fd file, std::filesystem::path path, bool regular)
        : file_(std::move(file)), path_(std::move(path)), regular_(regular) {}
    Result<void> flush();

    Fd file_;
    std::filesystem::path path_;
    bool regular_ = true;
    std::string pending_;
    std::optional<Error> failed_;
};

/// All of `text` into the file; an errno, or 0.
int write_all(int file, std::string_view text);

}  // namespace vmxscope::core::exporting
