#include "core/session_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "core/bookmarks.h"
#include "core/target.h"
#include "core/trusted_folder.h"

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

/// As name_of_file() makes it; others are not ours to remove.
bool is_session(const fs::path& file) {
    constexpr std::string_view kForm = "00000000-000000-000-";
    const auto alike = [](char form, char c) { return form == '-' ? c == '-' : c >= '0' && c <= '9'; };
    const std::string name = file.filename().string();
    return file.extension() == kTraceSuffix && std::ranges::mismatch(kForm, name, alike).in1 == kForm.end();
}

/// For its owner alone: what guests do is their business.
Result<void> make_folder(const fs::path& folder) {
    if (::geteuid() == 0) return make_trusted_folder(folder, 0);
    std::error_code ignored;
    fs::create_directories(folder.parent_path(), ignored);
    if (::mkdir(folder.c_str(), S_IRWXU) == 0) return {};
    const int why = errno;
    if (fs::is_directory(folder, ignored)) return {};
    return fail(fmt::format("{} cannot be made: {}.", folder.string(), std::strerror(why)));
}

/// For a file as long as it may become, and as much to spare: the disk is not ours alone.
Result<void> check_room(const fs::path& folder) {
    std::error_code error;
    const fs::space_info room = fs::space(folder, error);
    if (error || room.capacity == 0 || room.available >= 2 * SessionLog::kMostBytes) return {};
    return fail(
        fmt::format("Less than {} MiB are free where {} is.", 2 * SessionLog::kMostBytes >> 20, folder.string()));
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
    if (const auto ready = make_folder(folder_).and_then([this] { return check_room(folder_); }); !ready)
        return fail("The session is not recorded: " + ready.error().what, ready.error().remedy);
    std::error_code error;
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
    for (fs::directory_iterator at(folder_, ignored), end; at != end; at.increment(ignored))
        if (is_session(at->path())) files.push_back(at->path());
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
