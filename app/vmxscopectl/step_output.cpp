#include "app/vmxscopectl/step_output.h"

#include <fstream>

#include <fmt/format.h>

#include "app/vmxscopectl/command.h"
#include "core/entry_report.h"
#include "core/flow_report.h"
#include "core/register_text.h"
#include "core/transition_json.h"
#include "vmx/exit_reason.h"

namespace vmxscope::app {
namespace {

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

}  // namespace

core::Style style() {
    return stdout_is_terminal() ? core::Style::Colour : core::Style::Plain;
}

core::Result<void> StepOutput::take_findings(const core::Target& target, const nested::Transition& t) {
    const nested::Flow flow = nested::flow_of(t);
    findings_ += flow.findings.size();
    if (reports_.empty()) return {};
    for (const nested::Finding& f : flow.findings) {
        const std::string path = fmt::format("{}/finding-{}-{}.json", reports_, t.seq, vmx::name_of(f.field));
        std::ofstream file(path);
        file << core::finding_report_json(t, f, target.info());
        if (!file.flush())
            return core::fail(fmt::format("'{}' cannot be written.", path), "Is --reports a folder of yours?");
        remark("report: " + path);
    }
    return {};
}

core::Result<bool> StepOutput::show(core::Target& target, const nested::Transition& t) {
    if (const auto taken = take_findings(target, t); !taken) return tl::unexpected(taken.error());
    const bool read = say(json_ ? core::to_line(core::to_json(t)) + "\n" : core::transition_text(t, style()));
    return !json_ && refused(t) ? say(rule_text(target, t)) : read;
}

core::Result<bool> StepOutput::show(core::Target& target, const core::Stop& stop) {
    if (!target.can(core::Ability::Transitions)) {
        const auto registers = target.registers(stop.vcpu);
        if (!registers) return tl::unexpected(registers.error());
        return say(json_ ? core::to_line(core::registers_json(stop, *registers)) + "\n"
                         : core::registers_text(stop, *registers, false));
    }
    if (stop.seq == 0) {
        remark("Stopped; no transition has been seen yet.");
        return true;
    }
    const auto t = target.transition(stop.seq);
    if (!t) return tl::unexpected(t.error());
    return show(target, *t);
}

void StepOutput::conclude() const {
    if (findings_ != 0)
        remark(fmt::format("{} findings: what KVM did contradicts its rules (docs/reading-a-row.md).", findings_));
}

}  // namespace vmxscope::app
