#include "plugins/kvm/kvm_backend.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/rsp/remote_target.h"
#include "core/wrapped_target.h"
#include "plugins/kvm/processes.h"

namespace vmxscope::kvm {
namespace {

/// The agent's process: it ends with its connection, and is waited for here.
class AgentProcess {
  public:
    explicit AgentProcess(pid_t pid) : pid_(pid) {}
    ~AgentProcess() {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
    }
    AgentProcess(const AgentProcess&) = delete;
    AgentProcess& operator=(const AgentProcess&) = delete;

  private:
    pid_t pid_;
};

struct AgentOfOurs {
    std::unique_ptr<AgentProcess> agent;
};

/// The remote target, and the agent behind it: the connection closes first, so the bases are in this order.
class OwnedAgentTarget : private AgentOfOurs, public core::WrappedTarget {
  public:
    OwnedAgentTarget(std::unique_ptr<AgentProcess> started, std::unique_ptr<core::Target> remote) : AgentOfOurs{std::move(started)}, WrappedTarget(std::move(remote)) {}
};

/// Starts the agent that lies beside this program, with one end of a socket pair as its only connection.
core::Result<pid_t> spawn_agent(std::uint32_t pid, int its_end) {
    std::error_code error;
    const auto agent = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "vmxscope-agent";
    if (::access(agent.c_str(), X_OK) != 0)
        return core::fail(fmt::format("The agent is missing: {}.", agent.string()), "Build or install vmxscope-agent beside this program.");
    constexpr int kAgentEnd = 3;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, its_end, kAgentEnd);
    const std::string connection = std::to_string(kAgentEnd), which = std::to_string(pid);
    const char* argv[] = {"vmxscope-agent", "--connection", connection.c_str(), "--pid", which.c_str(), nullptr};
    pid_t child = 0;
    const int e = ::posix_spawn(&child, agent.c_str(), &actions, nullptr, const_cast<char**>(argv), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (e) return core::fail(fmt::format("The agent cannot be started: {}.", std::strerror(e)));
    return child;
}

class KvmBackend : public core::Backend {
  public:
    std::string_view scheme() const override { return "kvm"; }

    std::vector<core::TargetName> list() override {
        std::vector<core::TargetName> out;
        const auto host = check_host();
        for (const KvmProcess& p : kvm_processes()) {
            core::TargetName t;
            t.uri = fmt::format("kvm:{}", p.pid);
            t.summary = fmt::format("{}{}{}, {} vCPU{}{}", p.name, p.guest.empty() ? "" : p.libvirt ? ", libvirt's domain " : " ", p.guest, p.vcpus, p.vcpus == 1 ? "" : "s",
                                    p.nested_runs.value_or(0) ? ", runs a nested guest" : "");
            t.available = host.has_value() && ::geteuid() == 0;
            if (!host) t.why_not = host.error().text();
            else if (!t.available) t.why_not = need_root(p.pid).text();
            out.push_back(std::move(t));
        }
        return out;
    }

    core::Result<std::unique_ptr<core::Target>> attach(std::string_view rest, const core::Progress& progress) override {
        std::uint32_t pid = 0;
        if (!rest.empty()) {
            const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), pid);
            if (error != std::errc{} || end != rest.data() + rest.size() || pid == 0)
                return core::fail(fmt::format("'{}' is no process id.", rest), "Write kvm:PID, or kvm alone for the only nested guest.");
        }
        if (const auto host = check_host(); !host) return tl::unexpected(host.error());
        if (::geteuid() != 0) return tl::unexpected(need_root(pid));
        const auto process = choose_process(pid);
        if (!process) return tl::unexpected(process.error());
        return attach_through_agent(process->pid, progress);
    }

  private:
    static core::Error need_root(std::uint32_t pid) {
        return {"Watching this machine's KVM needs root.",
                fmt::format("Start the agent as root, sudo vmxscope-agent{} --group $(id -gn), and attach to unix:/run/vmxscope/agent.sock.",
                            pid ? fmt::format(" --pid {}", pid) : "")};
    }

    static core::Result<std::unique_ptr<core::Target>> attach_through_agent(std::uint32_t pid, const core::Progress& progress) {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) return core::fail(fmt::format("No socket: {}.", std::strerror(errno)));
        core::Fd ours(ends[0]), theirs(ends[1]);
        const auto child = spawn_agent(pid, theirs.get());
        if (!child) return tl::unexpected(child.error());
        auto agent = std::make_unique<AgentProcess>(*child);
        theirs.reset();
        ::fcntl(ours.get(), F_SETFL, ::fcntl(ours.get(), F_GETFL) | O_NONBLOCK);
        auto remote = core::rsp::attach_remote(std::move(ours), fmt::format("the agent of process {}", pid), fmt::format("kvm:{}", pid), progress);
        if (!remote) return tl::unexpected(remote.error());
        return std::make_unique<OwnedAgentTarget>(std::move(agent), std::move(*remote));
    }
};

}  // namespace

std::unique_ptr<core::Backend> kvm_backend() { return std::make_unique<KvmBackend>(); }

}  // namespace vmxscope::kvm
