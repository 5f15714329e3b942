#include "app/vmxscopectl/step_command.h"

#include <chrono>
#include <memory>

#include <fmt/format.h>

#include "app/vmxscopectl/query_command.h"
#include "app/vmxscopectl/seen.h"
#include "app/vmxscopectl/slow_progress.h"
#include "app/vmxscopectl/step_output.h"
#include "app/vmxscopectl/stepper.h"
#include "app/vmxscopectl/stepping.h"
#include "core/query/evaluator.h"

namespace vmxscope::app {
namespace {

struct Options {
    std::string target;
    std::optional<std::uint64_t> count;
    std::string kind, evidence = "pdptr", reports;
    std::string until, from;
    bool json = false, back = false;
    std::optional<std::uint32_t> vcpu;
    std::uint32_t timeout = 120;
};

constexpr std::string_view kExamples =
    "Examples:\n"
    "  vmxscopectl step lab:pae-ept                     key by key, in the lab that needs no VT-x\n"
    "  vmxscopectl step kvm:1234 -n 10 --kind nested    ten nested entries and exits of process 1234\n"
    "  vmxscopectl step kvm -n 0 --kind entry --json    every nested entry until Ctrl-C, an object a line\n"
    "  vmxscopectl step tcp:127.0.0.1:4000 --vcpu 1     steps vCPU 1; the others run on between its stops\n"
    "  vmxscopectl step kvm --until 'pdptr.alarm'       to where the processor uses undefined PDPTRs\n"
    "  vmxscopectl step tcp:127.0.0.1:1234 -n 10        ten instructions, at QEMU's own GDB stub\n"
    "  vmxscopectl step boot.vxt --back -n 5 --kind exit   the last five nested exits of a recording";

/// The one that was asked for; else the finest that the target has.
core::StepKind kind_of(const core::Target& target, const Options& o) {
    if (!o.kind.empty()) return *core::step_kind_by_name(o.kind);
    return target.can(core::Ability::Transitions) ? core::StepKind::Transition : core::StepKind::Instruction;
}

/// What a person at a terminal steps through is kept, as in the window; scripts have `record`.
class Session {
  public:
    /// `looks_back`: seen() will be asked for.
    static core::Result<Session> of(core::Target& target, bool looks_back) {
        const bool kept = !is_recording(target) && target.can(core::Ability::Transitions) && stdin_is_terminal();
        Session session(target);
        if (!kept && !looks_back) return session;
        auto seen = Seen::of(target);
        if (!seen) return tl::unexpected(seen.error());
        if (kept)
            seen->record_into({core::sessions_folder(), seen->line().info()}, [](const core::Error& e) { remark("note: " + e.text()); });
        session.seen_ = std::move(*seen);
        return session;
    }
    Seen& seen() { return *seen_; }
    /// Takes in what came, now and then: each time costs round trips.
    void stopped() {
        const auto now = std::chrono::steady_clock::now();
        if (!kept() || now - last_ < kNowAndThen) return;
        last_ = now;
        (void)seen_->catch_up(target_);  // what is wrong with the target, stepping tells
    }
    void end() {
        if (!kept()) return;
        (void)seen_->catch_up(target_);
        if (const auto file = seen_->end_recording(); !file.empty()) remark(fmt::format("This session is in {}", file.string()));
    }

  private:
    static constexpr auto kNowAndThen = std::chrono::seconds(2);
    explicit Session(core::Target& target) : target_(target) {}
    bool kept() const { return seen_ && seen_->recorded(); }

    core::Target& target_;
    std::optional<Seen> seen_;
    std::chrono::steady_clock::time_point last_;
};

/// What ended the steps before all were made.
int stopped_early(core::Error error, std::uint64_t done, std::uint64_t count) {
    if (!interrupted() && count > 1) error.what += fmt::format(" {} of {} steps were made.", done, count);
    return complain(error);
}

int count_steps(Stepper& stepper, Session& session, const Options& o, std::uint64_t count) {
    StepOutput output(o.json, o.reports);
    for (std::uint64_t done = 0; count == 0 || done < count; ++done) {
        const auto stopped = stepper.run(kind_of(stepper.target(), o));
        if (!stopped) return stopped_early(stopped.error(), done, count);
        if (stopped->stop.why == core::Stop::Why::End) {
            if (count != 0) return stopped_early({stopped->stop.text, ""}, done, count);
            remark(stopped->stop.text);
            break;
        }
        session.stopped();
        const auto read = output.show(stepper.target(), stopped->stop);
        if (!read) return complain(read.error());
        if (!*read) break;
    }
    output.conclude();
    return kDone;
}

/// Through what was seen, from where --from says, or from its end.
int step_back(Stepper& stepper, const Options& o) {
    auto seen = Seen::of(stepper.target());
    if (!seen) return complain(seen.error());
    if (const auto caught = seen->catch_up(stepper.target()); !caught) return complain(caught.error());
    auto at = moment_of(seen->line(), o.from.empty() ? "last" : o.from);
    if (!at) return complain(at.error());
    StepOutput output(o.json, o.reports);
    const std::uint64_t count = o.count.value_or(1);
    for (std::uint64_t done = 0; count == 0 || done < count; ++done) {
        const auto next = step_from(seen->line(), *at, kind_of(stepper.target(), o), core::Way::Back, o.vcpu);
        if (!next) return complain(next.error());
        if (!*next) {
            if (count == 0) break;
            return stopped_early({fmt::format("There is no such transition before {}.", *at), ""}, done, count);
        }
        at = **next;
        const auto t = seen->line().transition(*at);
        if (!t) return complain(t.error());
        const auto read = output.show(stepper.target(), *t);
        if (!read) return complain(read.error());
        if (!*read || interrupted()) break;
    }
    output.conclude();
    return interrupted() ? kInterrupted : kDone;
}

/// Steps until the expression holds. A recording is searched instead.
core::Result<std::uint64_t> run_until(Stepper& stepper, Session& session, const core::query::Query& query) {
    core::Target& target = stepper.target();
    if (is_recording(target)) return found_from(session.seen().line(), stepper.last_stop().seq, query, core::Way::Forth);
    core::query::Watch watch(query, target.info().tsc_khz);
    SlowProgress progress(fmt::format("stepping until {}", query.text()));
    for (std::uint64_t steps = 1;; ++steps) {
        const auto stopped = stepper.run(core::StepKind::Transition);
        if (!stopped) return tl::unexpected(stopped.error());
        const auto t = target.transition(stopped->stop.seq);
        if (!t) return tl::unexpected(t.error());
        session.stopped();
        const bool holds = watch.take(*t) == core::query::Truth::Yes;
        if (!holds && progress.tell(fmt::format("stepping: {} transitions, at #{}", steps, t->seq))) continue;
        progress.clear();
        if (holds) return t->seq;
        return core::fail("Interrupted.");
    }
}

int step_until(Stepper& stepper, Session& session, const Options& o, const core::query::Query& query) {
    const auto seq = run_until(stepper, session, query);
    if (!seq) return complain(seq.error());
    const auto t = stepper.target().transition(*seq);
    if (!t) return complain(t.error());
    StepOutput output(o.json, o.reports);
    if (const auto read = output.show(stepper.target(), *t); !read) return complain(read.error());
    output.conclude();
    return kDone;
}

int run_steps(Stepper& stepper, const Options& o, const std::optional<core::query::Query>& until) {
    const bool transitions = stepper.target().can(core::Ability::Transitions);
    if (!transitions && (o.back || until))
        return complain({"This target has no transitions to search or to go back through.",
                         "Step it by instructions, or attach to a vmxscope-agent on L0."});
    if (o.back) return step_back(stepper, o);
    const bool by_keys = !o.count && !until && transitions && stdin_is_terminal();
    auto session = Session::of(stepper.target(), by_keys || until);
    if (!session) return complain(session.error());
    if (!by_keys) stepper.limit_waits(std::chrono::seconds(o.timeout));
    const int status = by_keys ? Stepping(stepper, session->seen(), StepOutput(false, o.reports), o.vcpu).run()
                       : until ? step_until(stepper, *session, o, *until)
                               : count_steps(stepper, *session, o, o.count.value_or(1));
    session->end();
    return status;
}

int step(const core::Backends& backends, const Options& o) {
    std::optional<core::query::Query> until;
    if (!o.until.empty()) {
        auto query = core::query::Query::parse(o.until);
        if (!query) return complain(expression_error("--until", o.until, query.error()));
        until = std::move(*query);
    }
    auto stepper = Stepper::attach(backends, o.target);
    if (!stepper) return complain(stepper.error());
    stepper->choose_vcpu(o.vcpu);
    // Attaching gives what is usual; setting it again would cost a round trip.
    const auto scope = *nested::evidence_scope_by_name(o.evidence);
    if (scope == nested::EvidenceScope::All && !is_recording(stepper->target()))
        remark("Placing a probe at every VMREAD and VMWRITE of KVM's; in a lab that takes a minute.");
    if (scope != nested::EvidenceScope::Pdptrs && !is_recording(stepper->target()))
        if (const auto set = stepper->target().set_evidence(scope); !set) return complain(set.error());
    const int status = run_steps(*stepper, o, until);
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
    auto* count = command->add_option("-n", o->count,
                                      "This many steps, 0 without end (default: key by key on a terminal, else one)");
    command
        ->add_option("--kind", o->kind,
                     "How far a step goes: to the next transition (default), nested entry or exit, entry, exit; to the next "
                     "instruction, where a GDB stub has no transitions")
        ->check(CLI::IsMember({"transition", "nested", "entry", "exit", "instruction"}));
    command
        ->add_option("--evidence", o->evidence,
                     "Which of KVM's VMREADs and VMWRITEs are watched: none, those of the PDPTRs, all (slow)")
        ->check(CLI::IsMember({"none", "pdptr", "all"}))
        ->capture_default_str();
    auto* until = command->add_option(
        "--until", o->until, "To the first transition that this expression holds for (vmxscopectl query --help)");
    auto* back =
        command->add_flag("--back", o->back, "Back through what was seen; the guest does not move")->excludes(until);
    command->add_option("--from", o->from, "With --back: from here instead of the end (see: vmxscopectl goto --help)")
        ->needs(back);
    until->excludes(count);
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
