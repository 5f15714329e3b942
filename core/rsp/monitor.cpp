#include "core/rsp/monitor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "core/rsp/packet.h"
#include "core/transition_text.h"

namespace vmxscope::core::rsp {

namespace {

constexpr nested::EvidenceScope kScopes[] = {nested::EvidenceScope::None, nested::EvidenceScope::Pdptrs,
                                             nested::EvidenceScope::All};

constexpr std::size_t kMaxRegex = 200;

constexpr std::string_view kHelp =
    "monitor pdptr          what KVM did with the PDPTRs at this transition, and why\n"
    "monitor fields REGEX   the fields whose name matches, in vmcs12 and vmcs02\n"
    "monitor stepi KIND     what gdb's stepi means from now on: transition, nested, entry or exit\n"
    "monitor step KIND      one such step now (gdb does not notice; prefer the command above)\n"
    "monitor evidence SCOPE which of KVM's VMREADs and VMWRITEs are watched from now on: none, pdptr or all\n"
    "monitor info           the guest, its vCPUs, and what could not be probed\n"
    "\n"
    "One field as a value of gdb's: p/x $vmcs12_guest_cr3, p $vmcs02_guest_cr0.\n"
    "A rip of 0x8000000000000000 means that nobody has read it yet.\n"
    "info threads lists the vCPUs; thread N chooses whose transition all of this is about.\n";

constexpr std::pair<std::string_view, MonitorCommand::Verb> kVerbs[] = {
    {"help", MonitorCommand::Verb::Help},   {"info", MonitorCommand::Verb::Info},
    {"pdptr", MonitorCommand::Verb::Pdptr}, {"fields", MonitorCommand::Verb::Fields},
    {"step", MonitorCommand::Verb::Step},   {"stepi", MonitorCommand::Verb::Stepi},
    {"evidence", MonitorCommand::Verb::Evidence},
};

std::string_view trimmed(std::string_view s) {
    constexpr std::string_view blanks = " \t\r\n";
    const std::size_t first = s.find_first_not_of(blanks);
    return first == std::string_view::npos ? std::string_view{}
                                           : s.substr(first, s.find_last_not_of(blanks) - first + 1);
}

std::string_view summary(VcpuState state) {
    switch (state) {
        case VcpuState::Held:
            return "held before its next VM-entry";
        case VcpuState::Running:
            return "running";
        case VcpuState::Waiting:
            return "told to stop, not yet at a VM-entry";
        case VcpuState::Gone:
            return "gone";
    }
    return "?";
}

Result<std::string> info_text(Target& target) {
    const TargetInfo& i = target.info();
    std::string text = fmt::format("{}: process {}, KVM of Linux {} on {}\n", i.name, i.pid, i.kernel, i.cpu);
    const auto vcpus = target.vcpus();
    if (!vcpus) return tl::unexpected(vcpus.error());
    for (const Vcpu& v : *vcpus)
        text +=
            fmt::format("vCPU {}: {}{}{}\n", v.id, summary(v.state), v.level ? fmt::format(", in L{}", *v.level) : "",
                        v.last_seq != 0 ? fmt::format(", at transition {}", v.last_seq) : "");
    const auto history = target.history();
    if (!history) return tl::unexpected(history.error());
    text += history->last == 0 ? "No transition yet.\n"
                               : fmt::format("Transitions {} to {} are kept.\n", history->first, history->last);
    if (history->lost != 0) text += fmt::format("{} records were lost for want of room.\n", history->lost);
    for (const std::string& note : i.notes) text += "note: " + note + "\n";
    return text;
}

}  // namespace

std::string step_kinds() {
    std::vector<std::string_view> names;
    for (StepKind k : kTransitionSteps) names.push_back(name_of(k));
    return fmt::format("{}", fmt::join(names, ", "));
}

std::string evidence_scopes() {
    std::vector<std::string_view> names;
    for (nested::EvidenceScope s : kScopes) names.push_back(nested::name_of(s));
    return fmt::format("{}", fmt::join(names, ", "));
}

std::string_view describe(StepKind kind) {
    switch (kind) {
        case StepKind::Transition:
            return "transition of any kind";
        case StepKind::Nested:
            return "nested entry or exit";
        case StepKind::Entry:
            return "nested entry";
        case StepKind::Exit:
            return "nested exit";
        case StepKind::Instruction:
            return "instruction";
    }
    return "?";
}

Result<MonitorCommand> parse_monitor(std::string_view text) {
    std::string_view rest = trimmed(text);
    const std::string_view word = take_until(rest, ' ');
    rest = trimmed(rest);
    MonitorCommand command;
    const auto verb =
        std::find_if(std::begin(kVerbs), std::end(kVerbs), [&](const auto& v) { return v.first == word; });
    if (verb == std::end(kVerbs))
        return fail(fmt::format("There is no command 'monitor {}'.", word), "See: monitor help.");
    command.verb = verb->second;
    switch (command.verb) {
        case MonitorCommand::Verb::Fields:
            // Deeply nested expressions overflow the stack of std::regex.
            if (rest.size() > kMaxRegex)
                return fail(
                    fmt::format("A regular expression of more than {} characters is not looked for.", kMaxRegex));
            command.regex = rest;
            break;
        case MonitorCommand::Verb::Step:
        case MonitorCommand::Verb::Stepi: {
            const auto kind = step_kind_by_name(rest.empty() ? name_of(StepKind::Transition) : rest);
            if (!kind)
                return fail(fmt::format("There is no step '{}'.", rest),
                            fmt::format("The steps are: {}.", step_kinds()));
            command.kind = *kind;
            break;
        }
        case MonitorCommand::Verb::Evidence: {
            const auto scope = nested::evidence_scope_by_name(rest);
            if (!scope)
                return fail(fmt::format("There is no evidence '{}'.", rest),
                            fmt::format("There is: {}.", evidence_scopes()));
            command.scope = *scope;
            break;
        }
        default:
            if (!rest.empty())
                return fail(fmt::format("'monitor {}' takes nothing after it, and '{}' came.", word, rest));
    }
    return command;
}

Result<std::string> monitor_text(const MonitorCommand& command, Target& target, const nested::Transition* newest) {
    if (command.verb == MonitorCommand::Verb::Help) return std::string(kHelp);
    if (command.verb == MonitorCommand::Verb::Info) return info_text(target);
    if (command.verb == MonitorCommand::Verb::Evidence)
        return target.set_evidence(command.scope).map([&] {
            return fmt::format("Evidence from the next transition on: {}.\n", nested::name_of(command.scope));
        });
    if (newest == nullptr) return fail("This vCPU has come to no transition yet.", "Step first: stepi.");
    if (command.verb == MonitorCommand::Verb::Pdptr) return pdptr_text(*newest);
    return fields_text(*newest, command.regex);
}

std::string step_text(Target& target, const Stop& stop, StepKind kind, bool gave_up) {
    if (stop.why == Stop::Why::GuestGone) return fmt::format("The guest has ended. {}\n", stop.text);
    std::string text = stop.why == Stop::Why::End ? stop.text + "\n" : "";
    if (gave_up) text += fmt::format("No {} came in ten seconds; the guest was stopped where it is.\n", describe(kind));
    if (stop.seq != 0) {
        const auto t = target.transition(stop.seq);
        text += (t ? headline(*t) : t.error().text()) + "\n";
    }
    return text +
           "gdb has not noticed this step. Tell it with: maintenance flush register-cache\n"
           "or step so that it does: monitor stepi " +
           std::string(name_of(kind)) + ", then stepi.\n";
}

}  // namespace vmxscope::core::rsp
