// The bytes are an expression that somebody sent: it is refused with a place within it, or it can be evaluated, and
// then what a digest decides is what the whole transition says.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/query/columns.h"
#include "core/query/evaluator.h"
#include "tests/nested/flow_samples.h"

namespace {

using namespace vmxscope;
using core::query::Truth;

void check(const core::query::ParseError& e, std::string_view text) {
    if (e.what.empty() || e.offset > text.size() + 1 || core::query::caret_text(text, e).empty()) std::abort();
}

struct Sample {
    nested::Transition t;
    core::trace::Digest digest = core::trace::digest_of(t);
};

void evaluate(const core::query::Query& q, const Sample& s) {
    core::query::Durations durations;
    durations.time = durations.round_trip = 5000;
    core::query::Evaluator e(q, 2'000'000);
    const Truth first = e.truth({&s.digest, durations, nullptr});
    const Truth whole = e.truth({&s.digest, durations, &s.t});
    if (first != whole && (first != Truth::Unknown || q.digest_only())) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Sample samples[] = {{nested::good_entry()}, {nested::good_exit()}};
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto condition = core::query::Query::parse(text);
    if (!condition) check(condition.error(), text);
    const auto values = core::query::Query::parse_values(text);
    if (!values) check(values.error(), text);
    for (const Sample& s : samples) {
        if (condition) evaluate(*condition, s);
        if (!values) continue;
        core::query::Columns columns(*values, 2'000'000);
        (void)columns.csv_line({&s.digest, {}, &s.t});
        (void)core::to_line(columns.json({&s.digest, {}, &s.t}));
    }
    return 0;
}
