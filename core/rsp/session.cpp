#include "core/rsp/session.h"

#include <fmt/format.h>

#include "core/past_target.h"
#include "core/rsp/objects.h"

namespace vmxscope::core::rsp {

using std::chrono::steady_clock;

namespace {

constexpr std::size_t kConsolePiece = kMaxPacket / 4;  // of console output, in one packet

/// The commands that are not for those who only look.
bool drives(MonitorCommand::Verb verb) {
    using enum MonitorCommand::Verb;
    return verb == Step || verb == Evidence || verb == Break || verb == Delete || verb == Goto || verb == Back;
}

}  // namespace

Guest::Guest(std::unique_ptr<Target> made, std::string driven_by)
    : target(with_past(std::move(made))), driver(std::move(driven_by)) {}

Session::Session(Connection& connection, std::shared_ptr<Guest> guest, Role role)
    : connection_(connection),
      guest_(std::move(guest)),
      target_(&guest_->target),
      stop_(guest_->stop),
      drives_(role == Role::Drives),
      since_(steady_clock::now()) {}

Session::~Session() {
    // Nobody is left to be told when this fails, and the Target's destructor lets go as well.
    if (drives_) (void)target_->detach();
}

bool Session::answer(std::size_t packets) {
    // gdb takes whatever comes during a monitor command for its output: what it sends then is answered afterwards.
    for (; !over_ && awaiting_ != Awaiting::MonitorStep && !connection_.congested(); --packets) {
        if (packets == 0) return true;
        const auto event = connection_.next();
        if (!event) return false;
        if (event->what == Event::What::Interrupt) {
            interrupt();
        } else if (event->what == Event::What::Garbled) {
            connection_.send(error(fmt::format("What came makes no sense: {}.", event->text)));
        } else if (auto reply = dispatch(event->text)) {
            connection_.send(*reply);
        }
    }
    return false;
}

std::string Session::error(std::string_view sentence) const {
    return error_strings_ ? "E01;" + to_hex(sentence) : error_reply(sentence, vmx_);
}

/// The answer to a monitor command; what does not fit one packet goes before it.
std::string Session::console_reply(std::string_view text) {
    for (; text.size() > kConsolePiece; text.remove_prefix(kConsolePiece))
        connection_.send("O" + to_hex(text.substr(0, kConsolePiece)));
    return to_hex(text);
}

Session::Reply Session::step_kind(std::string_view name) {
    const auto kind = step_kind_by_name(name);
    if (!kind || *kind == StepKind::Instruction)
        return error(fmt::format("There is no step '{}'. The steps are: {}.", name, step_kinds()));
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
    running_.clear();
    later_.clear();
    auto left = drives_ ? target_->detach() : Result<void>{};
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
    if (!drives_ && drives(command->verb)) return console_reply(only_looks() + "\n");
    using enum MonitorCommand::Verb;
    switch (command->verb) {
        case Step:
        case Back:
        case Goto:
            return monitor_drive(*command);
        case Stepi:
            step_ = command->kind;
            return console_reply(fmt::format("stepi now runs to the next {}.\n", describe(step_)));
        case MonitorCommand::Verb::Space:
            return console_reply(monitor_space(command->space));
        case Break:
            return console_reply(add_break(command->text));
        case Breaks:
            return console_reply(break_list());
        case Delete: {
            const auto removed = target_->remove(command->number);
            return console_reply(removed ? fmt::format("Break {} is no more.\n", command->number)
                                         : removed.error().text() + "\n");
        }
        case Ledger:
            return console_reply(monitor_ledger());
        default:
            break;
    }
    auto answer = monitor_text(*command, *target_, newest(selected_vcpu()));
    if (answer && command->verb == Info && !guest_->recorded_into.empty())
        *answer += fmt::format("This session is recorded into {}.\n", guest_->recorded_into.string());
    return console_reply(answer ? *answer : answer.error().text() + "\n");
}

}  // namespace vmxscope::core::rsp
