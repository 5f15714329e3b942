#include "app/vmxscopectl/export_command.h"

#include <memory>

#include <fmt/format.h>

#include "app/vmxscopectl/query_command.h"
#include "app/vmxscopectl/slow_progress.h"
#include "core/export/export.h"

namespace vmxscope::app {
namespace {

namespace exporting = core::exporting;
using core::query::Query;
using exporting::Format;

struct Options {
    std::string file, format, out, where = "true", from, to, columns;
    std::optional<std::uint64_t> limit;
    bool force = false;
};

constexpr std::string_view kExamples =
    "Examples:\n"
    "  vmxscopectl export boot.vxt --format perfetto -o boot.pftrace      open it at https://ui.perfetto.dev\n"
    "  vmxscopectl export boot.vxt --format ctf -o boot.ctf && babeltrace2 boot.ctf\n"
    "  vmxscopectl export boot.vxt --format html -o alarms.html --where 'pdptr.alarm || findings > 0'\n"
    "  vmxscopectl export boot.vxt --format csv -o exits.csv --columns seq,time,exit_reason,round_trip\n"
    "  vmxscopectl export boot.vxt --format jsonl -o part.jsonl --from 1.5s --to 2s\n"
    "docs/exports.md says what is in each. Conditions: vmxscopectl query --help";

/// Where the format has columns: those asked for, or the usual ones.
core::Result<std::vector<Query>> columns_of(const Options& o, Format format) {
    if (format == Format::Perfetto || format == Format::Ctf) {
        if (o.columns.empty()) return {};
        return core::fail(fmt::format("The format {} has no columns.", o.format), "jsonl, csv and html have.");
    }
    if (o.columns.empty() && format == Format::Jsonl) return {};
    const std::string text = o.columns.empty() ? std::string(exporting::kColumns) : o.columns;
    auto parsed = Query::parse_values(text);
    if (!parsed) return tl::unexpected(expression_error("--columns", text, parsed.error()));
    return std::move(*parsed);
}

std::string limits_text(const Options& o) {
    return (o.from.empty() ? "" : "from " + o.from) + (o.from.empty() || o.to.empty() ? "" : " ") +
           (o.to.empty() ? "" : "to " + o.to);
}

int run_export(const Options& o) {
    const Format format = *exporting::format_by_name(o.format);
    auto where = Query::parse(o.where);
    if (!where) return complain(expression_error("--where", o.where, where.error()));
    auto columns = columns_of(o, format);
    if (!columns) return complain(columns.error());
    const auto trace = core::trace::Trace::open(o.file);
    if (!trace) return complain(trace.error());
    for (const std::string& damage : trace->damage()) remark(damage);

    exporting::ExportOptions options{
        .format = format, .to = {o.out, o.force}, .where = std::move(*where), .columns = std::move(*columns)};
    options.limits_text = limits_text(o);
    options.most = o.limit.value_or(format == Format::Html ? exporting::kHtmlLimit : 0);
    core::query::ScanOptions& limits = options.limits;
    std::uint64_t last_seq = ~0ull, last_tsc = ~0ull;
    if (const auto ok = limit_of(o.from, *trace, limits.first_seq, limits.first_tsc); !ok) return complain(ok.error());
    if (const auto ok = limit_of(o.to, *trace, last_seq, last_tsc); !ok) return complain(ok.error());
    limits.last_seq = last_seq;
    limits.last_tsc = last_tsc;
    SlowProgress progress("exporting");
    limits.progress = [&progress](double fraction) { return progress.tell(fraction); };
    const auto exported = exporting::export_trace(*trace, options);
    progress.clear();
    if (!exported) return complain(exported.error());
    remark(fmt::format("{} transitions are in {}{}", exported->transitions, o.out,
                       exported->cut ? "; more match: --limit 0 takes them all." : "."));
    return report_scan(exported->scanned);
}

}  // namespace

void add_export_command(CLI::App& app, Run& run) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("export", "Write a trace in a format that other programs read");
    command->add_option("FILE", o->file, "The trace")->required();
    command->add_option("--format", o->format, "perfetto, ctf (a folder), jsonl, csv or html (a report)")
        ->required()
        ->check(CLI::IsMember({"perfetto", "ctf", "jsonl", "csv", "html"}));
    command->add_option("-o,--output", o->out, "The file, or for ctf the folder, to make")->required();
    command->add_option("--where", o->where, "Only transitions that match this expression");
    command->add_option("--from", o->from, "From this transition on, or from this time since the first (1.5s)");
    command->add_option("--to", o->to, "Up to this transition or time");
    command->add_option("--columns", o->columns, "Values of each transition, for csv, html and jsonl: seq,time,rip");
    command->add_option("--limit", o->limit, "At most so many transitions; 0 for all. html: 500 if not given");
    command->add_flag("--force", o->force, "Replace what is there");
    command->footer(std::string(kExamples));
    command->callback([o, &run] { run = [o] { return run_export(*o); }; });
}

}  // namespace vmxscope::app
