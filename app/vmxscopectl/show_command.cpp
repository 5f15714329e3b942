#include "app/vmxscopectl/show_command.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "app/vmxscopectl/stepper.h"
#include "core/flow_report.h"
#include "core/register_text.h"
#include "core/transition_json.h"
#include "core/transition_text.h"
#include "nested/lineage.h"

namespace vmxscope::app {
namespace {

struct Options {
    std::string target, fields, field, evidence = "pdptr";
    bool changed = false, json = false, flow = false;
    std::optional<std::uint32_t> vcpu;
    std::uint32_t timeout = 120;
    bool wants_fields() const { return !changed || !fields.empty(); }
};

constexpr std::string_view kExamples =
    "Shows the newest transition; when none has been seen yet, the guest first runs to its next nested entry or exit.\n"
    "\n"
    "Examples:\n"
    "  vmxscopectl show kvm                            every field of the only nested guest here\n"
    "  vmxscopectl show kvm:1234 --fields 'pdptr|cr3'  the PDPTRs and the CR3s\n"
    "  vmxscopectl show lab:pae-ept --changed          what the transition changed\n"
    "  vmxscopectl show kvm --flow --fields 'controls' where the control words came from\n"
    "  vmxscopectl show kvm --field GUEST_CR0 --evidence all\n"
    "                                                  all about one field, with who read and wrote it\n"
    "  vmxscopectl show kvm --json | jq .pdptr.verdict";

/// What is known of the time before `t`: since when its values are what they are. The newest of what is kept suffice.
nested::Lineages past_of(core::Target& target, const nested::Transition& t) {
    constexpr std::uint64_t most = 300;
    nested::Lineages past;
    const auto kept = target.history();
    if (!kept) return past;
    for (std::uint64_t seq = std::max(kept->first, t.seq > most ? t.seq - most : 1); seq < t.seq; ++seq)
        if (const auto before = target.transition(seq)) past.take(*before);
    return past;
}

core::Result<std::string> render(const nested::Transition& t, const nested::Flow& flow, const Options& o) {
    if (o.json) {
        core::Json json = core::to_json(t);
        if (o.wants_fields()) {
            const auto fields = core::matching_fields(o.fields);
            if (!fields) return tl::unexpected(fields.error());
            json["fields"] = core::Json::array();
            for (const vmx::Field f : *fields) {
                json["fields"].push_back(core::field_to_json(t, f));
                if (o.flow) json["fields"].back()["flow"] = core::flow_to_json(t, flow, f);
            }
        }
        return core::to_line(json) + "\n";
    }
    const core::Style style = stdout_is_terminal() ? core::Style::Colour : core::Style::Plain;
    if (!o.field.empty()) return core::field_report(t, flow, *vmx::field_by_name(o.field));
    std::string text = core::transition_text(t, style);
    if (!o.wants_fields()) return text;
    const auto fields = o.flow ? core::flow_rows(t, flow, o.fields, style) : core::fields_text(t, o.fields, style);
    if (!fields) return tl::unexpected(fields.error());
    return text + *fields;
}

/// Of a target without transitions.
int show_registers(Stepper& stepper, const Options& o) {
    core::Stop stop = stepper.last_stop();
    stop.vcpu = o.vcpu.value_or(stop.vcpu);
    const auto registers = stepper.target().registers(stop.vcpu);
    const auto left = stepper.target().detach();
    if (!registers) return complain(registers.error());
    say(o.json ? core::to_line(core::registers_json(stop, *registers)) + "\n" : core::registers_text(stop, *registers, true));
    return left ? kDone : complain(left.error());
}

int show(const core::Backends& backends, const Options& o) {
    if (const auto ok = core::matching_fields(o.fields); !ok) return complain(ok.error());  // before a slow attach
    if (!o.field.empty() && !vmx::field_by_name(o.field))
        return complain({fmt::format("There is no VMCS field '{}'.", o.field),
                         "Fields are named as in KVM: GUEST_CR3. See them with --fields."});
    auto stepper = Stepper::attach(backends, o.target);
    if (!stepper) return complain(stepper.error());
    stepper->choose_vcpu(o.vcpu);
    stepper->limit_waits(std::chrono::seconds(o.timeout));
    if (!stepper->target().can(core::Ability::Transitions)) return show_registers(*stepper, o);
    const auto scope = *nested::evidence_scope_by_name(o.evidence);
    if (scope != nested::EvidenceScope::Pdptrs)
        if (const auto set = stepper->target().set_evidence(scope); !set) return complain(set.error());
    auto t = stepper->newest();
    // What lies before the evidence was asked for has none of it, and several transitions may.
    while (t && scope == nested::EvidenceScope::All && t->evidence_scope != scope) {
        if (const auto stopped = stepper->run(core::StepKind::Nested); !stopped) return complain(stopped.error());
        t = stepper->newest();
    }
    const bool asks_since = t && (o.flow || !o.field.empty());
    const nested::Lineages past = asks_since ? past_of(stepper->target(), *t) : nested::Lineages{};
    const auto left = stepper->target().detach();
    if (!t) return complain(t.error());
    const auto text = render(*t, nested::flow_of(*t, past.of(t->vcpu)), o);
    if (!text) return complain(text.error());
    say(*text);
    return left ? kDone : complain(left.error());
}

}  // namespace

void add_show_command(CLI::App& app, const core::Backends& backends, Run& run) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("show", "Show vmcs12 beside vmcs02, and the PDPTR verdict");
    command->add_option("TARGET", o->target, "What to attach to: lab:NAME, kvm:PID, kvm, unix:PATH, tcp:HOST:PORT")
        ->required();
    command->add_option("--fields", o->fields, "Only fields whose names match this regular expression, in either case");
    command->add_flag("--flow", o->flow, "Where each value came from, and whether it is what KVM's rules make of it");
    command->add_option("--field", o->field, "Everything about one field: its rule, its parts, every access seen");
    command
        ->add_option("--evidence", o->evidence,
                     "Which of KVM's VMREADs and VMWRITEs are watched: none, those of the PDPTRs, all (slow)")
        ->check(CLI::IsMember({"none", "pdptr", "all"}))
        ->capture_default_str();
    command->add_flag("--changed", o->changed, "What the transition changed, instead of every field");
    command->add_flag("--json", o->json, "One JSON object (see transition.schema.json)");
    command->add_option("--vcpu", o->vcpu, "The newest transition of this vCPU");
    command->add_option("--timeout", o->timeout, "Seconds to wait for a first transition, 0 without end")
        ->capture_default_str();
    command->footer(std::string(kExamples));
    command->callback([o, &backends, &run] { run = [o, &backends] { return show(backends, *o); }; });
}

}  // namespace vmxscope::app
