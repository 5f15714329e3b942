// The words of an expression.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/query/parse_error.h"
#include "core/query/program.h"

namespace vmxscope::core::query {

struct Token {
    enum class Kind : std::uint8_t { End, Number, Time, String, Name, Symbol };
    Kind kind = Kind::End;
    std::string_view text;    // in the expression; of a string: without its quotes
    std::uint64_t value = 0;  // of a number; of a time in ns
    std::size_t offset = 0;   // bytes
    std::size_t length = 0;

    bool is(std::string_view symbol) const { return kind == Kind::Symbol && text == symbol; }
};

/// The tokens of `text`, which they point into, and an End.
tl::expected<std::vector<Token>, ParseError> tokens_of(std::string_view text);

}  // namespace vmxscope::core::query
