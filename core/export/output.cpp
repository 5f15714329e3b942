#include "core/export/output.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace vmxscope::core::exporting {
namespace {

constexpr std::size_t kCollect = 256u << 10;  // bytes before they are written

}  // namespace

int write_all(int file, std::string_view text) {
    while (!text.empty()) {
        const ssize_t n = ::write(file, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? errno : ENOSPC;
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    return 0;
}

Result<OutputFile> OutputFile::create(const std::filesystem::path& path, bool replace) {
    struct stat existing {};
    const bool special = ::stat(path.c_str(), &existing) == 0 && !S_ISREG(existing.st_mode);
    const int flags = O_WRONLY | O_CLOEXEC | (special ? 0 : O_CREAT | (replace ? O_TRUNC : O_EXCL));
    Fd file(::open(path.c_str(), flags, 0644));
    if (!file && errno == EEXIST)
        return fail(fmt::format("{} exists already.", path.string()), "Name another file, or replace it with --force.");
    if (!file) return fail(fmt::format("{} cannot be made: {}.", path.string(), std::strerror(errno)));
    return OutputFile(std::move(file), path, !special);
}

OutputFile::~OutputFile() {
    if (file_ && regular_) ::unlink(path_.c_str());
}

Result<void> OutputFile::flush() {
    if (failed_) return tl::unexpected(*failed_);
    const int error = write_all(file_.get(), pending_);
    pending_.clear();
    if (error == 0) return {};
    const bool removed = regular_ && ::unlink(path_.c_str()) == 0;
    file_.reset();
    failed_ = Error{fmt::format("{} cannot be written: {}.", path_.string(), std::strerror(error)),
                    removed    ? "What was written of it is removed."
                    : regular_ ? "What was written of it is left there."
                               : ""};
    return tl::unexpected(*failed_);
}

Result<void> OutputFile::write(std::string_view text) {
    if (failed_) return tl::unexpected(*failed_);
    pending_ += text;
    return pending_.size() < kCollect ? Result<void>{} : flush();
}

Result<void> OutputFile::finish() {
    if (auto flushed = flush(); !flushed) return flushed;
    file_.reset();
    return {};
}

}  // namespace vmxscope::core::exporting
