#include "app/vmxscopectl/stepping.h"

#include <fmt/format.h>

#include "app/vmxscopectl/command.h"
#include "app/vmxscopectl/query_command.h"

namespace vmxscope::app {
namespace {

using core::Result;
using core::StepKind;
using core::Way;

constexpr std::string_view kKeys =
    "Enter or t: next transition   n ]: next nested entry or exit   e: next nested entry   x: next nested exit\n"
    "b: back, by the last step     [: back to a nested one          g: go to …             .: back to the present\n"
    "/ ?: search forth, back       c: run on (any key stops)        f: all fields          h: these keys\n"
    "q: leave, the guest runs on\n";

std::optional<StepKind> step_of(char key) {
    switch (key) {
        case '\n':
        case '\r':
        case 't': return StepKind::Transition;
        case 'n':
        case ']': return StepKind::Nested;
        case 'e': return StepKind::Entry;
        case 'x': return StepKind::Exit;
        default: return std::nullopt;
    }
}

void tell(const core::Error& error) {
    remark(error.remedy.empty() ? error.what : fmt::format("{}\n  {}", error.what, error.remedy));
}

}  // namespace

/// Shows a transition that was seen before. The guest stays where it is.
Result<Stepping::Next> Stepping::look_at(std::uint64_t seq) {
    const auto t = seen_.line().transition(seq);
    if (!t) {
        tell(t.error());
        return Next::Key;
    }
    here_ = seq;
    const auto read = output_.show(stepper_.target(), *t);
    if (!read) return tl::unexpected(read.error());
    if (const std::uint64_t last = seen_.line().last(); !recorded() && seq < last)
        remark(fmt::format("This is the past: the guest stands at #{}; '.' goes there.", last));
    return *read ? Next::Key : Next::Leave;
}

/// The guest moves.
Result<Stepping::Next> Stepping::live(std::optional<StepKind> kind) {
    const auto stopped = stepper_.run(kind);
    if (!stopped) return tl::unexpected(stopped.error());
    if (const auto caught = seen_.catch_up(stepper_.target()); !caught) return tl::unexpected(caught.error());
    if (stopped->stop.seq != 0) here_ = stopped->stop.seq;
    const auto read = output_.show(stepper_.target(), stopped->stop);
    if (!read) return tl::unexpected(read.error());
    return *read ? Next::Key : Next::Leave;
}

/// Through what was seen as long as there is more of it, then with the guest.
Result<Stepping::Next> Stepping::forth(std::optional<StepKind> kind) {
    if (kind) {
        kind_ = *kind;
        const auto next = step_from(seen_.line(), here_, *kind, Way::Forth, vcpu_);
        if (!next) return tl::unexpected(next.error());
        if (*next) return look_at(**next);
    }
    if (!recorded()) return live(kind);
    const std::uint64_t last = seen_.line().last();
    const auto shown = here_ == last ? Result<Next>(Next::Key) : look_at(last);
    remark("The recording ends here.");
    return shown;
}

Result<Stepping::Next> Stepping::back(StepKind kind) {
    kind_ = kind;
    const auto next = step_from(seen_.line(), here_, kind, Way::Back, vcpu_);
    if (!next) return tl::unexpected(next.error());
    if (*next) return look_at(**next);
    remark(fmt::format("There is no such transition before this one{}.", recorded() ? "" : " in what was seen"));
    return Next::Key;
}

Result<Stepping::Next> Stepping::ask_where() {
    const auto where = terminal_.ask("Go to (#1200, +1.5ms, first, last, an expression): ");
    if (!where || where->empty()) return Next::Key;
    const auto seq = moment_of(seen_.line(), *where);
    if (seq) return look_at(*seq);
    tell(seq.error());
    return Next::Key;
}

Result<Stepping::Next> Stepping::ask_query(Way way) {
    const auto text = terminal_.ask(fmt::format("Search {}{}: ", way == Way::Forth ? "forth" : "back",
                                                query_.empty() ? "" : fmt::format(" (Enter: {})", query_)));
    if (!text || (text->empty() && query_.empty())) return Next::Key;
    const std::string expression = text->empty() ? query_ : *text;
    const auto query = core::query::Query::parse(expression);
    if (!query) {
        tell(expression_error("The expression", expression, query.error()));
        return Next::Key;
    }
    query_ = expression;
    const auto found = found_from(seen_.line(), here_, *query, way);
    if (found) return look_at(*found);
    tell(found.error());
    return Next::Key;
}

Result<Stepping::Next> Stepping::fields() {
    const auto t = here_ != 0 ? seen_.line().transition(here_) : stepper_.newest();
    if (!t) return tl::unexpected(t.error());
    say(*core::fields_text(*t, "", style()));
    return Next::Key;
}

Result<Stepping::Next> Stepping::key(char key) {
    if (const auto kind = step_of(key)) return forth(*kind);
    switch (key) {
        case 'q': return Next::Leave;
        case 'c': return forth(std::nullopt);
        case 'b': return back(kind_);
        case '[': return back(StepKind::Nested);
        case 'g': return ask_where();
        case '/': return ask_query(Way::Forth);
        case '?': return ask_query(Way::Back);
        case 'f': return fields();
        case '.':
            if (seen_.line().last() != 0) return look_at(seen_.line().last());
            [[fallthrough]];
        default: remark(kKeys); return Next::Key;
    }
}

int Stepping::run() {
    stepper_.limit_waits(std::chrono::seconds(0));
    stepper_.stop_on_key(true);
    remark(fmt::format("Attached to {}; every vCPU is held.\n{}", stepper_.target().info().name, kKeys));
    if (const auto caught = seen_.catch_up(stepper_.target()); !caught) return complain(caught.error());
    if (const std::uint64_t seq = stepper_.last_stop().seq; seq != 0) {
        here_ = seq;
        if (const auto read = output_.show(stepper_.target(), stepper_.last_stop()); !read)
            return complain(read.error());
    }
    while (const char pressed = terminal_.next_key()) {
        const auto next = key(pressed);
        if (!next) return complain(next.error());
        if (*next == Next::Leave) return kDone;
        if (interrupted()) break;
    }
    return kInterrupted;
}

}  // namespace vmxscope::app
