// Values of transitions as columns of a table, for people and for scripts.
#pragma once

#include <string>
#include <vector>

#include "core/query/evaluator.h"
#include "core/transition_json.h"

namespace vmxscope::core::query {

/// "812ns", "50.1us", "1.25ms", "3.4s": as the language reads them, but for the rounding.
std::string time_text(std::uint64_t ns);
/// A value of the query's type: "CPUID", "0x1000", "true", "12.5us". A reason without a name is its number.
std::string value_text(const Query& query, std::uint64_t bits);
/// RFC 4180: in quotes where it must be. A text that a spreadsheet would take for a formula begins with a quote sign.
std::string csv_cell(const std::string& text);

class Columns {
  public:
    Columns(const std::vector<Query>& queries, std::uint64_t tsc_khz);

    std::size_t size() const { return evaluators_.size(); }
    const Query& query(std::size_t i) const { return evaluators_[i].query(); }
    bool digest_only() const;
    bool uses_durations() const;
    /// Text of one value; "" when it is not known.
    std::string text(std::size_t i, const Row& row);
    /// "name,name"
    std::string csv_head() const;
    std::string csv_line(const Row& row);
    /// {"text of the expression": value}: null for unknown, numbers as hexadecimal text where that is how they are
    /// written, times in ns.
    Json json(const Row& row);
    Cell value(std::size_t i, const Row& row) { return evaluators_[i].value(row); }

  private:
    std::vector<Evaluator> evaluators_;
};

}  // namespace vmxscope::core::query
