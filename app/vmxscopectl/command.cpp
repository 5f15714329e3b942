#include "app/vmxscopectl/command.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

namespace vmxscope::app {
namespace {

std::atomic<bool> g_interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

/// The second signal ends the program the hard way: the first may have come while something hangs.
void on_signal(int) {
    if (g_interrupted.exchange(true)) _exit(kInterrupted);
}

void write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        text.remove_prefix(static_cast<std::size_t>(n));
    }
}

}  // namespace

void catch_interrupts() {
    struct sigaction action {};
    action.sa_handler = on_signal;
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
}

bool interrupted() {
    return g_interrupted;
}

const std::atomic<bool>& interrupt_flag() {
    return g_interrupted;
}

int complain(const core::Error& error) {
    if (interrupted()) return kInterrupted;
    write_all(STDERR_FILENO, fmt::format("vmxscopectl: {}\n", error.what));
    if (!error.remedy.empty()) write_all(STDERR_FILENO, fmt::format("  {}\n", error.remedy));
    return kFailed;
}

bool say(std::string_view text) {
    return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

void remark(std::string_view line) {
    write_all(STDERR_FILENO, fmt::format("{}\n", line));
}

bool stdout_is_terminal() {
    return ::isatty(STDOUT_FILENO) != 0;
}
bool stdin_is_terminal() {
    return ::isatty(STDIN_FILENO) != 0;
}

}  // namespace vmxscope::app
