#include "app/vmxscope/display.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <QGuiApplication>

namespace vmxscope::app {

namespace {

constexpr const char* kRemedy =
    "Run it in a graphical session, or take a picture without one (vmxscope --screenshot FILE TARGET), or step in the "
    "terminal: vmxscopectl step TARGET.";

/// Qt ends a program that cannot reach its display with abort(), so a child tries it first.
bool qt_starts() {
    const pid_t child = ::fork();
    if (child < 0) return true;  // let Qt itself try
    if (child == 0) {
        const rlimit no_core{0, 0};
        ::setrlimit(RLIMIT_CORE, &no_core);
        const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null >= 0) ::dup2(null, STDERR_FILENO);
        int argc = 1;
        char name[] = "vmxscope";
        char* argv[] = {name, nullptr};
        { const QGuiApplication probe(argc, argv); }
        ::_exit(0);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

std::string why_no_display() {
    const bool chosen = qEnvironmentVariableIsSet("QT_QPA_PLATFORM");
    const bool named = qEnvironmentVariableIsSet("DISPLAY") || qEnvironmentVariableIsSet("WAYLAND_DISPLAY");
    if (!chosen && !named) return std::string("There is no display here. ") + kRemedy;
    if (!qt_starts()) return std::string("The display cannot be opened. ") + kRemedy;
    return {};
}

}  // namespace vmxscope::app
