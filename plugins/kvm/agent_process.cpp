#include "plugins/kvm/agent_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/rsp/remote_target.h"
#include "core/wrapped_target.h"

namespace vmxscope::kvm {
namespace {

namespace fs = std::filesystem;

// What pkexec exits with where nobody authorised it (pkexec(1)).
constexpr int kDismissed = 126, kNotAuthorised = 127;

/// The agent's process: it ends with its connection, and is waited for here.
class AgentProcess {
  public:
    explicit AgentProcess(pid_t pid) : pid_(pid) {}
    ~AgentProcess() { (void)wait(); }
    AgentProcess(const AgentProcess&) = delete;
    AgentProcess& operator=(const AgentProcess&) = delete;

    /// Its exit status, or -1.
    int end() {
        // Whoever still asks for a password does so for nobody.
        if (pid_ > 0) ::kill(pid_, SIGTERM);
        return wait();
    }
    int wait() {
        if (pid_ < 0) return -1;
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

  private:
    pid_t pid_;
};

struct AgentOfOurs {
    std::unique_ptr<AgentProcess> agent;
};

/// The remote target, and the agent behind it: the connection closes first, so the bases are in this order.
class OwnedAgentTarget : private AgentOfOurs, public core::WrappedTarget {
  public:
    OwnedAgentTarget(std::unique_ptr<AgentProcess> started, std::unique_ptr<core::Target> remote)
        : AgentOfOurs{std::move(started)}, WrappedTarget(std::move(remote)) {}
};

std::string in_path(const char* program) {
    for (const char* folder : {"/usr/bin", "/bin", "/usr/local/bin"})
        if (const std::string path = fmt::format("{}/{}", folder, program); ::access(path.c_str(), X_OK) == 0)
            return path;
    return {};
}

bool is_set(const char* variable) {
    const char* value = std::getenv(variable);
    return value && *value;
}

core::Result<pid_t> spawn_agent(const Surroundings& here, std::uint32_t pid, int its_end) {
    std::error_code error;
    const fs::path agent = fs::read_symlink("/proc/self/exe", error).parent_path() / "vmxscope-agent";
    if (::access(agent.c_str(), X_OK) != 0)
        return core::fail(fmt::format("The agent is missing: {}.", agent.string()),
                          "Build or install vmxscope-agent beside this program.");
    const std::vector<std::string> command = agent_command(here, agent, pid);
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, its_end, STDIN_FILENO);
    pid_t child = 0;
    const int e = ::posix_spawn(&child, command[0].c_str(), &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (e) return core::fail(fmt::format("The agent cannot be started: {}.", std::strerror(e)));
    return child;
}

}  // namespace

Surroundings surroundings() {
    Surroundings here;
    here.root = ::geteuid() == 0;
    here.desktop = is_set("DISPLAY") || is_set("WAYLAND_DISPLAY");
    const core::Fd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
    here.terminal = static_cast<bool>(terminal);
    here.pkexec = in_path("pkexec");
    here.sudo = in_path("sudo");
    return here;
}

Rights rights(const Surroundings& here) {
    if (here.root) return Rights::Ours;
    if (here.desktop && !here.pkexec.empty()) return Rights::Pkexec;
    if (here.terminal && !here.sudo.empty()) return Rights::Sudo;
    return Rights::None;
}

std::vector<std::string> agent_command(const Surroundings& here, const std::string& agent, std::uint32_t pid) {
    std::vector<std::string> command;
    if (rights(here) == Rights::Pkexec) command = {here.pkexec};
    if (rights(here) == Rights::Sudo) command = {here.sudo, "--"};
    for (const std::string& word :
         {agent, std::string("--connection"), std::to_string(STDIN_FILENO), std::string("--pid"), std::to_string(pid)})
        command.push_back(word);
    return command;
}

core::Error need_root(std::uint32_t pid) {
    return {"Watching this machine's KVM needs root.",
            fmt::format("Start the agent as root, sudo vmxscope-agent{} --group $(id -gn), and attach to "
                        "unix:/run/vmxscope/agent.sock.",
                        pid ? fmt::format(" --pid {}", pid) : "")};
}

core::Result<std::unique_ptr<core::Target>> attach_through_agent(std::uint32_t pid, const core::Progress& progress) {
    const Surroundings here = surroundings();
    if (rights(here) == Rights::None) return tl::unexpected(need_root(pid));
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return core::fail(fmt::format("No socket: {}.", std::strerror(errno)));
    core::Fd ours(ends[0]), theirs(ends[1]);
    const auto child = spawn_agent(here, pid, theirs.get());
    if (!child) return tl::unexpected(child.error());
    auto agent = std::make_unique<AgentProcess>(*child);
    theirs.reset();
    ::fcntl(ours.get(), F_SETFL, ::fcntl(ours.get(), F_GETFL) | O_NONBLOCK);
    auto remote = core::rsp::attach_remote(std::move(ours), fmt::format("the agent of process {}", pid),
                                           fmt::format("kvm:{}", pid), progress);
    if (remote) return std::make_unique<OwnedAgentTarget>(std::move(agent), std::move(*remote));
    const int status = agent->end();
    if (rights(here) == Rights::Pkexec && (status == kDismissed || status == kNotAuthorised))
        return core::fail("The agent was not allowed to run as root.", need_root(pid).remedy);
    if (rights(here) == Rights::Sudo && status == 1)
        return core::fail("sudo did not start the agent.", need_root(pid).remedy);
    return tl::unexpected(remote.error());
}

}  // namespace vmxscope::kvm
