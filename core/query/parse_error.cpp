#include "core/query/parse_error.h"

#include <algorithm>

#include <fmt/format.h>

namespace vmxscope::core::query {

std::string caret_text(std::string_view expression, const ParseError& error) {
    constexpr std::size_t around = 50;  // characters of the expression before and after the error
    const std::size_t offset = std::min(error.offset, expression.size());
    const std::size_t length = std::min(error.length, expression.size() - offset);
    const std::size_t begin = offset > around ? offset - around : 0;
    const std::size_t end = std::min(expression.size(), offset + std::min(length, around) + around);
    std::string line(expression.substr(begin, end - begin));
    std::string marks;
    for (std::size_t i = begin; i < std::min(offset + length, end); ++i) {
        const bool continues =
            (static_cast<unsigned char>(expression[i]) & 0xc0) == 0x80;  // UTF-8: no column of its own
        if (!continues || i == offset) marks += i < offset ? ' ' : i == offset ? '^' : '~';
    }
    if (length == 0) marks += '^';
    for (char& c : line)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
    const std::string_view before = begin > 0 ? "…" : "", after = end < expression.size() ? "…" : "";
    return fmt::format("{}{}{}\n{}{}\n", before, line, after, before.empty() ? "" : " ", marks);
}

}  // namespace vmxscope::core::query
