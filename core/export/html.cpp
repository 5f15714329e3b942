// A report of a selection that is one file: nothing is loaded from elsewhere, and no script runs in it.
#include <fmt/format.h>

#include "core/export/exporter.h"
#include "core/export/html_transition.h"
#include "core/export/output.h"
#include "core/export/text.h"

namespace vmxscope::core::exporting {
namespace {

using html::escaped;

constexpr std::string_view kStyle = R"(
:root { color-scheme: light dark; --quiet: #5f6368; --line: #d0d3d8; --alarm: #b00020; --finding: #8a5000;
        --change: #0b57a4; --marked: #fbe3e6; }
@media (prefers-color-scheme: dark) {
:root { --quiet: #9aa0a6; --line: #45484d; --alarm: #ff8a94; --finding: #f0b060; --change: #8ab4f8; --marked: #4a1f25; } }
body { font: 15px/1.45 sans-serif; margin: 1.5em auto; max-width: 90em; padding: 0 1em; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .15em .7em .15em 0; vertical-align: top; }
td, table.fields th, pre, summary { font-family: monospace; } th { font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; } dd { margin: 0; } dt { color: var(--quiet); }
.selection tbody { border-top: 1px solid var(--line); } .fields td { border-top: 1px solid var(--line); }
.selection details { font-family: sans-serif; margin-bottom: .4em; } details details { margin: .6em 0; }
.alarm { color: var(--alarm); } .finding, .lost { color: var(--finding); } .alarm td, .finding td { color: inherit; }
details { color: CanvasText; } .unknown, .says { color: var(--quiet); } .changed { color: var(--change); font-weight: 600; }
.undefined { color: var(--alarm); background: var(--marked); text-decoration: underline dotted; }
)";

std::string line(std::string_view name, std::string_view value) {
    return value.empty() ? "" : fmt::format("<dt>{}</dt><dd>{}</dd>\n", name, escaped(value));
}

class Html : public Exporter {
  public:
    Html(const trace::Trace& trace, OutputFile file, const std::vector<query::Query>& columns)
        : columns_(columns, trace.info().tsc_khz), file_(std::move(file)) {}

    Needs needs() const override { return {.durations = columns_.uses_durations()}; }

    Result<void> head(const trace::Trace& trace, const Selected& s) {
        const trace::TraceInfo& info = trace.info();
        const std::string title = "vmxscope: " + (info.target.name.empty() ? std::string("trace") : info.target.name);
        std::string text = fmt::format(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta "
            "charset=\"utf-8\">\n<title>{0}</title>\n<style>{1}</style>\n"
            "</head>\n<body>\n<h1>{0}</h1>\n<dl>\n",
            escaped(title), kStyle);
        text += line("trace", trace.path().filename().string()) + line("target", info.target.name) +
                line("kernel", info.target.kernel) + line("processor", info.target.cpu) + line("host", info.host) +
                line("recorded", utc_text(info.started_ns)) + line("by", info.program) +
                line("transitions",
                     trace.count() ? fmt::format("{}, numbers {} to {}", trace.count(), trace.first(), trace.last())
                                   : "none") +
                line("lost", fmt::format("{} records", trace.lost())) + line("condition", s.where) +
                line("limits", s.limits) + line("shown", shown(s));
        for (const std::string& damage : trace.damage()) text += line("damage", damage);
        text += "</dl>\n<table class=\"selection\">\n<thead><tr>";
        for (std::size_t i = 0; i < columns_.size(); ++i)
            text += fmt::format("<th scope=\"col\">{}</th>", escaped(columns_.query(i).text()));
        return file_.write(text + "</tr></thead>\n");
    }

    Result<void> take(const query::Row& row, bool selected) override {
        if (!selected) return {};
        const std::string_view concern = html::concern(*row.transition);
        std::string text = concern.empty()
                               ? fmt::format("<tbody id=\"t{}\"><tr>", row.digest->seq)
                               : fmt::format("<tbody id=\"t{}\" class=\"{}\"><tr>", row.digest->seq, concern);
        for (std::size_t i = 0; i < columns_.size(); ++i)
            text += fmt::format("<td>{}</td>", escaped(columns_.text(i, row)));
        text += fmt::format("</tr>\n<tr><td colspan=\"{}\">", columns_.size());
        return file_.write(text + html::details(*row.transition) + "</td></tr></tbody>\n");
    }

    Result<void> finish() override {
        if (auto written = file_.write("</table>\n</body>\n</html>\n"); !written) return written;
        return file_.finish();
    }

  private:
    static std::string shown(const Selected& s) {
        return s.more ? fmt::format("the first {} transitions; more match, and are cut off", s.transitions)
                      : fmt::format("{} transitions, all that match", s.transitions);
    }

    query::Columns columns_;
    OutputFile file_;
};

}  // namespace

Result<std::unique_ptr<Exporter>> html_exporter(const trace::Trace& trace, const Destination& to,
                                                const std::vector<query::Query>& columns, const Selected& selected) {
    auto file = OutputFile::create(to.path, to.replace);
    if (!file) return tl::unexpected(file.error());
    auto html = std::make_unique<Html>(trace, std::move(*file), columns);
    if (auto head = html->head(trace, selected); !head) return tl::unexpected(head.error());
    return html;
}

}  // namespace vmxscope::core::exporting
