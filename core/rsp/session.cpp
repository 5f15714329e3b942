#include "core/rsp/session.h"

#include <fmt/format.h>

#include "core/rsp/monitor.h"
#include "core/rsp/objects.h"
#include "core/transition_text.h"

namespace vmxscope::core::rsp {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

/// gdb takes silence after `?` for a dead server after some seconds; a vCPU may be much longer in coming to a stop.
constexpr auto kFirstStopPatience = seconds(2);
/// A monitor command should end before its user thinks that gdb hangs; the interrupt may then take a moment.
constexpr auto kMonitorPatience = seconds(10);
constexpr auto kInterruptPatience = seconds(2);
constexpr std::size_t kConsolePiece = kMaxPacket / 4;  // of console output, in one packet

}  // namespace

Session::Session(Connection& connection, std::unique_ptr<Target> target)
    : connection_(connection), target_(std::move(target)), since_(steady_clock::now()) {}

Session::~Session() {
    // Nobody is left to be told when this fails, and the Target's destructor lets go as well.
    (void)target_->detach();
}

void Session::answer() {
    // gdb takes whatever comes during a monitor command for its output: what it sends then is answered afterwards.
    while (!over_ && awaiting_ != Awaiting::MonitorStep && !connection_.congested()) {
        const auto event = connection_.next();
        if (!event) return;
        if (event->what == Event::What::Interrupt) {
            interrupt();
        } else if (event->what == Event::What::Garbled) {
            connection_.send(error(fmt::format("What came makes no sense: {}.", event->text)));
        } else if (auto reply = dispatch(event->text)) {
            connection_.send(*reply);
        }
    }
}

std::string Session::error(std::string_view sentence) const {
    return error_strings_ ? "E01;" + to_hex(sentence) : error_reply(sentence, vmx_);
}

void Session::interrupt() {
    if (awaiting_ == Awaiting::Nothing) return;
    if (auto asked = target_->interrupt(); !asked) finish_wait(tl::unexpected(asked.error()));
}

void Session::watch(milliseconds limit) {
    auto found = target_->wait(limit);
    if (!found) return finish_wait(tl::unexpected(found.error()));
    if (*found) return finish_wait(**found);
    check_patience();
}

/// Ends a wait that the client would take for a hang.
void Session::check_patience() {
    const auto waited = steady_clock::now() - since_;
    if (awaiting_ == Awaiting::FirstStop && !vmx_ && waited > kFirstStopPatience) {
        // No vCPU has come to a VM-entry yet. All have been told to stop, which is what "attached" says.
        const auto vcpus = target_->vcpus();
        const std::uint32_t first = vcpus && !vcpus->empty() ? vcpus->front().id : 0;
        finish_wait(Stop{Stop::Why::Attached, first, 0, {}});
    } else if (awaiting_ == Awaiting::MonitorStep && !gave_up_ && waited > kMonitorPatience) {
        gave_up_ = true;
        interrupt();
    } else if (awaiting_ == Awaiting::MonitorStep && waited > kMonitorPatience + kInterruptPatience) {
        finish_wait(fail("No vCPU has come to a VM-entry: all are halted, or in user space.",
                         "They stop when they come to one; see: monitor info."));
    }
}

void Session::finish_wait(const Result<Stop>& outcome) {
    const Awaiting was = std::exchange(awaiting_, Awaiting::Nothing);
    if (outcome) stop_ = *outcome;
    if (was == Awaiting::MonitorStep) {
        const std::string text =
            outcome ? step_text(*target_, *outcome, monitor_kind_, gave_up_) : outcome.error().text() + "\n";
        return connection_.send(console_reply(text));
    }
    if (!outcome) return connection_.send(vmx_ ? failed_reply(outcome.error().text()) : error(outcome.error()));
    if (was == Awaiting::Run) announce(*outcome);
    connection_.send(report(*outcome));
}

/// What people are to read of a stop goes before its reply, as console output.
void Session::announce(const Stop& stop) {
    std::string line = stop.text;
    if (stop.why == Stop::Why::Transition && !vmx_ && !error_strings_) {
        if (const auto t = target_->transition(stop.seq)) line = headline(*t);
    }
    if (!line.empty()) connection_.send("O" + to_hex(line.substr(0, kConsolePiece - 1) + "\n"));
}

/// The answer to a monitor command; what does not fit one packet goes before it.
std::string Session::console_reply(std::string_view text) {
    for (; text.size() > kConsolePiece; text.remove_prefix(kConsolePiece))
        connection_.send("O" + to_hex(text.substr(0, kConsolePiece)));
    return to_hex(text);
}

/// Clients take the thread that stopped for the selected one, without saying so (gdb: record_currthread()).
std::string Session::report(const Stop& stop) {
    selected_ = stop.vcpu;
    return stop_reply(stop, multiprocess_) + (stop.why == Stop::Why::GuestGone ? "" : lldb_stop(stop));
}

Session::Reply Session::last_stop(std::string_view) {
    if (stop_) return report(*stop_);
    awaiting_ = Awaiting::FirstStop;
    since_ = steady_clock::now();
    return {};
}

Session::Reply Session::resume(const std::vector<Action>& actions) {
    if (awaiting_ != Awaiting::Nothing) return error("The guest already runs.");
    return run_after(target_->resume(actions));
}

Session::Reply Session::run_after(const Result<void>& resumed) {
    awaiting_ = Awaiting::Run;
    since_ = steady_clock::now();
    if (!resumed) finish_wait(tl::unexpected(resumed.error()));
    return {};
}

Session::Reply Session::vcont_actions(std::string_view) {
    return "vCont;c;C;s;S";
}

Session::Reply Session::vcont(std::string_view actions) {
    const auto parsed = parse_vcont(actions, step_);
    if (!parsed) return error(parsed.error());
    return resume(*parsed);
}

Session::Reply Session::continue_all(std::string_view) {
    return resume({Action{}});
}

Session::Reply Session::step_one(std::string_view) {
    return resume({Action{step_thread_.value_or(selected_vcpu()), step_}, Action{}});
}

Session::Reply Session::step_back(std::string_view) {
    if (awaiting_ != Awaiting::Nothing) return error("The guest already runs.");
    // Clients that know vmx+ name the thread with Hc, or mean any; others mean the one that is selected.
    const auto vcpu = step_thread_ || vmx_ ? step_thread_ : std::optional(selected_vcpu());
    return run_after(target_->resume_back(step_, vcpu));
}

Session::Reply Session::continue_back(std::string_view) {
    if (awaiting_ != Awaiting::Nothing) return error("The guest already runs.");
    return run_after(target_->resume_back(std::nullopt, std::nullopt));
}

Session::Reply Session::interrupt_packet(std::string_view) {
    interrupt();
    return "OK";
}

Session::Reply Session::step_kind(std::string_view name) {
    const auto kind = step_kind_by_name(name);
    if (!kind) return error(fmt::format("There is no step '{}'. The steps are: {}.", name, step_kinds()));
    step_ = *kind;
    return "OK";
}

Session::Reply Session::step_kind_asked(std::string_view) {
    return std::string(name_of(step_));
}

Session::Reply Session::evidence_scope(std::string_view name) {
    const auto scope = nested::evidence_scope_by_name(name);
    if (!scope) return error(fmt::format("There is no evidence '{}'. There is: {}.", name, evidence_scopes()));
    auto set = target_->set_evidence(*scope);
    return set ? std::string("OK") : error(set.error());
}

Session::Reply Session::record_settings(std::string_view text) {
    const auto settings = parse_record(text);
    if (!settings) return error(fmt::format("'{}' is not FIELDS,EVIDENCE,LOSS: for instance verdict,none,lossy.", text));
    if (awaiting_ != Awaiting::Nothing) return error("The guest runs: interrupt it first.");
    auto set = target_->record(*settings);
    return set ? std::string("OK") : error(set.error());
}

Session::Reply Session::detach(std::string_view) {
    over_ = true;
    awaiting_ = Awaiting::Nothing;
    auto left = target_->detach();
    return left ? std::string("OK") : error(left.error());
}

/// `k` has no reply. gdb sends it to end a debug session; ending the guest is not what this server is for.
Session::Reply Session::kill(std::string_view) {
    over_ = true;
    return {};
}

Session::Reply Session::kill_process(std::string_view) {
    return error("vmxscope does not kill guests. Use detach: the guest then runs on.");
}

Session::Reply Session::monitor(std::string_view hex) {
    const auto text = from_hex(hex);
    if (!text) return error("A monitor command came that is not hexadecimal.");
    const auto command = parse_monitor(*text);
    if (!command) return console_reply(command.error().text() + "\n");
    switch (command->verb) {
        case MonitorCommand::Verb::Step:
            return monitor_step(command->kind);
        case MonitorCommand::Verb::Stepi:
            step_ = command->kind;
            return console_reply(fmt::format("stepi now runs to the next {}.\n", describe(step_)));
        case MonitorCommand::Verb::Space:
            return console_reply(monitor_space(command->space));
        default:
            break;
    }
    const auto answer = monitor_text(*command, *target_, newest(selected_vcpu()));
    return console_reply(answer ? *answer : answer.error().text() + "\n");
}

Session::Reply Session::monitor_step(StepKind kind) {
    if (auto resumed = target_->resume({Action{selected_vcpu(), kind}, Action{}}); !resumed)
        return console_reply(resumed.error().text() + "\n");
    awaiting_ = Awaiting::MonitorStep;
    since_ = steady_clock::now();
    monitor_kind_ = kind;
    gave_up_ = false;
    return {};
}

}  // namespace vmxscope::core::rsp
