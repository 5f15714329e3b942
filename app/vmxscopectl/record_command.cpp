#include "app/vmxscopectl/record_command.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "app/vmxscopectl/progress.h"
#include "app/vmxscopectl/stepper.h"
#include "core/recorder.h"
#include "core/transition_text.h"

namespace vmxscope::app {
namespace {

using std::chrono::steady_clock;

constexpr auto kSlice = std::chrono::milliseconds(200);   // how often the target is asked for what has come
constexpr auto kPatience = std::chrono::seconds(120);     // for vCPUs to stop at the end; a lab puts its probes back

struct Options {
    std::string target, file, until, fields = "all", evidence = "none", ring;
    double seconds = 0;
    std::uint64_t transitions = 0;
    bool lossless = false, force = false;
};

constexpr std::string_view kExamples =
    "Examples:\n"
    "  vmxscopectl record lab:pae-ept -o a.vxt --transitions 10000\n"
    "  vmxscopectl record kvm:1234 -o a.vxt --seconds 30 --fields verdict\n"
    "  vmxscopectl record kvm -o crash.vxt --ring 64M --until 'kind == nested-entry-failed'\n"
    "The last is a flight recorder: it keeps the newest 64 MiB and saves them when a nested entry fails, at Ctrl-C, or,\n"
    "while it goes on, at SIGUSR1. Then: vmxscopectl query a.vxt 'pdptr == undefined', vmxscope a.vxt";

volatile std::sig_atomic_t save_wanted = 0;
void on_save(int) { save_wanted = 1; }

/// "64M", "512k", "1G": bytes.
core::Result<std::size_t> parse_size(const std::string& text) {
    std::size_t digits = 0;
    std::uint64_t n = 0;
    try {
        n = std::stoull(text, &digits);
    } catch (const std::exception&) {
        digits = 0;
    }
    const std::string unit = digits ? text.substr(digits) : "?";
    const unsigned shift = unit == "k" || unit == "K" ? 10 : unit == "M" || unit == "MiB" ? 20 : unit == "G" ? 30 : unit.empty() ? 0 : 64;
    if (shift == 64 || n == 0 || n > (std::uint64_t{1} << 40 >> shift) || (n << shift) < (64u << 10))
        return core::fail(fmt::format("'{}' is no size for a ring.", text), "For instance: --ring 64M (at least 64k).");
    return static_cast<std::size_t>(n << shift);
}

struct Plan {
    core::RecordSettings settings;
    core::RecorderOptions recorder;
};

core::Result<Plan> plan_of(const Options& o) {
    Plan plan;
    plan.settings.evidence = *nested::evidence_scope_by_name(o.evidence);
    plan.settings.lossless = o.lossless;
    plan.settings.all_fields = o.fields != "verdict";
    plan.recorder.path = o.file;
    plan.recorder.replace = o.force;
    plan.recorder.transitions = o.transitions;
    if (o.fields != "verdict" && o.fields != "all") {
        auto fields = core::matching_fields(o.fields);
        if (!fields) return tl::unexpected(fields.error());
        plan.recorder.fields = std::move(*fields);
    }
    if (!o.ring.empty()) {
        const auto bytes = parse_size(o.ring);
        if (!bytes) return tl::unexpected(bytes.error());
        plan.recorder.ring_bytes = *bytes;
    }
    if (!o.until.empty()) {
        auto query = core::query::Query::parse(o.until);
        if (!query) return core::fail(fmt::format("--until: {}\n{}", query.error().what, core::query::caret_text(o.until, query.error())), "The language is described by: vmxscopectl query --help");
        plan.recorder.until = std::move(*query);
    }
    return plan;
}

std::string amount(const core::Recorder& r) {
    return fmt::format("{} transitions, {:.1f} MiB", r.transitions(), static_cast<double>(r.bytes()) / (1 << 20));
}

/// Why a recording ended, as its last line says.
struct Ended {
    std::string why;
    std::optional<core::Error> trouble;
};

/// Until the time is over, a condition comes true, a signal, or the guest's end.
Ended record_on(core::Target& target, core::Recorder& recorder, const Options& o) {
    const auto start = steady_clock::now();
    ProgressLine progress;
    auto told = start;
    while (!interrupted()) {
        const auto stop = target.wait(kSlice);
        if (!stop) return {"", stop.error()};
        const auto ended = recorder.pull(target);
        if (!ended) return {"", ended.error()};
        if (*ended) return {recorder.found() ? fmt::format("transition {} matches", *recorder.found()) : "enough transitions", {}};
        if (*stop) return {(*stop)->text.empty() ? "the guest stopped" : (*stop)->text, {}};
        if (save_wanted) {
            save_wanted = 0;
            if (const auto saved = recorder.save(); !saved) return {"", saved.error()};
            progress.clear();
            remark(fmt::format("Saved {} transitions into {}; recording goes on.", recorder.kept(), o.file));
        }
        const auto now = steady_clock::now();
        if (o.seconds > 0 && now - start > std::chrono::duration<double>(o.seconds)) return {"the time is over", {}};
        if (now - told < std::chrono::seconds(1)) continue;
        told = now;
        const double elapsed = std::chrono::duration<double>(now - start).count();
        progress.callback()(fmt::format("recording: {:.0f} s, {}", elapsed, amount(recorder)), o.seconds > 0 ? elapsed / o.seconds : -1);
    }
    return {"interrupted", {}};
}

/// Stops the vCPUs, so that nothing is under way, and takes the rest.
core::Result<void> take_rest(core::Target& target, core::Recorder& recorder) {
    if (const auto ok = target.interrupt(); !ok) return ok;
    const auto end = steady_clock::now() + kPatience;
    while (steady_clock::now() < end) {
        const auto stop = target.wait(kSlice);
        if (!stop) return tl::unexpected(stop.error());
        if (*stop) break;
    }
    const auto last = recorder.pull(target);
    return last ? core::Result<void>{} : tl::unexpected(last.error());
}

int tell(const core::Recorder& r, const Options& o, const Ended& ended, std::uint64_t file_bytes) {
    remark(fmt::format("{}: {} transitions in {} bytes ({:.1f} each){}.", o.file, r.kept(), file_bytes,
                       r.kept() ? static_cast<double>(file_bytes) / static_cast<double>(r.kept()) : 0.0,
                       ended.why.empty() ? "" : "; " + ended.why));
    for (const auto& [vcpu, lost] : r.lost()) remark(fmt::format("vCPU {}: {} records were lost for want of room in the kernel's ring; the trace says where. Lose none with --lossless.", vcpu, lost));
    if (r.missed()) remark(fmt::format("{} transitions came faster than they could be fetched, and are missing.", r.missed()));
    return ended.trouble ? complain(*ended.trouble) : kDone;
}

int record(const core::Backends& backends, const Options& o) {
    const auto plan = plan_of(o);
    if (!plan) return complain(plan.error());
    if (std::filesystem::exists(o.file) && !o.force) return complain({fmt::format("'{}' exists.", o.file), "Name another file, or replace it with --force."});
    auto stepper = Stepper::attach(backends, o.target);
    if (!stepper) return complain(stepper.error());
    core::Target& target = stepper->target();
    auto info = core::trace_info_of(target, plan->settings.evidence, plan->recorder.fields);
    auto recorder = core::Recorder::create(plan->recorder, std::move(info), stepper->last_stop().seq);
    if (!recorder) return complain(recorder.error());
    if (const auto ok = target.record(plan->settings); !ok) return complain(ok.error());
    if (const auto ok = target.resume({core::Action{}}); !ok) return complain(ok.error());
    std::signal(SIGUSR1, on_save);
    Ended ended = record_on(target, *recorder, o);
    if (!ended.trouble && !recorder->found())
        if (const auto rest = take_rest(target, *recorder); !rest) ended.trouble = rest.error();
    // Whatever went wrong, what was recorded is kept.
    const auto finished = recorder->finish();
    if (!finished && !ended.trouble) ended.trouble = finished.error();
    if (const auto left = target.detach(); !left && !ended.trouble) ended.trouble = left.error();
    std::error_code none;
    const auto bytes = std::filesystem::file_size(o.file, none);
    return tell(*recorder, o, ended, none ? 0 : bytes);
}

}  // namespace

void add_record_command(CLI::App& app, const core::Backends& backends, Run& run) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("record", "Record a guest that runs into a trace file");
    command->add_option("TARGET", o->target, "What to attach to: lab:NAME, kvm:PID, kvm, unix:PATH, tcp:HOST:PORT")->required();
    command->add_option("-o,--output", o->file, "The file (.vxt)")->required();
    command->add_option("--seconds", o->seconds, "End after so many seconds")->check(CLI::PositiveNumber);
    command->add_option("--transitions", o->transitions, "End after so many transitions")->check(CLI::PositiveNumber);
    command->add_option("--until", o->until, "End after the first transition that this holds for (vmxscopectl query --help)");
    command->add_option("--fields", o->fields, "all; verdict: only what a PDPTR verdict is made from (cheapest); or a pattern of names")->capture_default_str();
    command->add_option("--evidence", o->evidence, "Which of KVM's VMREADs and VMWRITEs are recorded, too: none, pdptr, all (these slow the guest down)")
        ->check(CLI::IsMember({"none", "pdptr", "all"}))
        ->capture_default_str();
    command->add_option("--ring", o->ring, "Keep only the newest transitions that fit so many bytes (64M), and save them in the end");
    command->add_flag("--lossless", o->lossless, "vCPUs wait when the recording cannot keep up; without it, what is lost is counted");
    command->add_flag("--force", o->force, "Replace an existing file");
    command->footer(std::string(kExamples));
    command->callback([o, &backends, &run] { run = [o, &backends] { return record(backends, *o); }; });
}

}  // namespace vmxscope::app
