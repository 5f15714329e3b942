#include "plugins/lab/supervise.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pty.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "core/fd.h"
#include "plugins/lab/instance.h"

namespace vmxscope::lab {
namespace {

/// In the child, on its new terminal: becomes the program. Dies with the supervisor, however that ends.
[[noreturn]] void become(const std::vector<std::string>& command, pid_t supervisor) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor) _exit(127);  // it died before the line above
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);  // the leash and the instance's lock are the supervisor's alone
    setenv("TERM", "linux", 1);                // Bochs draws its screen through curses
    std::vector<char*> argv;
    for (const std::string& a : command) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    _exit(127);
}

core::Fd block_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (int s : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, s);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    return core::Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

/// Bochs draws the emulated machine's screen on a second terminal, which it makes itself and names on the first. Nobody
/// looks at it, but it must be read: when it is full, Bochs waits for ever.
class Screen {
  public:
    void look_for_name(std::string_view output) {
        constexpr std::string_view kBefore = "connected to screen \"";
        constexpr std::size_t kMost = 1 << 16;
        if (fd_ || said_.size() > kMost) return;
        said_ += output;
        const auto at = said_.find(kBefore);
        if (at == std::string::npos) return;
        const auto name = std::string_view(said_).substr(at + kBefore.size());
        if (const auto end = name.find('"'); end != std::string_view::npos) open(std::string(name.substr(0, end)));
    }
    int fd() const { return fd_.get(); }
    void drain() {
        char buffer[4096];
        if (read(fd_.get(), buffer, sizeof buffer) <= 0) fd_.reset();
    }

  private:
    void open(const std::string& name) {
        fd_ = core::Fd(::open(name.c_str(), O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
        termios raw{};
        if (tcgetattr(fd_.get(), &raw) != 0) return;
        cfmakeraw(&raw);  // by lines, nothing could be read before the first newline
        tcsetattr(fd_.get(), TCSANOW, &raw);
    }

    std::string said_;
    core::Fd fd_;
};

/// Keeps the terminal's output, as far as it is of use to find an error, so that the program never waits for a reader.
class TerminalLog {
  public:
    explicit TerminalLog(const std::filesystem::path& file) : out_(file, std::ios::binary) {}
    /// Returns what it took.
    std::string take_from(int terminal) {
        constexpr std::size_t kMost = 1 << 20;
        char buffer[4096];
        const ssize_t n = read(terminal, buffer, sizeof buffer);
        if (n > 0 && written_ < kMost) {
            out_.write(buffer, n).flush();
            written_ += static_cast<std::size_t>(n);
        }
        return {buffer, n > 0 ? static_cast<std::size_t>(n) : 0};
    }

  private:
    std::ofstream out_;
    std::size_t written_ = 0;
};

std::string how_it_ended(const std::string& program, int status) {
    if (WIFSIGNALED(status)) return fmt::format("{} was killed by signal {}.", program, WTERMSIG(status));
    if (WEXITSTATUS(status) == 127) return fmt::format("{} could not be started; is it installed?", program);
    return fmt::format("{} ended with status {}.", program, WEXITSTATUS(status));
}

enum class End { ByItself, LeashCut, Asked };

/// Waits for one of the three ends; `status` is the program's in the first case.
End wait_for_end_of(pid_t program, int terminal, core::Fd leash, core::Fd signals, TerminalLog& log, int& status) {
    bool terminal_open = true;
    Screen screen;
    for (;;) {
        pollfd fds[] = {{signals.get(), POLLIN, 0},
                        {leash.get(), POLLIN, 0},
                        {terminal_open ? terminal : -1, POLLIN, 0},
                        {screen.fd(), POLLIN, 0}};
        if (poll(fds, 4, -1) < 0) continue;
        if (fds[3].revents) screen.drain();
        if (fds[2].revents & POLLIN)
            screen.look_for_name(log.take_from(terminal));
        else if (fds[2].revents)
            terminal_open = false;
        signalfd_siginfo signal{};
        while (read(signals.get(), &signal, sizeof signal) == sizeof signal) {
            if (signal.ssi_signo != SIGCHLD) return End::Asked;
            if (waitpid(program, &status, WNOHANG) == program) return End::ByItself;
        }
        if (fds[1].revents) {
            char order = 0;
            if (read(leash.get(), &order, 1) != 1) return End::LeashCut;
            if (order == kLetGo) leash.reset();
        }
    }
}

}  // namespace

int supervise(const Supervision& supervision) {
    const Instance instance(supervision.folder);
    close_range(kLockDescriptor + 1, ~0u, 0);
    if (chdir(supervision.folder.c_str()) != 0) return 1;
    std::ofstream(instance.supervisor_file()) << getpid() << '\n';
    core::Fd signals = block_signals();
    int terminal = -1;
    const winsize size{25, 80, 0, 0};
    const pid_t self = getpid();
    const pid_t program = forkpty(&terminal, nullptr, nullptr, &size);
    if (program == 0) become(supervision.command, self);
    if (program < 0) {
        std::ofstream(instance.end_file()) << "No terminal can be made: " << std::strerror(errno) << ".\n";
        return 1;
    }
    core::Fd terminal_fd(terminal);
    TerminalLog log(supervision.folder / "terminal.log");
    int status = 0;
    const End end = wait_for_end_of(program, terminal, core::Fd(kLeashDescriptor), std::move(signals), log, status);
    if (end == End::ByItself) {
        std::ofstream(instance.end_file()) << how_it_ended(supervision.command[0], status) << '\n';
        return 0;
    }
    kill(program, SIGKILL);
    waitpid(program, &status, 0);
    std::error_code error;
    std::filesystem::remove_all(supervision.folder, error);
    return 0;
}

}  // namespace vmxscope::lab
