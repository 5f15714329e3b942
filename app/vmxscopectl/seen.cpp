#include "app/vmxscopectl/seen.h"

#include <algorithm>

#include <fmt/format.h>

#include "app/vmxscopectl/query_command.h"
#include "app/vmxscopectl/slow_progress.h"
#include "core/query/lexer.h"
#include "core/recorder.h"

namespace vmxscope::app {
namespace {

using core::Result;

constexpr auto kFlush = std::chrono::seconds(2);
constexpr std::size_t kMostPast = 256u << 20;  // bytes of a session's past

/// A time since the first transition, as `time` in a query.
Result<std::uint64_t> at_time(const core::Timeline& line, std::uint64_t ns) {
    const std::uint64_t khz = line.info().tsc_khz;
    if (khz == 0)
        return core::fail("It is not known how fast the TSC is, so there are no times.",
                          "Give a transition's number: #1200.");
    const auto begin = line.digests_at(line.first());
    if (!begin) return tl::unexpected(begin.error());
    const std::uint64_t start = begin->empty() ? 0 : begin->front().tsc;
    const double cycles = static_cast<double>(ns) * static_cast<double>(khz) / 1e6;
    return line.at_tsc(cycles >= static_cast<double>(~0ull - start) ? ~0ull
                                                                    : start + static_cast<std::uint64_t>(cycles));
}

/// A number or a time by itself.
std::optional<core::query::Token> single(const std::string& text) {
    const auto tokens = core::query::tokens_of(text);
    if (!tokens || tokens->size() != 2) return std::nullopt;
    return (*tokens)[0];
}

}  // namespace

std::optional<std::string> trace_file_of(const std::string& uri) {
    const std::string scheme = fmt::format("{}:", core::kTraceScheme);
    if (uri.starts_with(scheme)) return uri.substr(scheme.size());
    if (!uri.ends_with(core::kTraceSuffix)) return std::nullopt;
    return uri;
}

Result<Seen> Seen::of_file(const std::string& path) {
    auto trace = core::trace::Trace::open(path);
    if (!trace) return tl::unexpected(trace.error());
    Seen seen;
    seen.line_ = core::timeline_of(std::move(*trace));
    return seen;
}

Result<Seen> Seen::of(core::Target& target) {
    if (const auto file = trace_file_of(target.info().name)) return of_file(*file);
    Seen seen;
    seen.past_ = std::make_unique<core::trace::Past>(kMostPast);
    seen.line_ = core::timeline_of(*seen.past_, core::trace_info_of(target, nested::EvidenceScope::Pdptrs, {}));
    return seen;
}

Result<void> Seen::catch_up(core::Target& target) {
    if (!past_) return {};
    for (;;) {
        const auto piece = history_.next(target);
        if (!piece) return tl::unexpected(piece.error());
        if (!*piece) return {};
        const auto decoded = for_each(**piece, [this](const nested::Transition& t) {
            past_->add(t);
            log(t);
        });
        if (!decoded) return decoded;
    }
}

void Seen::record_into(core::SessionLog log, std::function<void(const core::Error&)> told) {
    if (!past_) return;
    log_ = std::make_unique<core::SessionLog>(std::move(log));
    told_ = std::move(told);
}

void Seen::log(const nested::Transition& t) {
    if (!log_) return;
    auto done = log_->add(t);
    if (const auto now = std::chrono::steady_clock::now(); done && now - flushed_ > kFlush) {
        flushed_ = now;
        done = log_->flush();
    }
    if (!done) told_(done.error());
}

std::filesystem::path Seen::end_recording() {
    if (!log_) return {};
    if (const auto done = log_->finish(); !done) told_(done.error());
    return log_->file();
}

Result<std::uint64_t> found_from(const core::Timeline& line, std::uint64_t from, const core::query::Query& query,
                                 core::Way way) {
    SlowProgress progress("searching");
    const auto found = find_from(line, from, query, way, [&](double done) { return progress.tell(done); });
    progress.clear();
    if (!found) return tl::unexpected(found.error());
    if (*found) return **found;
    const bool whole = from == 0 && way == core::Way::Forth;
    return core::fail(fmt::format("'{}' holds for no transition{}.", query.text(),
                                  whole                    ? std::string()
                                  : way == core::Way::Back ? fmt::format(" before {}", from)
                                                           : fmt::format(" after {}", from)),
                      line.last() ? fmt::format("There are those from {} to {}.", line.first(), line.last()) : "");
}

Result<std::uint64_t> moment_of(const core::Timeline& line, const std::string& where) {
    if (line.last() == 0) return core::fail("There is no transition yet.", "Step first.");
    if (where == "first") return line.first();
    if (where == "last") return line.last();
    const bool time = where.starts_with('+');
    const std::string text = time || where.starts_with('#') ? where.substr(1) : where;
    if (const auto token = single(text)) {
        if (token->kind == core::query::Token::Kind::Time) return at_time(line, token->value);
        if (token->kind == core::query::Token::Kind::Number && !time) return token->value;
    }
    const auto query = core::query::Query::parse(where);
    if (!query) return tl::unexpected(expression_error("Where to go", where, query.error()));
    return found_from(line, 0, *query, core::Way::Forth);
}

}  // namespace vmxscope::app
