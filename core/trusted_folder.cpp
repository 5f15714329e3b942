#include "core/trusted_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "core/fd.h"

namespace vmxscope::core {

namespace fs = std::filesystem;

namespace {

Result<void> trusted(const Fd& folder, const fs::path& path, uid_t owner, bool on_the_way) {
    struct stat status {};
    if (::fstat(folder.get(), &status) != 0)
        return fail(fmt::format("{} cannot be looked at: {}.", path.string(), std::strerror(errno)));
    const bool owned = status.st_uid == owner || status.st_uid == 0;
    const bool shared = (status.st_mode & (S_IWGRP | S_IWOTH)) != 0 && !(on_the_way && (status.st_mode & S_ISVTX));
    if (owned && !shared) return {};
    return fail(fmt::format("Others than {} may change {}.", owner == 0 ? "root" : "its owner", path.string()),
                "Name a folder that nobody else can change.");
}

}  // namespace

/// From the root down, each looked at as it is opened: none can be replaced once it was, as nobody may write the one
/// before.
Result<void> make_trusted_folder(const fs::path& folder, uid_t owner) {
    std::error_code error;
    const fs::path wanted = fs::absolute(folder, error);
    constexpr int kFolder = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    fs::path path = wanted.root_path();
    Fd at(::open(path.c_str(), kFolder));
    for (const fs::path& name : wanted.relative_path()) {
        if (name.empty()) continue;  // the end of "DIR/"
        if (auto safe = trusted(at, path, owner, true); !safe) return safe;
        path /= name;
        if (::mkdirat(at.get(), name.c_str(), S_IRWXU) != 0 && errno != EEXIST)
            return fail(fmt::format("{} cannot be made: {}.", path.string(), std::strerror(errno)));
        Fd next(::openat(at.get(), name.c_str(), kFolder));
        if (!next)
            return fail(fmt::format("{} is no folder of its own, or cannot be opened: {}.", path.string(),
                                    std::strerror(errno)));
        at = std::move(next);
    }
    return trusted(at, path, owner, false);
}

}  // namespace vmxscope::core
