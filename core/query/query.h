// The query language: a condition on a transition, or values of it. docs/query-language.md describes it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/query/parse_error.h"
#include "core/query/program.h"

namespace vmxscope::core::query {

inline constexpr std::size_t kLongestExpression = 4096;  // bytes

/// An expression that was parsed, with every name and type checked. Cheap to copy, immutable.
class Query {
  public:
    /// A condition; a number is one, too: it holds when it is not 0.
    static tl::expected<Query, ParseError> parse(std::string_view text);
    /// Values of any type, separated by commas, as for the columns of a table.
    static tl::expected<std::vector<Query>, ParseError> parse_values(std::string_view text);

    const std::string& text() const { return text_; }  // as it was written, without blanks around it
    Type type() const { return type_; }
    Vocabulary vocabulary() const { return vocabulary_; }  // of a Word
    bool hex() const { return hex_; }                      // how a number is best written
    /// A Digest and the durations tell all of it.
    bool digest_only() const { return program_->digest_only; }
    bool uses_durations() const { return program_->uses_durations; }
    const Program& program() const { return *program_; }

  private:
    friend class Parser;
    Query() = default;

    std::string text_;
    Type type_ = Type::Truth;
    Vocabulary vocabulary_ = Vocabulary::None;
    bool hex_ = false;
    std::shared_ptr<const Program> program_;
};

}  // namespace vmxscope::core::query
