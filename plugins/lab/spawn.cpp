#include "plugins/lab/spawn.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

#include <fmt/format.h>

namespace vmxscope::lab {
namespace {

/// posix_spawn's two descriptions of a child, freed with this.
struct Setup {
    Setup() {
        posix_spawn_file_actions_init(&files);
        posix_spawnattr_init(&attributes);
    }
    ~Setup() {
        posix_spawn_file_actions_destroy(&files);
        posix_spawnattr_destroy(&attributes);
    }
    Setup(const Setup&) = delete;
    Setup& operator=(const Setup&) = delete;

    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
};

}  // namespace

core::Result<pid_t> spawn(const std::vector<std::string>& arguments, const SpawnOptions& options) {
    Setup setup;
    posix_spawn_file_actions_addopen(&setup.files, 0, "/dev/null", O_RDONLY, 0);
    if (options.output) {
        posix_spawn_file_actions_adddup2(&setup.files, *options.output, 1);
    } else {
        posix_spawn_file_actions_addopen(&setup.files, 1, "/dev/null", O_WRONLY, 0);
    }
    posix_spawn_file_actions_adddup2(&setup.files, 1, 2);
    if (!options.folder.empty()) posix_spawn_file_actions_addchdir_np(&setup.files, options.folder.c_str());
    // Through high numbers first, so that no target overwrites a source.
    constexpr int kAside = 200;
    for (std::size_t i = 0; i < options.descriptors.size(); ++i)
        posix_spawn_file_actions_adddup2(&setup.files, options.descriptors[i].first, kAside + static_cast<int>(i));
    for (std::size_t i = 0; i < options.descriptors.size(); ++i) {
        posix_spawn_file_actions_adddup2(&setup.files, kAside + static_cast<int>(i), options.descriptors[i].second);
        posix_spawn_file_actions_addclose(&setup.files, kAside + static_cast<int>(i));
    }
    sigset_t none, defaults;
    sigemptyset(&none);
    sigfillset(&defaults);
    posix_spawnattr_setsigmask(&setup.attributes, &none);
    posix_spawnattr_setsigdefault(&setup.attributes, &defaults);
    posix_spawnattr_setpgroup(&setup.attributes, 0);
    posix_spawnattr_setflags(&setup.attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

    std::vector<char*> argv;
    for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    pid_t child = -1;
    const int error = posix_spawnp(&child, argv[0], &setup.files, &setup.attributes, argv.data(), environ);
    if (error != 0)
        return core::fail(fmt::format("{} cannot be started: {}.", arguments[0], std::strerror(error)),
                          "Check that it is installed.");
    return child;
}

std::optional<int> wait_for_end(pid_t child, std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (;;) {
        int status = 0;
        const pid_t ended = waitpid(child, &status, WNOHANG);
        if (ended == child) return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        if (ended < 0 && errno != EINTR) return -1;
        if (std::chrono::steady_clock::now() >= deadline) return std::nullopt;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

core::Result<Pipe> make_pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return core::fail(fmt::format("No pipe can be made: {}.", std::strerror(errno)), "Close some programs.");
    return Pipe{core::Fd(ends[0]), core::Fd(ends[1])};
}

}  // namespace vmxscope::lab
