#include "app/vmxscopectl/query_command.h"

#include <algorithm>
#include <bit>
#include <map>
#include <memory>

#include <fmt/format.h>

#include "app/vmxscopectl/slow_progress.h"
#include "core/query/columns.h"
#include "core/query/document.h"
#include "core/query/lexer.h"
#include "core/query/scan.h"
#include "core/transition_text.h"

namespace vmxscope::app {
namespace {

namespace query = core::query;
using query::Query;
using query::Row;

struct Options {
    std::string file, expression, from, to, count_by, histogram, csv, columns;
    std::uint64_t limit = 0;
    bool count = false, json = false, language = false;
};

constexpr std::string_view kExamples =
    "Examples:\n"
    "  vmxscopectl query boot.vxt 'pdptr == undefined'\n"
    "  vmxscopectl query boot.vxt 'kind == l2-exit && wanted_by == L0' --count-by exit_reason\n"
    "  vmxscopectl query boot.vxt 'exit_reason == CPUID' --histogram time_in_l2\n"
    "  vmxscopectl query boot.vxt 'changed(vmcs12.GUEST_CR4)' --columns "
    "seq,time,vmcs12.GUEST_CR4.before,vmcs12.GUEST_CR4\n"
    "  vmxscopectl query boot.vxt 'lost > 0' --csv seq,vcpu,lost\n"
    "  vmxscopectl query boot.vxt 'findings > 0' --from 1.5s --to 2s --json | jq .findings\n"
    "  vmxscopectl query --language                     the language, whole (docs/query-language.md)\n"
    "\n";

/// What is done with each match, and at the end.
class Output {
  public:
    virtual ~Output() = default;
    /// False: nobody reads it any more.
    virtual bool match(const Row& row) = 0;
    virtual void end(const query::Scanned&) {}
    bool flush() {
        const bool said = buffer_.empty() || say(buffer_);
        buffer_.clear();
        return said;
    }
    bool whole = false, durations = false;  // what rows must have

  protected:
    /// On stdout: to people at once, to programs by the block.
    bool put(std::string_view text) {
        constexpr std::size_t enough = 1 << 16;
        buffer_ += text;
        return (buffer_.size() < enough && !stdout_is_terminal()) || flush();
    }

  private:
    std::string buffer_;
};

class Headlines : public Output {
  public:
    Headlines() { whole = true; }
    bool match(const Row& row) override { return put(core::headline(*row.transition) + "\n"); }
};

class JsonLines : public Output {
  public:
    JsonLines() { whole = true; }
    bool match(const Row& row) override { return put(core::to_line(core::to_json(*row.transition)) + "\n"); }
};

class Count : public Output {
  public:
    explicit Count(bool json) : json_(json) {}
    bool match(const Row&) override { return true; }
    void end(const query::Scanned& s) override {
        put(json_ ? fmt::format("{{\"count\":{}}}\n", s.matches) : fmt::format("{}\n", s.matches));
    }

  private:
    bool json_;
};

class OfColumns : public Output {
  public:
    OfColumns(const std::vector<Query>& queries, std::uint64_t tsc_khz) : columns_(queries, tsc_khz) {
        whole = !columns_.digest_only();
        durations = columns_.uses_durations();
    }

  protected:
    query::Columns columns_;
};

class Table : public OfColumns {
  public:
    Table(const std::vector<Query>& queries, std::uint64_t tsc_khz) : OfColumns(queries, tsc_khz) {
        std::string head;
        for (std::size_t i = 0; i < columns_.size(); ++i)
            head += fmt::format("{}{:<{}}", i ? "  " : "", columns_.query(i).text(), width(i));
        put(ended(std::move(head)));
    }
    bool match(const Row& row) override {
        std::string line;
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            std::string text = columns_.text(i, row);
            for (char& c : text)  // notes and symbols come over the wire
                if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
            line += fmt::format("{}{:<{}}", i ? "  " : "", text.empty() ? "-" : text, width(i));
        }
        return put(ended(std::move(line)));
    }

  private:
    std::size_t width(std::size_t i) const { return std::max<std::size_t>(columns_.query(i).text().size(), 12); }
    static std::string ended(std::string line) {
        while (line.ends_with(' ')) line.pop_back();
        return line + "\n";
    }
};

class Csv : public OfColumns {
  public:
    Csv(const std::vector<Query>& queries, std::uint64_t tsc_khz) : OfColumns(queries, tsc_khz) {
        put(columns_.csv_head() + "\n");
    }
    bool match(const Row& row) override { return put(columns_.csv_line(row) + "\n"); }
};

class JsonColumns : public OfColumns {
  public:
    using OfColumns::OfColumns;
    bool match(const Row& row) override { return put(core::to_line(columns_.json(row)) + "\n"); }
};

class CountBy : public OfColumns {
  public:
    CountBy(const std::vector<Query>& queries, std::uint64_t tsc_khz, bool json)
        : OfColumns(queries, tsc_khz), json_(json) {}

    bool match(const Row& row) override {
        std::vector<std::string> key;
        for (std::size_t i = 0; i < columns_.size(); ++i) key.push_back(columns_.text(i, row));
        ++counts_[key];
        return true;
    }
    void end(const query::Scanned&) override {
        using Entry = std::pair<std::vector<std::string>, std::uint64_t>;
        std::vector<Entry> sorted(counts_.begin(), counts_.end());
        std::stable_sort(sorted.begin(), sorted.end(),
                         [](const Entry& a, const Entry& b) { return a.second > b.second; });
        for (const auto& [key, count] : sorted)
            if (!put(json_ ? json_line(key, count) : text_line(key, count))) return;
    }

  private:
    std::string json_line(const std::vector<std::string>& key, std::uint64_t count) const {
        core::Json object = core::Json::object();
        for (std::size_t i = 0; i < key.size(); ++i)
            object[columns_.query(i).text()] = key[i].empty() ? core::Json(nullptr) : core::Json(key[i]);
        object["count"] = count;
        return core::to_line(object) + "\n";
    }
    static std::string text_line(const std::vector<std::string>& key, std::uint64_t count) {
        std::string line = fmt::format("{:>10}", count);
        for (const std::string& text : key) line += fmt::format("  {:<20}", text.empty() ? "-" : text);
        while (line.ends_with(' ')) line.pop_back();
        return line + "\n";
    }

    bool json_;
    std::map<std::vector<std::string>, std::uint64_t> counts_;
};

/// Numbers and times by powers of two, all else by value.
class Histogram : public OfColumns {
  public:
    Histogram(const std::vector<Query>& queries, std::uint64_t tsc_khz, bool json)
        : OfColumns(queries, tsc_khz), json_(json) {}

    bool match(const Row& row) override {
        const query::Cell cell = columns_.value(0, row);
        if (cell.known)
            ++counts_[by_power() ? std::bit_width(cell.bits) : cell.bits];
        else
            ++unknown_;
        return true;
    }
    void end(const query::Scanned&) override {
        std::uint64_t most = 1;
        for (const auto& [bucket, count] : counts_) most = std::max(most, count);
        if (by_power() && !counts_.empty())  // empty ones in between have their lines, too
            for (std::uint64_t b = counts_.begin()->first; b < counts_.rbegin()->first; ++b) counts_[b];
        for (const auto& [bucket, count] : counts_)
            if (!put(json_ ? json_line(bucket, count) : text_line(bucket, count, most))) return;
        if (unknown_ > 0) remark(fmt::format("Of {} the value is not known.", unknown_));
    }

  private:
    bool by_power() const {
        const query::Type type = columns_.query(0).type();
        return type == query::Type::Number || type == query::Type::Time;
    }
    std::uint64_t first(std::uint64_t bucket) const {
        return !by_power() ? bucket : bucket == 0 ? 0 : 1ull << (bucket - 1);
    }
    std::uint64_t last(std::uint64_t bucket) const {
        return by_power() && bucket > 0 ? first(bucket) * 2 - 1 : first(bucket);
    }

    std::string json_line(std::uint64_t bucket, std::uint64_t count) const {
        core::Json object = core::Json::object();
        if (by_power()) {
            object["first"] = first(bucket);
            object["last"] = last(bucket);
        } else {
            object["value"] = query::value_text(columns_.query(0), bucket);
        }
        object["count"] = count;
        return core::to_line(object) + "\n";
    }
    std::string text_line(std::uint64_t bucket, std::uint64_t count, std::uint64_t most) const {
        constexpr double longest = 50;  // characters
        const auto length = static_cast<std::size_t>(longest * static_cast<double>(count) / static_cast<double>(most));
        const std::string bar(count > 0 ? std::max<std::size_t>(length, 1) : 0, '#');
        std::string name = query::value_text(columns_.query(0), first(bucket));
        if (by_power())
            name = fmt::format("{:>10} .. {:<10}", name, query::value_text(columns_.query(0), last(bucket)));
        return bar.empty() ? fmt::format("{:<24} {:>10}\n", name, count)
                           : fmt::format("{:<24} {:>10}  {}\n", name, count, bar);
    }

    bool json_;
    std::map<std::uint64_t, std::uint64_t> counts_;
    std::uint64_t unknown_ = 0;
};

core::Result<std::vector<Query>> values(std::string_view option, const std::string& text) {
    auto parsed = Query::parse_values(text);
    if (!parsed) return tl::unexpected(expression_error(option, text, parsed.error()));
    return std::move(*parsed);
}

core::Result<std::unique_ptr<Output>> output_of(const Options& o, std::uint64_t tsc_khz) {
    if (o.count) return std::make_unique<Count>(o.json);
    for (const auto& [option, text] : {std::pair{"--count-by", o.count_by},
                                       {"--histogram", o.histogram},
                                       {"--csv", o.csv},
                                       {"--columns", o.columns}}) {
        if (text.empty()) continue;
        const auto queries = values(option, text);
        if (!queries) return tl::unexpected(queries.error());
        if (!o.count_by.empty()) return std::make_unique<CountBy>(*queries, tsc_khz, o.json);
        if (!o.csv.empty()) return std::make_unique<Csv>(*queries, tsc_khz);
        if (!o.columns.empty() && o.json) return std::make_unique<JsonColumns>(*queries, tsc_khz);
        if (!o.columns.empty()) return std::make_unique<Table>(*queries, tsc_khz);
        if (queries->size() != 1 || (*queries)[0].type() == query::Type::Text)
            return core::fail("--histogram takes one value that is no text.");
        return std::make_unique<Histogram>(*queries, tsc_khz, o.json);
    }
    if (o.json) return std::make_unique<JsonLines>();
    return std::make_unique<Headlines>();
}

int run_query(const Options& o) {
    if (o.language) return say(query::language_markdown()) ? kDone : kFailed;
    if (o.expression.empty()) {
        complain({"query needs a trace file and an expression.", "See: vmxscopectl query --help"});
        return kUsage;
    }
    const auto where = Query::parse(o.expression);
    if (!where) return complain(expression_error("The expression", o.expression, where.error()));
    const auto trace = core::trace::Trace::open(o.file);
    if (!trace) return complain(trace.error());
    for (const std::string& damage : trace->damage()) remark(damage);
    query::ScanOptions options;
    std::uint64_t last_seq = ~0ull, last_tsc = ~0ull;
    if (const auto ok = limit_of(o.from, *trace, options.first_seq, options.first_tsc); !ok)
        return complain(ok.error());
    if (const auto ok = limit_of(o.to, *trace, last_seq, last_tsc); !ok) return complain(ok.error());
    options.last_seq = last_seq;
    options.last_tsc = last_tsc;
    const auto output = output_of(o, trace->info().tsc_khz);
    if (!output) return complain(output.error());

    SlowProgress progress("searching");
    options.whole = (*output)->whole;
    options.durations = (*output)->durations;
    options.progress = [&progress](double fraction) { return progress.tell(fraction); };
    std::uint64_t matches = 0;
    const query::Scanned scanned = query::scan(*trace, *where, options, [&](const Row& row, query::Truth) {
        if (stdout_is_terminal()) progress.clear();
        return (*output)->match(row) && (++matches != o.limit || o.limit == 0);
    });
    progress.clear();
    if (!interrupted()) (*output)->end(scanned);
    (*output)->flush();
    return report_scan(scanned);
}

}  // namespace

core::Error expression_error(std::string_view thing, std::string_view expression, const query::ParseError& error) {
    std::string marked = query::caret_text(expression, error);
    marked.pop_back();
    marked.replace(marked.find('\n'), 1, "\n  ");  // the second line is indented as the remedy is
    return {fmt::format("{} is not understood: {}", thing, error.what), marked};
}

core::Result<void> limit_of(const std::string& text, const core::trace::Trace& trace, std::uint64_t& seq,
                            std::uint64_t& tsc) {
    if (text.empty()) return {};
    const auto tokens = query::tokens_of(text);
    const bool one = tokens && tokens->size() == 2;
    if (one && (*tokens)[0].kind == query::Token::Kind::Number) {
        seq = (*tokens)[0].value;
        return {};
    }
    if (!one || (*tokens)[0].kind != query::Token::Kind::Time)
        return core::fail(fmt::format("'{}' is neither a transition's number nor a time.", text),
                          "A number as in 1200, or a time since the first transition as in 1.5s.");
    const std::uint64_t khz = trace.info().tsc_khz;
    if (khz == 0)
        return core::fail("The trace does not say how fast its TSC is, so there are no times in it.",
                          "Give a transition's number.");
    const double cycles = static_cast<double>((*tokens)[0].value) * static_cast<double>(khz) / 1e6;
    const std::uint64_t start = trace.blocks() > 0 ? trace.block(0).first_tsc : 0;
    tsc = cycles >= static_cast<double>(~0ull - start) ? ~0ull : start + static_cast<std::uint64_t>(cycles);
    return {};
}

int report_scan(const query::Scanned& scanned) {
    for (const std::string& damage : scanned.damage) remark(damage);
    if (scanned.matches == 0 && scanned.unknown > 0)
        remark(
            fmt::format("Of {} of {} transitions it is not known whether they match: a value was not read, or does not "
                        "apply.",
                        scanned.unknown, scanned.rows));
    return interrupted() ? kInterrupted : kDone;
}

void add_query_command(CLI::App& app, Run& run) {
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("query", "Find the transitions of a trace that match an expression");
    command->add_option("FILE", o->file, "The trace");
    command->add_option("EXPR", o->expression, "The condition; see below. true matches all");
    command->add_option("--from", o->from, "From this transition on, or from this time since the first (1.5s)");
    command->add_option("--to", o->to, "Up to this transition or time");
    command->add_option("--limit", o->limit, "At most so many matches");
    auto* count = command->add_flag("--count", o->count, "Only how many there are");
    auto* count_by = command->add_option("--count-by", o->count_by, "How many there are of each value of NAME[,NAME]");
    auto* histogram =
        command->add_option("--histogram", o->histogram, "How a number or time is distributed, by powers of two");
    auto* csv = command->add_option("--csv", o->csv, "These values of each match as CSV: seq,time,vmcs12.GUEST_CR3");
    auto* columns = command->add_option("--columns", o->columns,
                                        "These values of each match as a table, or with --json as objects");
    auto* json = command->add_flag("--json", o->json, "One JSON object a line (see transition.schema.json)");
    command->add_flag("--language", o->language, "Describe the language, in Markdown");
    for (auto* a : std::initializer_list<CLI::Option*>{count, count_by, histogram, csv, columns})
        for (auto* b : std::initializer_list<CLI::Option*>{count, count_by, histogram, csv, columns})
            if (a != b) a->excludes(b);
    csv->excludes(json);
    command->footer(std::string(kExamples) + query::language_text());
    command->callback([o, &run] { run = [o] { return run_query(*o); }; });
}

}  // namespace vmxscope::app
