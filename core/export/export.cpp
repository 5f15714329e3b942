#include "core/export/export.h"

#include <fmt/format.h>

namespace vmxscope::core::exporting {
namespace {

/// How many match, as far as a report's head tells it.
Result<Selected> select(const trace::Trace& trace, const ExportOptions& o) {
    Selected s;
    s.where = o.where.text() == "true" ? "" : o.where.text();
    s.limits = o.limits_text;
    bool asked = false;
    query::ScanOptions scan = o.limits;
    scan.progress = [&](double part) { return !(asked = o.limits.progress && !o.limits.progress(part / 2)); };
    query::scan(trace, o.where, scan, [&](const query::Row&, query::Truth) {
        s.more = o.most != 0 && s.transitions == o.most;
        s.transitions += !s.more;
        return !s.more;
    });
    if (asked) return fail("The export was given up.");
    return s;
}

Result<std::unique_ptr<Exporter>> exporter_of(const trace::Trace& trace, const ExportOptions& o) {
    switch (o.format) {
        case Format::Perfetto: return perfetto_exporter(trace, o.to);
        case Format::Ctf: return ctf_exporter(trace, o.to);
        case Format::Jsonl: return jsonl_exporter(trace, o.to, o.columns);
        case Format::Csv: return csv_exporter(trace, o.to, o.columns);
        case Format::Html: break;
    }
    const auto selected = select(trace, o);
    if (!selected) return tl::unexpected(selected.error());
    return html_exporter(trace, o.to, o.columns, *selected);
}

}  // namespace

std::optional<Format> format_by_name(std::string_view name) {
    constexpr std::string_view names[] = {"perfetto", "ctf", "jsonl", "csv", "html"};
    for (std::size_t i = 0; i < std::size(names); ++i)
        if (name == names[i]) return static_cast<Format>(i);
    return std::nullopt;
}

Result<Exported> export_trace(const trace::Trace& trace, const ExportOptions& o) {
    std::error_code error;
    if (std::filesystem::equivalent(trace.path(), o.to.path, error))
        return fail(fmt::format("{} is the trace itself.", o.to.path.string()), "Name another file.");
    auto exporter = exporter_of(trace, o);
    if (!exporter) return tl::unexpected(exporter.error());
    const Exporter::Needs needs = (*exporter)->needs();
    Exported result;
    Result<void> taken;
    bool asked = false;
    query::ScanOptions scan = o.limits;
    scan.whole = needs.whole;
    scan.durations = needs.durations;
    scan.everything = needs.everything;
    const double done = o.format == Format::Html ? 0.5 : 0;  // of the progress, by then
    scan.progress = [&](double part) {
        return !(asked = o.limits.progress && !o.limits.progress(done + part * (1 - done)));
    };
    result.scanned = query::scan(trace, o.where, scan, [&](const query::Row& row, query::Truth truth) {
        const bool selected = truth == query::Truth::Yes;
        result.cut = selected && o.most != 0 && result.transitions == o.most;
        if (result.cut) return false;
        result.transitions += selected;
        taken = (*exporter)->take(row, selected);
        return taken.has_value();
    });
    if (!taken) return tl::unexpected(taken.error());
    if (asked) return fail("The export was given up, and what there was of it is removed.");
    if (auto finished = (*exporter)->finish(); !finished) return tl::unexpected(finished.error());
    return result;
}

}  // namespace vmxscope::core::exporting
