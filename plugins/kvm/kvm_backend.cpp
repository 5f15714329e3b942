#include "plugins/kvm/kvm_backend.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <utility>

#include "plugins/kvm/agent_process.h"
#include "plugins/kvm/processes.h"

namespace vmxscope::kvm {
namespace {

class KvmBackend : public core::Backend {
  public:
    std::string_view scheme() const override { return "kvm"; }

    std::vector<core::TargetName> list() override {
        std::vector<core::TargetName> out;
        const auto host = check_host();
        const bool allowed = rights(surroundings()) != Rights::None;
        for (const KvmProcess& p : kvm_processes()) {
            core::TargetName t;
            t.uri = fmt::format("kvm:{}", p.pid);
            t.summary = fmt::format("{}{}{}, {} vCPU{}{}", p.name, p.guest.empty() ? "" : p.libvirt ? ", libvirt's domain " : " ", p.guest, p.vcpus, p.vcpus == 1 ? "" : "s",
                                    p.nested_runs.value_or(0) ? ", runs a nested guest" : "");
            t.available = host.has_value() && allowed;
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
        if (rights(surroundings()) == Rights::None) return tl::unexpected(need_root(pid));
        // Only root sees what other users' processes have open; the agent looks at what it is given.
        if (pid != 0 && ::geteuid() != 0) return attach_through_agent(pid, progress);
        const auto process = choose_process(pid);
        if (!process) return tl::unexpected(process.error());
        return attach_through_agent(process->pid, progress);
    }
};

}  // namespace

std::unique_ptr<core::Backend> kvm_backend() { return std::make_unique<KvmBackend>(); }

}  // namespace vmxscope::kvm
