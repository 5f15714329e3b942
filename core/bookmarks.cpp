#include "core/bookmarks.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/fd.h"

namespace vmxscope::core {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostFile = 64u << 20;  // bytes: every bookmark with the longest note, escaped

/// Empty: there is no such file.
Result<std::string> contents(const std::filesystem::path& path) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat st {};
    if (!file && errno == ENOENT) return std::string();
    if (!file || ::fstat(file.get(), &st) != 0)
        return fail(fmt::format("{} cannot be opened: {}.", path.string(), std::strerror(errno)));
    if (!S_ISREG(st.st_mode) || static_cast<std::uint64_t>(st.st_size) > kMostFile)
        return fail(fmt::format("{} is no file of bookmarks.", path.string()));
    std::string text(static_cast<std::size_t>(st.st_size), '\0');
    std::size_t done = 0;
    for (ssize_t n = 1; done < text.size() && n > 0; done += static_cast<std::size_t>(n)) {
        n = ::read(file.get(), text.data() + done, text.size() - done);
        if (n < 0) return fail(fmt::format("{} cannot be read: {}.", path.string(), std::strerror(errno)));
    }
    text.resize(done);
    return text;
}

bool write_whole(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    return ::fsync(fd) == 0;
}

}  // namespace

std::filesystem::path Bookmarks::path_of(const std::filesystem::path& trace) { return trace.string() + ".notes.json"; }

Result<Bookmarks> Bookmarks::of(const std::filesystem::path& trace) {
    Bookmarks bookmarks;
    bookmarks.path_ = path_of(trace);
    const auto text = contents(bookmarks.path_);
    if (!text) return tl::unexpected(text.error());
    if (text->empty()) return bookmarks;
    const auto wrong = [&] {
        return fail(fmt::format("{} is damaged, or no file of bookmarks.", bookmarks.path_.string()),
                    "Move it away to begin anew.");
    };
    const Json json = Json::parse(*text, nullptr, false);
    if (!json.is_object() || !json.contains("notes") || !json["notes"].is_array()) return wrong();
    for (const Json& entry : json["notes"]) {
        if (!entry.is_object() || !entry.contains("seq") || !entry["seq"].is_number_unsigned() ||
            !entry.contains("note") || !entry["note"].is_string())
            return wrong();
        if (!bookmarks.set(entry["seq"].get<std::uint64_t>(), entry["note"].get<std::string>())) return wrong();
    }
    return bookmarks;
}

Result<void> Bookmarks::set(std::uint64_t seq, std::string note) {
    if (note.size() > kLongestNote)
        return fail(fmt::format("The note is {} bytes long; {} are the most.", note.size(), kLongestNote));
    if (notes_.size() >= kMost && !notes_.contains(seq))
        return fail(fmt::format("There are {} bookmarks already.", kMost));
    notes_[seq] = std::move(note);
    return {};
}

Result<void> Bookmarks::save() const {
    const auto failed = [this](std::string_view what) {
        return fail(fmt::format("{} cannot be {}: {}.", path_.string(), what, std::strerror(errno)),
                    "May you write beside the trace, and is there room?");
    };
    if (notes_.empty()) {
        if (::unlink(path_.c_str()) != 0 && errno != ENOENT) return failed("removed");
        return {};
    }
    Json notes = Json::array();
    for (const auto& [seq, note] : notes_) notes.push_back({{"seq", seq}, {"note", note}});
    const std::string text =
        Json{{"notes", std::move(notes)}}.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
    std::string temporary = path_.string() + ".XXXXXX";
    const Fd file(::mkostemp(temporary.data(), O_CLOEXEC));
    if (!file) return failed("written");
    if (!write_whole(file.get(), text) || ::fchmod(file.get(), 0644) != 0 ||
        ::rename(temporary.c_str(), path_.c_str()) != 0) {
        const auto error = failed("written");
        ::unlink(temporary.c_str());
        return error;
    }
    return {};
}

}  // namespace vmxscope::core
