#include "core/rsp/monitor.h"

#include <fmt/format.h>

#include "core/transition_text.h"

namespace vmxscope::core::rsp {

namespace {

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

Result<std::string> monitor_text(const MonitorCommand& command, Target& target, const nested::Transition* newest) {
    if (command.verb == MonitorCommand::Verb::Help) return help_text(command.text);
    if (command.verb == MonitorCommand::Verb::Info) return info_text(target);
    if (command.verb == MonitorCommand::Verb::Evidence)
        return target.set_evidence(command.scope).map([&] {
            return fmt::format("Evidence from the next transition on: {}.\n", nested::name_of(command.scope));
        });
    if (newest == nullptr) return fail("This vCPU has come to no transition yet.", "Step first: stepi.");
    if (command.verb == MonitorCommand::Verb::Pdptr) return pdptr_text(*newest);
    return fields_text(*newest, command.text);
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
