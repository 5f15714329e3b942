// What is wrong with an expression, and where.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

namespace vmxscope::core::query {

struct ParseError {
    std::string what;        // one sentence; may end with what is perhaps meant
    std::size_t offset = 0;  // bytes
    std::size_t length = 0;  // 0 at the end of the expression
};

/// The expression and, below it, "^~~~" where the error is. Of a long expression the part around the error. Two lines,
/// each ended.
std::string caret_text(std::string_view expression, const ParseError& error);

}  // namespace vmxscope::core::query
