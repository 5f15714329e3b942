#include "app/vmxscopectl/time_commands.h"

#include <memory>

#include <fmt/format.h>

#include "app/vmxscopectl/seen.h"
#include "app/vmxscopectl/slow_progress.h"
#include "app/vmxscopectl/step_output.h"
#include "app/vmxscopectl/stepper.h"
#include "core/query/columns.h"
#include "core/transition_json.h"
#include "core/transition_text.h"

namespace vmxscope::app {
namespace {

using core::FieldChange;

constexpr std::string_view kWhere =
    "#1200 (a number), +1.5ms (a time since the first), first, last, or an expression: the "
    "first transition that it holds for";

core::Result<Seen> seen_of_file(const std::string& file) {
    auto seen = Seen::of_file(trace_file_of(file).value_or(file));
    if (seen)
        for (const std::string& gap : seen->line().gaps()) remark(gap);
    return seen;
}

// ---- goto

struct GotoOptions {
    std::string target, where, fields;
    bool json = false;
};

/// The whole of a guest's past as its agent keeps it; the guest is let go at once.
core::Result<Seen> seen_of(const core::Backends& backends, const std::string& target) {
    if (trace_file_of(target)) return seen_of_file(target);
    auto stepper = Stepper::attach(backends, target);
    if (!stepper) return tl::unexpected(stepper.error());
    auto seen = Seen::of(stepper->target());
    if (!seen) return seen;
    if (const auto ok = seen->catch_up(stepper->target()); !ok) return tl::unexpected(ok.error());
    if (const auto left = stepper->target().detach(); !left) return tl::unexpected(left.error());
    return seen;
}

int go(const core::Backends& backends, const GotoOptions& o) {
    const auto fields = core::matching_fields(o.fields);  // before a slow attach
    if (!fields) return complain(fields.error());
    const auto seen = seen_of(backends, o.target);
    if (!seen) return complain(seen.error());
    const auto seq = moment_of(seen->line(), o.where);
    if (!seq) return complain(seq.error());
    const auto t = seen->line().transition(*seq);
    if (!t) return complain(t.error());
    if (o.json) {
        core::Json json = core::to_json(*t);
        if (!o.fields.empty())
            for (const vmx::Field f : *fields)
                json["fields"].push_back(core::field_to_json(*t, f));
        say(core::to_line(json) + "\n");
        return kDone;
    }
    say(core::transition_text(*t, style()));
    if (!o.fields.empty()) say(*core::fields_text(*t, o.fields, style()));
    return kDone;
}

// ---- history

struct HistoryOptions {
    std::string file, field;
    bool vmcs02 = false, vmcs12 = false, json = false;
    std::optional<std::uint32_t> vcpu;
    std::optional<std::uint64_t> entry_before;
    std::size_t limit = 100;
};

std::string change_text(const FieldChange& c) {
    return fmt::format("#{:<9} {:<19} {} -> {}  {}\n", c.seq, nested::name_of(c.kind), core::value_text(c.before),
                       core::value_text(c.after), c.who);
}

std::string change_json(const FieldChange& c) {
    return core::to_line({{"seq", c.seq},
                          {"vcpu", c.vcpu},
                          {"kind", nested::name_of(c.kind)},
                          {"before", core::value_text(c.before)},
                          {"after", core::value_text(c.after)},
                          {"who", c.who}}) +
           "\n";
}

core::Result<std::vector<FieldChange>> changes_of(const core::Timeline& line, const HistoryOptions& o,
                                                  vmx::Field field) {
    const core::Which which = o.vmcs02 ? core::Which::Vmcs02 : core::Which::Vmcs12;
    std::uint32_t vcpu = o.vcpu.value_or(0);
    if (!o.vcpu) {
        const auto begin = line.digests_at(line.first());
        if (!begin) return tl::unexpected(begin.error());
        if (!begin->empty()) vcpu = begin->front().vcpu;
    }
    SlowProgress progress("searching");
    const auto searching = [&](double done) { return progress.tell(done); };
    if (!o.entry_before) return field_history(line, which, field, vcpu, line.last(), o.limit, searching);
    const auto change = last_change(line, which, field, vcpu, *o.entry_before, true, searching);
    if (!change) return tl::unexpected(change.error());
    return *change ? std::vector<FieldChange>{**change} : std::vector<FieldChange>{};
}

int history(const HistoryOptions& o) {
    const auto field = vmx::field_by_name(o.field);
    if (!field)
        return complain(
            {fmt::format("There is no VMCS field '{}'.", o.field), "Fields are named as in KVM: GUEST_CR3."});
    const auto seen = seen_of_file(o.file);
    if (!seen) return complain(seen.error());
    const auto changes = changes_of(seen->line(), o, *field);
    if (!changes) return complain(changes.error());
    for (const FieldChange& c : *changes)
        if (!say(o.json ? change_json(c) : change_text(c))) break;
    if (changes->empty())
        remark(o.entry_before ? fmt::format("No entry before {} changed it, as far as is recorded.", *o.entry_before)
                              : "It was not changed, as far as is recorded.");
    if (!o.entry_before && changes->size() == o.limit)
        remark(fmt::format("These are the newest {}; more with --limit.", o.limit));
    return kDone;
}

// ---- diff

struct DiffOptions {
    std::string file, a, b;
    bool json = false;
};

/// As a query prints what it names.
std::string value_of(const std::string& name, const vmx::Value& value) {
    const auto query = core::query::Query::parse_values(name);
    return query && value.known() ? core::query::value_text(query->front(), value.bits) : core::value_text(value);
}

core::Result<nested::Transition> transition_at(const core::Timeline& line, const std::string& where) {
    const auto seq = moment_of(line, where);
    if (!seq) return tl::unexpected(seq.error());
    return line.transition(*seq);
}

int diff(const DiffOptions& o) {
    const auto seen = seen_of_file(o.file);
    if (!seen) return complain(seen.error());
    const auto a = transition_at(seen->line(), o.a);
    if (!a) return complain(a.error());
    const auto b = transition_at(seen->line(), o.b);
    if (!b) return complain(b.error());
    const auto all = core::differences(*a, *b);
    if (!o.json) say(fmt::format("a: {}\nb: {}\n", core::headline(*a), core::headline(*b)));
    for (const core::Difference& d : all) {
        const std::string before = value_of(d.name, d.a), after = value_of(d.name, d.b);
        if (!say(o.json ? core::to_line({{"name", d.name}, {"a", before}, {"b", after}}) + "\n"
                        : fmt::format("{:<40} {:<20} {}\n", d.name, before, after)))
            break;
    }
    if (all.empty()) remark("Nothing that is known of both differs.");
    return kDone;
}

void add_goto(CLI::App& app, const core::Backends& backends, Run& run) {
    auto o = std::make_shared<GotoOptions>();
    CLI::App* command = app.add_subcommand("goto", "Show a transition of a recording, or of a guest's past");
    command->add_option("TARGET", o->target, "A trace file, or what to attach to")->required();
    command->add_option("WHERE", o->where, std::string(kWhere))->required();
    command->add_option("--fields", o->fields, "Also the fields whose names match this regular expression");
    command->add_flag("--json", o->json, "One JSON object (see transition.schema.json)");
    command->footer(
        "Examples:\n"
        "  vmxscopectl goto boot.vxt '#1200' --fields 'pdptr|cr3'\n"
        "  vmxscopectl goto boot.vxt +1.5s\n"
        "  vmxscopectl goto boot.vxt 'pdptr == undefined'\n"
        "  vmxscopectl goto kvm:1234 last --json");
    command->callback([o, &backends, &run] { run = [o, &backends] { return go(backends, *o); }; });
}

void add_history(CLI::App& app, Run& run) {
    auto o = std::make_shared<HistoryOptions>();
    CLI::App* command = app.add_subcommand("history", "Every change of a VMCS field, and who made it");
    command->add_option("FILE", o->file, "The trace")->required();
    command->add_option("FIELD", o->field, "GUEST_CR3, …")->required();
    auto* vmcs12 = command->add_flag("--vmcs12", o->vmcs12, "Of vmcs12 (default)");
    command->add_flag("--vmcs02", o->vmcs02, "Of vmcs02")->excludes(vmcs12);
    command->add_option("--vcpu", o->vcpu, "Of this vCPU (default: that of the first transition)");
    command->add_option("--limit", o->limit, "The newest so many")
        ->check(CLI::Range(1u, 1'000'000u))
        ->capture_default_str();
    command->add_option("--last-entry-before", o->entry_before,
                        "Only the last nested entry before this transition that changed it");
    command->add_flag("--json", o->json, "One JSON object a line");
    command->footer(
        "Examples:\n"
        "  vmxscopectl history boot.vxt GUEST_CR3\n"
        "  vmxscopectl history boot.vxt GUEST_PDPTR0 --vmcs02 --vcpu 1\n"
        "  vmxscopectl history boot.vxt GUEST_RIP --last-entry-before 4711");
    command->callback([o, &run] { run = [o] { return history(*o); }; });
}

void add_diff(CLI::App& app, Run& run) {
    auto o = std::make_shared<DiffOptions>();
    CLI::App* command = app.add_subcommand("diff", "What differs between two transitions of a trace");
    command->add_option("FILE", o->file, "The trace")->required();
    command->add_option("A", o->a, std::string(kWhere))->required();
    command->add_option("B", o->b, "The other, in the same way")->required();
    command->add_flag("--json", o->json, "One JSON object a line");
    command->footer(
        "Examples:\n"
        "  vmxscopectl diff boot.vxt 1200 1300\n"
        "  vmxscopectl diff boot.vxt first 'pdptr.alarm'");
    command->callback([o, &run] { run = [o] { return diff(*o); }; });
}

}  // namespace

void add_time_commands(CLI::App& app, const core::Backends& backends, Run& run) {
    add_goto(app, backends, run);
    add_history(app, run);
    add_diff(app, run);
}

}  // namespace vmxscope::app
