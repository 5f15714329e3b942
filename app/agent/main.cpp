// vmxscope-agent: root, on the host whose KVM runs the nested guest. Serves it over the GDB remote protocol.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <string>

#include "app/agent/cost.h"
#include "core/rsp/endpoint.h"
#include "core/rsp/server.h"
#include "plugins/kvm/kvm_target.h"
#include "plugins/kvm/probe_plan.h"
#include "plugins/kvm/processes.h"

using namespace vmxscope;

namespace {

std::atomic<bool> stop{false};
void on_signal(int) { stop = true; }

struct Options {
    std::uint32_t pid = 0;
    std::string listen, group, resume_qmp, sessions;
    int connection = -1;
    bool trust_network = false;
    bool plan = false;
    bool allow_writes = false;
    bool no_sessions = false;
    unsigned ring_mib = 16;
    unsigned cost = 0;
};

void say(std::string_view line) {
    fmt::print("vmxscope-agent: {}\n", line);
    std::fflush(stdout);
}

int complain(const core::Error& error) {
    fmt::print(stderr, "vmxscope-agent: {}\n", error.text());
    return 1;
}

core::Result<void> check() {
    if (::geteuid() != 0) return core::fail("The agent reads kernel memory and needs root.", "Run it with sudo.");
    return kvm::check_host();
}

core::Result<std::unique_ptr<core::Target>> make_target(const Options& options, kvm::Planner& planner, bool first) {
    if (const auto ok = check(); !ok) return tl::unexpected(ok.error());
    const auto process = kvm::choose_process(options.pid);
    if (!process) return tl::unexpected(process.error());
    auto plan = planner.plan();
    if (!plan) return tl::unexpected(plan.error());
    return kvm::attach_kvm(std::move(*plan), *process, {first ? options.resume_qmp : std::string{}, options.ring_mib << 20, options.allow_writes});
}

/// What would be hooked in this kernel, for people: nothing is.
int print_plan() {
    if (const auto ok = check(); !ok) return complain(ok.error());
    const auto plan = kvm::plan_probes();
    if (!plan) return complain(plan.error());
    constexpr const char* kKinds[] = {"entry", "return", "call", "vmread", "vmwrite", "tracepoint", "tracepoint"};
    for (std::size_t i = 0; i < plan->hooks.size(); ++i) fmt::print("{:10} {}\n", kKinds[plan->hooks[i].kind], plan->meaning[i].at);
    fmt::print("{} probes, {} members of KVM's state, {} VMCS fields\n", plan->hooks.size(), plan->mems.size(), plan->fields.size());
    for (const std::string& note : plan->notes) fmt::print("note: {}\n", note);
    return 0;
}

int print_cost(const Options& options) {
    if (const auto ok = check(); !ok) return complain(ok.error());
    const auto process = kvm::choose_process(options.pid);
    if (!process) return complain(process.error());
    const auto measured = app::measure_cost(*process, options.cost);
    return measured ? 0 : complain(measured.error());
}

int serve(const Options& options) {
    kvm::Planner planner;
    bool first = true;  // a paused guest is let go once; later pauses are the user's
    core::rsp::Server server(
        [&]() -> core::Result<std::unique_ptr<core::Target>> {
            auto target = make_target(options, planner, first);
            if (target) first = false;
            return target;
        },
        {.log = say, .sessions = options.no_sessions ? std::string() : options.sessions});
    if (options.connection >= 0) {
        const auto ok = server.serve_connection(core::Fd(options.connection), stop);
        return ok ? 0 : complain(ok.error());
    }
    if (const auto ok = check(); !ok) return complain(ok.error());
    const auto endpoint = core::rsp::parse_endpoint(options.listen);
    if (!endpoint) return complain(endpoint.error());
    const auto listener = core::rsp::listen_on(*endpoint, {options.group, options.trust_network});
    if (!listener) return complain(listener.error());
    say(fmt::format("listening on {}", listener->endpoint().text()));
    const auto ok = server.serve(*listener, stop);
    return ok ? 0 : complain(ok.error());
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Serves a KVM guest's nested VM-entries and VM-exits over the GDB remote protocol."};
    Options options;
    app.add_option("--pid", options.pid, "The VMM's process; without it, the only one that runs a nested guest");
    app.add_option("--listen", options.listen, "unix:PATH or tcp:HOST:PORT")->default_val("unix:/run/vmxscope/agent.sock");
    app.add_option("--group", options.group, "Group that may open the unix socket (default: root's)");
    app.add_flag("--trust-network", options.trust_network, "Listen on an address that other machines reach: whoever reaches it controls the guest");
    app.add_flag("--allow-writes", options.allow_writes, "Let clients write the guest's memory and fields, at a stop; each write is kept in a ledger");
    auto* sessions = app.add_option("--sessions", options.sessions, "Where the sessions of gdb and lldb are recorded, the ten newest")
                         ->default_val("/var/lib/vmxscope/sessions");
    app.add_flag("--no-sessions", options.no_sessions, "Record none")->excludes(sessions);
    app.add_option("--resume-qmp", options.resume_qmp, "QEMU's monitor socket: let the paused guest go once everything is watched");
    app.add_option("--ring", options.ring_mib, "MiB of kernel memory for what the agent has not taken yet")
        ->check(CLI::IsMember({1u, 2u, 4u, 8u, 16u, 32u, 64u}))
        ->capture_default_str();
    app.add_option("--connection", options.connection, "Serve this open socket instead, and end with it");
    app.add_flag("--plan", options.plan, "Print what would be hooked in this kernel, and end");
    app.add_option("--cost", options.cost, "Measure what recording costs the guest, so many seconds for each of nine turns, and end")
        ->check(CLI::Range(1, 60));
    app.set_version_flag("--version", VMXSCOPE_VERSION);
    app.footer("Examples:\n  vmxscope-agent\n  vmxscope-agent --pid 1234 --listen tcp:127.0.0.1:4000\nThen: vmxscope unix:/run/vmxscope/agent.sock, or: gdb -ex 'target remote 127.0.0.1:4000'");
    CLI11_PARSE(app, argc, argv);

    struct sigaction action {};
    action.sa_handler = on_signal;
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    if (options.cost) return print_cost(options);
    return options.plan ? print_plan() : serve(options);
}
