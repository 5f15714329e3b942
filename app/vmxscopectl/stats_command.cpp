#include "app/vmxscopectl/stats_command.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "app/vmxscopectl/query_command.h"
#include "app/vmxscopectl/slow_progress.h"
#include "core/query/columns.h"
#include "core/query/statistics.h"
#include "vmx/exit_reason.h"

namespace vmxscope::app {
namespace {

namespace query = core::query;
using query::Distribution;
using query::ExitKey;
using query::ExitStatistics;
using Who = nested::Routing::Who;

struct Options {
    std::string file, where = "true";
    bool json = false, csv = false, by_vcpu = false;
};

constexpr std::string_view kExamples =
    "For L2's exits the time is from the exit until L2 runs again, L1's handling included; for L1's until L1 or L2 "
    "runs.\n"
    "Median and p99 are exact to 3 %. Who handled an exit of L2's is what the routing says, and where a bitmap decides "
    "that\n"
    "is not in the trace, what happened next. Times with lost or missing transitions within them are left out, and "
    "counted.\n"
    "\n"
    "Examples:\n"
    "  vmxscopectl stats boot.vxt\n"
    "  vmxscopectl stats boot.vxt --where 'vcpu == 0 && time > 2s'\n"
    "  vmxscopectl stats boot.vxt --csv | sort -t, -k9 -n      by the time they took in all";

/// Cycles as the trace lets them be told.
class Times {
  public:
    explicit Times(std::uint64_t tsc_khz) : khz_(tsc_khz) {}
    std::string_view unit() const { return khz_ ? "ns" : "cycles"; }
    std::uint64_t number(std::uint64_t cycles) const {
        return khz_ ? static_cast<std::uint64_t>(static_cast<double>(cycles) * 1e6 / static_cast<double>(khz_))
                    : cycles;
    }
    std::string text(std::uint64_t cycles) const {
        return khz_ ? query::time_text(number(cycles)) : fmt::format("{}", cycles);
    }

  private:
    std::uint64_t khz_;
};

std::string reason_text(std::uint32_t reason) {
    if (reason == query::kNoReason) return "not read";
    const std::string_view name = vmx::exit_reason_name(reason);
    return name == "?" ? fmt::format("reason {}", reason) : std::string(name);
}

std::string_view who_text(const ExitKey& key) {
    if (key.level == 1) return "";
    return key.who == Who::L0 ? "L0" : key.who == Who::L1 ? "L1" : "unknown";
}

using Line = std::pair<ExitKey, const ExitStatistics*>;

/// What takes longest comes first.
std::vector<Line> sorted(const query::Statistics& s) {
    std::vector<Line> lines;
    for (const auto& [key, exits] : s.exits()) lines.emplace_back(key, &exits);
    std::stable_sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) {
        if (a.first.level != b.first.level) return a.first.level > b.first.level;
        return a.second->away.total() > b.second->away.total();
    });
    return lines;
}

std::string text_line(const Line& line, const Times& times, bool by_vcpu) {
    const auto& [key, s] = line;
    const Distribution& away = s->away;
    const auto time = [&](std::uint64_t cycles) { return away.count() ? times.text(cycles) : "-"; };
    return fmt::format("{}{:<20} {:<8} {:>9} {:>10} {:>10} {:>10} {:>10} {:>10}\n",
                       by_vcpu ? fmt::format("vCPU {:<4} ", *key.vcpu) : "", reason_text(key.reason), who_text(key),
                       s->exits, time(away.least()), time(away.quantile(0.5)), time(away.quantile(0.99)),
                       time(away.most()), time(away.total()));
}

/// The lines of one level under a head, and the time that the guest ran.
std::string level_text(int level, const std::vector<Line>& lines, const Times& times, bool by_vcpu) {
    std::string text;
    Distribution ran;
    for (const Line& line : lines) {
        if (line.first.level != level) continue;
        text += text_line(line, times, by_vcpu);
        ran.add(line.second->before);
    }
    if (text.empty()) return fmt::format("No exits of L{}.\n\n", level);
    const std::string head = fmt::format("{}{:<20} {:<8} {:>9} {:>10} {:>10} {:>10} {:>10} {:>10}\n",
                                         by_vcpu ? "vCPU      " : "", fmt::format("Exits of L{}", level),
                                         level == 2 ? "by" : "", "exits", "min", "median", "p99", "max", "total");
    if (ran.count() == 0) return head + text + "\n";
    return head + text +
           fmt::format("L{} ran {} in all, between exits {} (median {}, p99 {}, max {}).\n\n", level,
                       times.text(ran.total()), times.text(ran.least()), times.text(ran.quantile(0.5)),
                       times.text(ran.quantile(0.99)), times.text(ran.most()));
}

std::string text_of(const query::Statistics& s, const Times& times, bool by_vcpu) {
    const auto lines = sorted(s);
    std::string text =
        fmt::format("{} transitions in {}: {} nested entries, {} refused, {} nested exits.\n\n", s.transitions(),
                    times.text(s.span()), s.nested_entries(), s.failed_entries(), s.nested_exits());
    for (const int level : {2, 1}) text += level_text(level, lines, times, by_vcpu);
    if (times.unit() == "cycles") text += "Times are in TSC cycles: the trace does not say how fast the TSC is.\n";
    if (s.left_out() > 0)
        text += fmt::format("Left out: {} times with lost or missing transitions within them.\n", s.left_out());
    if (s.open() > 0) text += fmt::format("Not ended: {} exits after which the guest has not run again.\n", s.open());
    if (s.lost() > 0) text += fmt::format("Lost: {} records.\n", s.lost());
    return text;
}

core::Json json_of(const Distribution& d, const Times& times) {
    if (d.count() == 0) return nullptr;
    return {{"count", d.count()},
            {"min", times.number(d.least())},
            {"median", times.number(d.quantile(0.5))},
            {"p99", times.number(d.quantile(0.99))},
            {"max", times.number(d.most())},
            {"total", times.number(d.total())}};
}

core::Json json_of(const query::Statistics& s, const Times& times) {
    core::Json exits = core::Json::array();
    for (const auto& [key, row] : sorted(s)) {
        core::Json line = {{"level", key.level}, {"reason", reason_text(key.reason)}};
        line["handled_by"] =
            key.level == 2 && key.who != Who::Unknown ? core::Json(who_text(key)) : core::Json(nullptr);
        if (key.vcpu) line["vcpu"] = *key.vcpu;
        line["exits"] = row->exits;
        line["away"] = json_of(row->away, times);
        line["ran_before"] = json_of(row->before, times);
        exits.push_back(std::move(line));
    }
    return {{"unit", times.unit()},
            {"transitions", s.transitions()},
            {"span", times.number(s.span())},
            {"nested_entries", s.nested_entries()},
            {"failed_entries", s.failed_entries()},
            {"nested_exits", s.nested_exits()},
            {"exits", exits},
            {"left_out", s.left_out()},
            {"not_ended", s.open()},
            {"lost", s.lost()}};
}

std::string csv_of(const query::Statistics& s, const Times& times) {
    std::string text =
        fmt::format("level,reason,handled_by,vcpu,exits,min_{0},median_{0},p99_{0},total_{0},max_{0},ran_before_{0}\n",
                    times.unit());
    for (const auto& [key, row] : sorted(s)) {
        const Distribution& d = row->away;
        text += fmt::format("{},{},{},{},{}", key.level, reason_text(key.reason), who_text(key),
                            key.vcpu ? fmt::format("{}", *key.vcpu) : "", row->exits);
        for (const std::uint64_t cycles : {d.least(), d.quantile(0.5), d.quantile(0.99), d.total(), d.most()})
            text += d.count() ? fmt::format(",{}", times.number(cycles)) : ",";
        text += fmt::format(",{}\n", times.number(row->before.total()));
    }
    return text;
}

int stats(const Options& o) {
    const auto where = query::Query::parse(o.where);
    if (!where) return complain(expression_error("--where", o.where, where.error()));
    const auto trace = core::trace::Trace::open(o.file);
    if (!trace) return complain(trace.error());
    for (const std::string& damage : trace->damage()) remark(damage);
    SlowProgress progress("counting");
    query::Statistics statistics(o.by_vcpu);
    query::ScanOptions options;
    options.everything = true;
    options.progress = [&progress](double fraction) { return progress.tell(fraction); };
    const query::Scanned scanned = query::scan(*trace, *where, options, [&](const query::Row& row, query::Truth truth) {
        statistics.take(*row.digest, truth == query::Truth::Yes);
        return true;
    });
    progress.clear();
    const Times times(trace->info().tsc_khz);
    if (!interrupted()) {
        if (o.json)
            say(core::to_line(json_of(statistics, times)) + "\n");
        else
            say(o.csv ? csv_of(statistics, times) : text_of(statistics, times, o.by_vcpu));
    }
    return report_scan(scanned);
}

}  // namespace

void add_stats_command(CLI::App& app, Run& run) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("stats", "Count and time the exits of a trace");
    command->add_option("FILE", o->file, "The trace")->required();
    command->add_option("--where", o->where, "Only exits that match this expression (see: vmxscopectl query --help)");
    command->add_flag("--vcpu", o->by_vcpu, "Each vCPU for itself");
    auto* json = command->add_flag("--json", o->json, "One JSON object");
    command->add_flag("--csv", o->csv, "A line for each reason")->excludes(json);
    command->footer(std::string(kExamples));
    command->callback([o, &run] { run = [o] { return stats(*o); }; });
}

}  // namespace vmxscope::app
