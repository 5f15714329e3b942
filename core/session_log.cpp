#include "core/session_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <utility>
#include <vector>

#include "core/bookmarks.h"
#include "core/target.h"

namespace vmxscope::core {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kLongestName = 80;  // bytes of a target's name in a file's

/// "20261123-091500-123-lab-pae-ept.vxt": in the order of time.
std::string name_of_file(std::string_view target, std::chrono::system_clock::time_point now) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
    std::string name(target.substr(0, kLongestName));
    for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '-';
    return fmt::format("{:%Y%m%d-%H%M%S}-{:03}-{}{}", fmt::localtime(std::chrono::system_clock::to_time_t(now)), ms, name, kTraceSuffix);
}

/// `how`: LOCK_SH by who writes it, LOCK_EX by who would remove it. Empty: another has it.
Fd locked(const fs::path& file, int how) {
    Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    return fd && ::flock(fd.get(), how | LOCK_NB) == 0 ? std::move(fd) : Fd();
}

}  // namespace

fs::path sessions_folder() {
    const char* state = std::getenv("XDG_STATE_HOME");
    const char* home = std::getenv("HOME");
    const fs::path base = state && fs::path(state).is_absolute() ? fs::path(state) : fs::path(home ? home : "/") / ".local/state";
    return base / "vmxscope/sessions";
}

Result<void> SessionLog::begin() {
    std::error_code error;
    fs::create_directories(folder_, error);
    if (error) return fail(fmt::format("The session is not recorded: {} cannot be made: {}.", folder_.string(), error.message()));
    fs::permissions(folder_, fs::perms::owner_all, error);  // what guests do is their owners' business
    auto now = std::chrono::system_clock::now();
    fs::path file = folder_ / name_of_file(info_.target.name, now);
    for (; fs::exists(file, error); file = folder_ / name_of_file(info_.target.name, now)) now += std::chrono::milliseconds(1);
    auto writer = trace::Writer::create(file, info_);
    if (!writer) return tl::unexpected(writer.error());
    writer_ = std::make_unique<trace::Writer>(std::move(*writer));
    file_ = file;
    lock_ = locked(file_, LOCK_SH);
    remove_oldest();
    return {};
}

void SessionLog::remove_oldest() const {
    std::error_code ignored;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder_, ignored))
        if (entry.path().extension() == kTraceSuffix) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (std::size_t i = 0; i + kMostFiles < files.size(); ++i) {
        const Fd nobodys = locked(files[i], LOCK_EX);
        if (!nobodys) continue;
        fs::remove(files[i], ignored);
        fs::remove(Bookmarks::path_of(files[i]), ignored);
    }
}

Result<void> SessionLog::checked(Result<void> done) {
    broken_ = !done;
    return done;
}

Result<void> SessionLog::add(const nested::Transition& t) {
    if (broken_) return {};
    if (writer_ && writer_->bytes() >= kMostBytes)
        if (auto done = finish(); !done) return done;
    if (!writer_)
        if (auto begun = begin(); !begun) return checked(begun);
    new_ = true;
    return checked(writer_->add(t));
}

Result<void> SessionLog::flush() {
    if (broken_ || !writer_ || !std::exchange(new_, false)) return {};
    return checked(writer_->flush());
}

Result<void> SessionLog::finish() {
    if (broken_ || !writer_) return {};
    auto done = checked(writer_->finish());
    writer_.reset();
    lock_.reset();
    new_ = false;
    return done;
}

}  // namespace vmxscope::core
