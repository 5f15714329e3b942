#include "program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace vmxscope::test {
namespace {

using std::chrono::steady_clock;

std::vector<char*> argv_of(const std::vector<std::string>& arguments) {
    std::vector<char*> argv{const_cast<char*>(VMXSCOPECTL)};
    for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    return argv;
}

int status_of(int wait_status) {
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

int wait_for_end(pid_t pid) {
    const auto limit = steady_clock::now() + std::chrono::minutes(2);
    int status = 0;
    while (::waitpid(pid, &status, WNOHANG) == 0) {
        if (steady_clock::now() > limit) {
            ADD_FAILURE() << "vmxscopectl did not end within two minutes";
            ::kill(pid, SIGKILL);
            ::waitpid(pid, &status, 0);
            break;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return status_of(status);
}

std::string contents(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

Outcome run_vmxscopectl(const std::vector<std::string>& arguments) {
    std::string folder = (std::filesystem::temp_directory_path() / "vmxscope-cli-XXXXXX").string();
    EXPECT_NE(::mkdtemp(folder.data()), nullptr);
    const std::string out = folder + "/out", err = folder + "/err";
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, out.c_str(), O_WRONLY | O_CREAT, 0600);
    posix_spawn_file_actions_addopen(&files, 2, err.c_str(), O_WRONLY | O_CREAT, 0600);
    pid_t pid = -1;
    const int failed = ::posix_spawn(&pid, VMXSCOPECTL, &files, nullptr, argv_of(arguments).data(), environ);
    posix_spawn_file_actions_destroy(&files);
    EXPECT_EQ(failed, 0);
    Outcome outcome;
    if (failed == 0) outcome = {wait_for_end(pid), contents(out), contents(err)};
    std::filesystem::remove_all(folder);
    return outcome;
}

OnTerminal::OnTerminal(const std::vector<std::string>& arguments) {
    state_ = (std::filesystem::temp_directory_path() / "vmxscope-cli-XXXXXX").string();
    EXPECT_NE(::mkdtemp(state_.data()), nullptr);
    pid_ = ::forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (pid_ == 0) {
        ::setenv("XDG_STATE_HOME", state_.c_str(), 1);
        ::execv(VMXSCOPECTL, argv_of(arguments).data());
        ::_exit(127);
    }
    EXPECT_GT(pid_, 0);
}

OnTerminal::~OnTerminal() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    if (terminal_ >= 0) ::close(terminal_);
    std::filesystem::remove_all(state_);
}

void OnTerminal::type(const std::string& keys) {
    EXPECT_EQ(::write(terminal_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
}

void OnTerminal::signal(int number) {
    ::kill(pid_, number);
}

bool OnTerminal::read_more() {
    pollfd in{terminal_, POLLIN, 0};
    if (::poll(&in, 1, 60'000) != 1) return false;
    char buffer[4096];
    const ssize_t n = ::read(terminal_, buffer, sizeof buffer);
    if (n <= 0) return false;
    screen_.append(buffer, static_cast<std::size_t>(n));
    return true;
}

bool OnTerminal::wait_for(const std::string& text) {
    for (;;) {
        const std::size_t at = screen_.find(text, seen_);
        if (at != std::string::npos) {
            seen_ = at + text.size();
            return true;
        }
        if (!read_more()) return false;
    }
}

int OnTerminal::finish() {
    while (read_more()) {
    }
    const int status = wait_for_end(pid_);
    pid_ = -1;
    return status;
}

}  // namespace vmxscope::test
