#include "app/vmxscopectl/step_command.h"

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <fstream>
#include <memory>

#include <fmt/format.h>

#include "app/vmxscopectl/stepper.h"
#include "core/entry_report.h"
#include "core/flow_report.h"
#include "core/transition_json.h"
#include "core/transition_text.h"
#include "vmx/exit_reason.h"

namespace vmxscope::app {
namespace {

struct Options {
    std::string target;
    std::optional<std::uint64_t> count;
    std::string kind = "transition", evidence = "pdptr", reports;
    bool json = false;
    std::optional<std::uint32_t> vcpu;
    std::uint32_t timeout = 120;
};

constexpr std::string_view kKeys =
    "Enter or t: next transition   n: next nested entry or exit   e: next nested entry   x: next nested exit\n"
    "c: run on (any key stops)     f: all fields                  h: these keys         q: leave, the guest runs on\n";

constexpr std::string_view kExamples =
    "Examples:\n"
    "  vmxscopectl step lab:pae-ept                     key by key, in the lab that needs no VT-x\n"
    "  vmxscopectl step kvm:1234 -n 10 --kind nested    ten nested entries and exits of process 1234\n"
    "  vmxscopectl step kvm -n 0 --kind entry --json    every nested entry until Ctrl-C, an object a line\n"
    "  vmxscopectl step tcp:127.0.0.1:4000 --vcpu 1     steps vCPU 1; the others run on between its stops";

/// Keys come one by one and are not echoed, until the end of the scope. Signals stay as they are.
class RawTerminal {
  public:
    RawTerminal() {
        if (::tcgetattr(STDIN_FILENO, &saved_) != 0) return;
        termios raw = saved_;
        raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        changed_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    }
    ~RawTerminal() {
        if (changed_) ::tcsetattr(STDIN_FILENO, TCSANOW, &saved_);
    }
    RawTerminal(const RawTerminal&) = delete;
    RawTerminal& operator=(const RawTerminal&) = delete;

  private:
    termios saved_{};
    bool changed_ = false;
};

/// The next key; 'q' at the end of the input; 0 when a signal came first.
char next_key() {
    while (!interrupted()) {
        pollfd in{STDIN_FILENO, POLLIN, 0};
        if (::poll(&in, 1, 200) <= 0) continue;
        char key = 0;
        return ::read(STDIN_FILENO, &key, 1) == 1 ? key : 'q';
    }
    return 0;
}

core::Style style() {
    return stdout_is_terminal() ? core::Style::Colour : core::Style::Plain;
}

/// A VM-entry that KVM or the processor refused.
bool refused(const nested::Transition& t) {
    return t.kind == nested::Kind::NestedEntryFailed ||
           (t.kind == nested::Kind::NestedExit && vmx::entry_failed(static_cast<std::uint32_t>(t.exit.reason.bits)));
}

/// The rule of the SDM that vmcs12 breaks, beside KVM's own reason.
std::string rule_text(core::Target& target, const nested::Transition& t) {
    const auto caps = target.capabilities();
    if (!caps) return fmt::format("  the rule is not known: {}\n", caps.error().what);
    core::CheckedEntry entry;
    entry.image = t.vmcs12_before;
    entry.capabilities = caps->l1;
    const vmx::Value error = t.vmcs12_after[vmx::Field::VM_INSTRUCTION_ERROR];
    return fmt::format("  VM-instruction error of vmcs12: {}\n", core::value_text(error)) +
           core::entry_check_text(entry);
}

/// Writes a report of each finding; counts them all.
core::Result<void> take_findings(Stepper& stepper, const nested::Transition& t, const Options& o, std::size_t& count) {
    const nested::Flow flow = nested::flow_of(t);
    count += flow.findings.size();
    for (const nested::Finding& f : o.reports.empty() ? std::vector<nested::Finding>{} : flow.findings) {
        const std::string path = fmt::format("{}/finding-{}-{}.json", o.reports, t.seq, vmx::name_of(f.field));
        std::ofstream file(path);
        file << core::finding_report_json(t, f, stepper.target().info());
        if (!file.flush())
            return core::fail(fmt::format("'{}' cannot be written.", path), "Is --reports a folder of yours?");
        remark("report: " + path);
    }
    return {};
}

bool print(const nested::Transition& t, bool json) {
    return say(json ? core::to_line(core::to_json(t)) + "\n" : core::transition_text(t, style()));
}

/// Prints the transition that a run stopped at. False when nobody reads it.
core::Result<bool> print_stop(Stepper& stepper, const core::Stop& stop, const Options& o, std::size_t& findings) {
    if (stop.seq == 0) {
        remark("Stopped; no transition has been seen yet.");
        return true;
    }
    const auto t = stepper.target().transition(stop.seq);
    if (!t) return tl::unexpected(t.error());
    if (const auto taken = take_findings(stepper, *t, o, findings); !taken) return tl::unexpected(taken.error());
    const bool read = print(*t, o.json);
    return !o.json && refused(*t) ? say(rule_text(stepper.target(), *t)) : read;
}

int count_steps(Stepper& stepper, const Options& o, std::uint64_t count) {
    const core::StepKind kind = *core::step_kind_by_name(o.kind);
    stepper.limit_waits(std::chrono::seconds(o.timeout));
    std::size_t findings = 0;
    for (std::uint64_t done = 0; count == 0 || done < count; ++done) {
        const auto stopped = stepper.run(kind);
        if (!stopped) {
            core::Error error = stopped.error();
            if (!interrupted() && count > 1) error.what += fmt::format(" {} of {} steps were made.", done, count);
            return complain(error);
        }
        const auto read = print_stop(stepper, stopped->stop, o, findings);
        if (!read) return complain(read.error());
        if (!*read) break;
    }
    if (findings != 0)
        remark(fmt::format("{} findings: what KVM did contradicts its rules (docs/reading-a-row.md).", findings));
    return kDone;
}

std::optional<std::optional<core::StepKind>> step_of(char key) {
    switch (key) {
        case '\n':
        case '\r':
        case 't': return core::StepKind::Transition;
        case 'n': return core::StepKind::Nested;
        case 'e': return core::StepKind::Entry;
        case 'x': return core::StepKind::Exit;
        case 'c': return std::optional<core::StepKind>{};
        default: return std::nullopt;
    }
}

int interactive(Stepper& stepper, const Options& o) {
    const RawTerminal raw;
    stepper.limit_waits(std::chrono::seconds(0));
    stepper.stop_on_key(true);
    remark(fmt::format("Attached to {}; every vCPU is held.\n{}", o.target, kKeys));
    std::size_t findings = 0;
    if (stepper.last_stop().seq != 0)
        if (const auto read = print_stop(stepper, stepper.last_stop(), o, findings); !read)
            return complain(read.error());
    while (const char key = next_key()) {
        if (key == 'q') return kDone;
        if (key == 'f') {
            const auto t = stepper.newest();
            if (!t) return complain(t.error());
            say(*core::fields_text(*t, "", style()));
        } else if (const auto step = step_of(key)) {
            const auto stopped = stepper.run(*step);
            if (!stopped) return complain(stopped.error());
            const auto read = print_stop(stepper, stopped->stop, o, findings);
            if (!read) return complain(read.error());
            if (!*read) return kDone;
        } else {
            remark(kKeys);
        }
    }
    return kInterrupted;
}

int step(const core::Backends& backends, const Options& o) {
    auto stepper = Stepper::attach(backends, o.target);
    if (!stepper) return complain(stepper.error());
    stepper->choose_vcpu(o.vcpu);
    // Attaching gives what is usual; setting it again would cost a round trip.
    const auto scope = *nested::evidence_scope_by_name(o.evidence);
    if (scope == nested::EvidenceScope::All)
        remark("Placing a probe at every VMREAD and VMWRITE of KVM's; in a lab that takes a minute.");
    if (scope != nested::EvidenceScope::Pdptrs)
        if (const auto set = stepper->target().set_evidence(scope); !set) return complain(set.error());
    const bool ask = !o.count && stdin_is_terminal();
    const int status = ask ? interactive(*stepper, o) : count_steps(*stepper, o, o.count.value_or(1));
    const auto left = stepper->target().detach();
    if (!left && status == kDone) return complain(left.error());
    if (status == kInterrupted) remark("Left; the guest runs on.");
    return status;
}

}  // namespace

void add_step_command(CLI::App& app, const core::Backends& backends, Run& run) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("step", "Step a nested guest from VM transition to VM transition");
    command->add_option("TARGET", o->target, "What to attach to: lab:NAME, kvm:PID, kvm, unix:PATH, tcp:HOST:PORT")
        ->required();
    command->add_option("-n", o->count, "This many steps, 0 without end (default: key by key on a terminal, else one)");
    command
        ->add_option("--kind", o->kind,
                     "How far a step goes: to the next transition, nested entry or exit, entry, exit")
        ->check(CLI::IsMember({"transition", "nested", "entry", "exit"}))
        ->capture_default_str();
    command
        ->add_option("--evidence", o->evidence,
                     "Which of KVM's VMREADs and VMWRITEs are watched: none, those of the PDPTRs, all (slow)")
        ->check(CLI::IsMember({"none", "pdptr", "all"}))
        ->capture_default_str();
    command->add_option("--reports", o->reports, "A folder for a report of each finding")
        ->check(CLI::ExistingDirectory);
    command->add_flag("--json", o->json, "One JSON object a line (see transition.schema.json)");
    command->add_option("--vcpu", o->vcpu, "Step this vCPU; the others run on between its stops");
    command->add_option("--timeout", o->timeout, "With -n: seconds to wait for one step, 0 without end")
        ->capture_default_str();
    command->footer(std::string(kExamples));
    command->callback([o, &backends, &run] { run = [o, &backends] { return step(backends, *o); }; });
}

}  // namespace vmxscope::app
