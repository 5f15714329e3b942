#include "plugins/lab/instance.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace vmxscope::lab {
namespace {

namespace fs = std::filesystem;

core::Fd open_locked(const fs::path& file, int flags) {
    core::Fd fd(open(file.c_str(), flags | O_RDWR | O_CLOEXEC, 0600));
    if (fd && flock(fd.get(), LOCK_EX | LOCK_NB) != 0) fd.reset();
    return fd;
}

std::string first_line(const fs::path& file) {
    std::ifstream in(file);
    std::string line;
    std::getline(in, line);
    return line;
}

/// Letters, digits, '-', '_' and '.', not beginning with '.': it becomes a folder's name.
bool good_id(std::string_view id) {
    const auto good = [](unsigned char c) { return std::isalnum(c) || std::strchr("-_.", c); };
    return !id.empty() && id.size() <= 64 && id[0] != '.' && std::all_of(id.begin(), id.end(), good);
}

/// Makes `folder` private, or says whose it is.
core::Result<void> make_private(const fs::path& folder) {
    struct stat now {};
    if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
        return core::fail(fmt::format("The folder {} cannot be made: {}.", folder.string(), std::strerror(errno)),
                          "Set VMXSCOPE_RUNTIME_DIR to a folder that you may write to.");
    if (lstat(folder.c_str(), &now) != 0 || !S_ISDIR(now.st_mode) || now.st_uid != geteuid() ||
        (now.st_mode & 077) != 0)
        return core::fail(fmt::format("The folder {} is not yours alone.", folder.string()),
                          "Remove it, or set VMXSCOPE_RUNTIME_DIR to another.");
    return {};
}

}  // namespace

bool Instance::alive() const {
    core::Fd fd(open(lock_file().c_str(), O_RDWR | O_CLOEXEC));
    return fd && flock(fd.get(), LOCK_EX | LOCK_NB) != 0;
}

std::optional<std::string> Instance::ended() const {
    std::error_code error;
    if (!fs::exists(end_file(), error)) return std::nullopt;
    return first_line(end_file());
}

core::Result<InstanceInfo> Instance::info() const {
    std::ifstream in(folder_ / "lab.json");
    const auto json = nlohmann::json::parse(in, nullptr, false);
    if (json.is_discarded() || !json.is_object())
        return core::fail(fmt::format("The lab {} has no readable description.", id()),
                          fmt::format("Stop it with: vmxscopectl lab stop {}", id()));
    InstanceInfo info;
    info.id = id();
    info.name = json.value("name", "");
    info.cpus = json.value("cpus", 1u);
    info.leashed = json.value("leashed", false);
    info.agent_port = json.value("agent_port", std::uint16_t{0});
    info.shell_port = json.value("shell_port", std::uint16_t{0});
    info.loader_port = json.value("loader_port", std::uint16_t{0});
    return info;
}

core::Result<void> Instance::write_info(const InstanceInfo& info) const {
    const nlohmann::json json = {{"name", info.name},
                                 {"cpus", info.cpus},
                                 {"leashed", info.leashed},
                                 {"agent_port", info.agent_port},
                                 {"shell_port", info.shell_port},
                                 {"loader_port", info.loader_port}};
    const fs::path part = folder_ / "lab.json.part";
    std::ofstream(part) << json.dump(2) << '\n';
    std::error_code error;
    fs::rename(part, folder_ / "lab.json", error);
    if (error)
        return core::fail(fmt::format("{} cannot be written: {}.", part.string(), error.message()),
                          "Is the disk full?");
    return {};
}

core::Result<void> Instance::stop() const {
    if (!alive()) {
        std::error_code error;
        fs::remove_all(folder_, error);
    } else {
        const pid_t supervisor = static_cast<pid_t>(std::atoi(first_line(supervisor_file()).c_str()));
        if (supervisor > 1) kill(supervisor, SIGTERM);
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (alive() && std::chrono::steady_clock::now() < deadline)
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        if (alive())
            return core::fail(fmt::format("The lab {} does not end; its supervisor is process {}.", id(), supervisor),
                              fmt::format("End it with: kill -KILL {}", supervisor));
    }
    return {};
}

core::Result<fs::path> instances_folder() {
    fs::path base;
    if (const char* chosen = std::getenv("VMXSCOPE_RUNTIME_DIR")) {
        base = chosen;
    } else {
        const char* runtime = std::getenv("XDG_RUNTIME_DIR");
        base = fs::path(runtime ? runtime : "/tmp") / fmt::format("vmxscope-{}", geteuid());
    }
    if (auto made = make_private(base); !made) return tl::unexpected(made.error());
    if (auto made = make_private(base / "labs"); !made) return tl::unexpected(made.error());
    return base / "labs";
}

core::Result<std::vector<Instance>> list_instances() {
    const auto folder = instances_folder();
    if (!folder) return tl::unexpected(folder.error());
    std::vector<Instance> found;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(*folder, error)) {
        if (!entry.is_directory(error)) continue;
        Instance instance(entry.path());
        if (instance.alive() || instance.ended()) found.push_back(std::move(instance));
    }
    std::sort(found.begin(), found.end(), [](const Instance& a, const Instance& b) { return a.id() < b.id(); });
    return found;
}

std::optional<Instance> find_running(std::string_view id) {
    const auto folder = instances_folder();
    if (!folder || !good_id(id)) return std::nullopt;
    Instance instance(*folder / id);
    if (!instance.alive()) return std::nullopt;
    return instance;
}

core::Result<NewInstance> create_instance(std::string_view id) {
    if (!good_id(id))
        return core::fail(fmt::format("'{}' cannot be a lab's instance name.", id),
                          "Use letters, digits, '-', '_' and '.', at most 64, the first not a '.'.");
    const auto folder = instances_folder();
    if (!folder) return tl::unexpected(folder.error());
    // One creation at a time, so that a folder that has no lock yet is never taken for a dead one's.
    core::Fd creating(open((*folder / ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!creating || flock(creating.get(), LOCK_EX) != 0)
        return core::fail(fmt::format("{} cannot be written to.", folder->string()), "Check its permissions.");
    Instance instance(*folder / id);
    if (instance.alive())
        return core::fail(
            fmt::format("A lab {} runs already.", id),
            fmt::format("Stop it with: vmxscopectl lab stop {} (or give yours another name: --instance)", id));
    std::error_code error;
    fs::remove_all(instance.folder(), error);
    if (auto made = make_private(instance.folder()); !made) return tl::unexpected(made.error());
    core::Fd lock = open_locked(instance.lock_file(), O_CREAT);
    if (!lock)
        return core::fail(fmt::format("{} cannot be locked.", instance.lock_file().string()), "Is the disk full?");
    return NewInstance{std::move(instance), std::move(lock)};
}

}  // namespace vmxscope::lab
