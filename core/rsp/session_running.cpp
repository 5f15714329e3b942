// The packets that let the guest run, and its stops.
#include <fmt/format.h>

#include <algorithm>

#include "core/rsp/session.h"
#include "core/transition_text.h"
#include "nested/transition_codec.h"

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
constexpr std::size_t kConsoleLine = kMaxPacket / 4;
/// What of a stop reply is left for a transition, even if all its bytes must be escaped.
constexpr std::size_t kMostDelivered = kMaxPacket / 2 - 2 * 4096;

}  // namespace

void Session::await(Awaiting what) {
    awaiting_ = what;
    guest_->runs = what != Awaiting::Nothing;
    since_ = steady_clock::now();
}

void Session::interrupt() {
    if (!drives_) return;
    if (non_stop_) {
        for (const std::uint32_t vcpu : running_) (void)target_->interrupt_one(vcpu);
        return;
    }
    if (awaiting_ == Awaiting::Nothing) return;
    if (auto asked = target_->interrupt(); !asked) finish_wait(tl::unexpected(asked.error()));
}

void Session::watch(milliseconds limit) {
    if (non_stop_) return watch_non_stop(limit);
    auto found = target_->wait(limit);
    if (!found) return finish_wait(tl::unexpected(found.error()));
    if (*found) return finish_wait(**found);
    check_patience();
}

/// Ends a wait that the client would take for a hang.
void Session::check_patience() {
    const auto waited = steady_clock::now() - since_;
    const bool first = awaiting_ == Awaiting::FirstStop || awaiting_ == Awaiting::NonStop;
    if (first && !vmx_ && waited > kFirstStopPatience) {
        // No vCPU has come to a VM-entry yet. All have been told to stop, which is what "attached" says.
        const auto vcpus = target_->vcpus();
        const std::uint32_t id = vcpus && !vcpus->empty() ? vcpus->front().id : 0;
        finish_wait(Stop{Stop::Why::Attached, id, 0, {}});
    } else if (awaiting_ == Awaiting::MonitorStep && !gave_up_ && waited > kMonitorPatience) {
        gave_up_ = true;
        interrupt();
    } else if (awaiting_ == Awaiting::MonitorStep && waited > kMonitorPatience + kInterruptPatience) {
        finish_wait(fail("No vCPU has come to a VM-entry: all are halted, or in user space.",
                         "They stop when they come to one; see: monitor info."));
    }
}

void Session::finish_wait(const Result<Stop>& outcome) {
    const Awaiting was = awaiting_;
    await(Awaiting::Nothing);
    if (outcome) stop_ = *outcome;
    if (was == Awaiting::MonitorStep) {
        const std::string text =
            outcome ? step_text(*target_, *outcome, monitor_kind_, gave_up_) : outcome.error().text() + "\n";
        return connection_.send(console_reply(text));
    }
    if (!outcome) return connection_.send(vmx_ ? failed_reply(outcome.error().text()) : error(outcome.error()));
    if (was == Awaiting::NonStop) {
        if (auto begun = begin_non_stop()) connection_.send(*begun);
        return;
    }
    if (was == Awaiting::Run) announce(*outcome);
    connection_.send(report(*outcome));
}

/// What people are to read of a stop goes before its reply, as console output.
void Session::announce(const Stop& stop) {
    const bool transition = stop.why == Stop::Why::Transition;
    const bool reads = vmx_ || error_strings_;  // they show a transition in their own way
    std::string text = transition && vmx_ ? "" : stop.text;
    if (transition && !reads) {
        if (const auto* t = at_stop(stop)) text += (text.empty() ? "" : "\n") + headline(*t);
    }
    if (!text.empty()) connection_.send("O" + to_hex(text.substr(0, kConsoleLine - 1) + "\n"));
}

/// The transition that it stopped at; null if it is none, or is kept no more.
const nested::Transition* Session::at_stop(const Stop& stop) {
    if (stop.why != Stop::Why::Transition || stop.seq == 0) return nullptr;
    if (newest_.seq != stop.seq) {
        auto read = target_->transition(stop.seq);
        if (!read) return nullptr;
        newest_ = std::move(*read);
    }
    return &newest_;
}

/// Clients take the thread that stopped for the selected one, without saying so (gdb: record_currthread()).
std::string Session::report(const Stop& stop) {
    selected_ = stop.vcpu;
    std::string data;
    if (deliver_)
        if (const auto* t = at_stop(stop)) data = nested::encode(*t);
    if (data.size() > kMostDelivered) data.clear();
    const bool told = asked_.erase(stop.vcpu) != 0 && stop.why == Stop::Why::Interrupted;
    const bool asked = told || (non_stop_ && stop.why == Stop::Why::Attached);
    const std::string reply = stop_reply(stop, multiprocess_, {asked, back_, breakpoint_at(stop), vmx_, data});
    const bool lldb = error_strings_ || lists_threads_;  // others are spared the reading of another transition
    if (stop.why == Stop::Why::GuestGone || !lldb) return reply;
    remember_counter(stop);
    return for_lldb(reply, stop);
}

/// One who only looks is never kept waiting for a stop: it is told where the guest was last.
Session::Reply Session::last_stop(std::string_view) {
    while (!breakpoints_.empty()) {  // left by a client that begins anew
        (void)target_->remove_breakpoint(breakpoints_.begin()->first);
        breakpoints_.erase(breakpoints_.begin());
    }
    if (non_stop_) return first_of_the_stopped();
    if (awaiting_ == Awaiting::Run) return error("The guest runs: interrupt it first.");
    if (stop_) return report(*stop_);
    if (!drives_) return report(Stop{Stop::Why::Attached, selected_vcpu(), 0, {}});
    await(Awaiting::FirstStop);
    return {};
}

Session::Reply Session::resume(const std::vector<Action>& actions) {
    tell_of_addresses();
    return run_after(target_->resume(actions));
}

Session::Reply Session::run_after(const Result<void>& resumed, bool back) {
    await(Awaiting::Run);
    back_ = back;
    if (!resumed) finish_wait(tl::unexpected(resumed.error()));
    return {};
}

Session::Reply Session::vcont_actions(std::string_view) {
    return "vCont;c;C;s;S;t;r";
}

Session::Reply Session::vcont(std::string_view text) {
    const auto parsed = parse_vcont(text);
    if (!parsed) return error(parsed.error());
    for (const ThreadAction& a : *parsed) {
        if (!a.vcpu) continue;
        const auto vcpu = find_vcpu(*a.vcpu);
        if (!vcpu && no_resumed_ && parsed->size() == 1 && !non_stop_) return "N";
        if (!vcpu) return error(vcpu.error());
    }
    if (non_stop_) return vcont_non_stop(*parsed);
    std::vector<Action> actions;
    for (const ThreadAction& a : *parsed) {
        if (a.what == ThreadAction::What::Stop) return error("In all-stop mode vCont;t has no meaning: send 0x03.");
        actions.push_back({a.vcpu, a.what == ThreadAction::What::Step ? std::optional(step_) : std::nullopt});
    }
    return resume(actions);
}

Session::Reply Session::continue_all(std::string_view) {
    if (non_stop_) return error("In non-stop mode threads are resumed by vCont.");
    return resume({Action{}});
}

Session::Reply Session::step_one(std::string_view) {
    if (non_stop_) return error("In non-stop mode threads are resumed by vCont.");
    return resume({Action{step_thread_.value_or(selected_vcpu()), step_}, Action{}});
}

Session::Reply Session::step_back(std::string_view) {
    // Clients that know vmx+ name the thread with Hc, or mean any; others mean the one that is selected.
    const auto vcpu = step_thread_ || vmx_ ? step_thread_ : std::optional(selected_vcpu());
    return run_after(target_->resume_back(step_, vcpu), true);
}

Session::Reply Session::continue_back(std::string_view) {
    tell_of_addresses();
    return run_after(target_->resume_back(std::nullopt, std::nullopt), true);
}

Session::Reply Session::go_to(std::string_view number) {
    const auto seq = parse_decimal(number);
    if (!seq) return error(fmt::format("'{}' is not the number of a transition.", number));
    return run_after(target_->go_to(*seq), true);
}

Session::Reply Session::interrupt_packet(std::string_view) {
    interrupt();
    return "OK";
}

Session::Reply Session::deliver(std::string_view yes) {
    if (yes != "0" && yes != "1") return error("QVmxDeliver wants 1 or 0.");
    deliver_ = yes == "1";
    return "OK";
}

/// The commands that move the guest without gdb's knowledge.
Session::Reply Session::monitor_drive(const MonitorCommand& command) {
    if (awaiting_ != Awaiting::Nothing || !running_.empty()) return console_reply("The guest already runs.\n");
    if (non_stop_) return console_reply("In non-stop mode each vCPU is stepped for itself: use stepi.\n");
    using enum MonitorCommand::Verb;
    const std::uint32_t vcpu = selected_vcpu();
    const auto moved = command.verb == Step   ? target_->resume({Action{vcpu, command.kind}, Action{}})
                       : command.verb == Back ? target_->resume_back(command.kind, vcpu)
                                              : target_->go_to(command.number);
    if (!moved) return console_reply(moved.error().text() + "\n");
    await(Awaiting::MonitorStep);
    monitor_kind_ = command.kind;
    back_ = command.verb == Back;
    gave_up_ = false;
    return {};
}

}  // namespace vmxscope::core::rsp
