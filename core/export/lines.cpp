// Text formats of a line for each transition: JSON lines and CSV.
#include "core/export/exporter.h"
#include "core/export/output.h"
#include "core/export/text.h"

namespace vmxscope::core::exporting {
namespace {

class Lines : public Exporter {
  public:
    Lines(OutputFile file, query::Columns columns) : columns_(std::move(columns)), file_(std::move(file)) {}

    Needs needs() const override {
        return {.whole = columns_.size() == 0 || !columns_.digest_only(), .durations = columns_.uses_durations()};
    }
    Result<void> take(const query::Row& row, bool selected) override {
        return selected ? file_.write(line(row) + "\n") : Result<void>{};
    }
    Result<void> finish() override { return file_.finish(); }

  protected:
    virtual std::string line(const query::Row& row) = 0;
    query::Columns columns_;
    OutputFile file_;
};

class JsonLines : public Lines {
  public:
    using Lines::Lines;

  protected:
    std::string line(const query::Row& row) override {
        return to_line(columns_.size() ? columns_.json(row) : to_json(*row.transition));
    }
};

class Csv : public Lines {
  public:
    using Lines::Lines;
    Result<void> head() { return file_.write(clean(columns_.csv_head()) + "\n"); }

  protected:
    std::string line(const query::Row& row) override { return clean(columns_.csv_line(row)); }
};

}  // namespace

Result<std::unique_ptr<Exporter>> jsonl_exporter(const trace::Trace& trace, const Destination& to,
                                                 const std::vector<query::Query>& columns) {
    auto file = OutputFile::create(to.path, to.replace);
    if (!file) return tl::unexpected(file.error());
    return std::make_unique<JsonLines>(std::move(*file), query::Columns(columns, trace.info().tsc_khz));
}

Result<std::unique_ptr<Exporter>> csv_exporter(const trace::Trace& trace, const Destination& to,
                                               const std::vector<query::Query>& columns) {
    auto file = OutputFile::create(to.path, to.replace);
    if (!file) return tl::unexpected(file.error());
    auto csv = std::make_unique<Csv>(std::move(*file), query::Columns(columns, trace.info().tsc_khz));
    if (auto head = csv->head(); !head) return tl::unexpected(head.error());
    return csv;
}

}  // namespace vmxscope::core::exporting
