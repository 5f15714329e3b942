#include "core/query/lexer.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "core/query/names.h"

namespace vmxscope::core::query {
namespace {

constexpr std::size_t kMostTokens = 4096;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_word(char c) {
    return is_letter(c) || is_digit(c);
}

struct Suffix {
    std::string_view text;
    std::uint64_t factor;
    bool time;
};
constexpr Suffix kSuffixes[] = {
    {"", 1, false},      {"k", 1'000, false},     {"M", 1'000'000, false},   {"ns", 1, true},
    {"us", 1'000, true}, {"ms", 1'000'000, true}, {"s", 1'000'000'000, true}};

// Longest first.
constexpr std::string_view kSymbols[] = {"&&", "||", "==", "!=", "<=", ">=", "=~", "<<", ">>", "..",
                                         "(",  ")",  "{",  "}",  ",",  ".",  "!",  "<",  ">",  "&",
                                         "|",  "^",  "~",  "+",  "-",  "*",  "/",  "%"};

class Lexer {
  public:
    explicit Lexer(std::string_view text) : text_(text) {}

    tl::expected<std::vector<Token>, ParseError> all() {
        std::vector<Token> tokens;
        for (;;) {
            while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n')) ++at_;
            if (tokens.size() > kMostTokens) return error("The expression is too long.", at_, 1);
            if (at_ == text_.size()) break;
            auto token = next();
            if (!token) return tl::unexpected(token.error());
            tokens.push_back(*token);
        }
        tokens.push_back({Token::Kind::End, text_.substr(text_.size()), 0, text_.size(), 0});
        return tokens;
    }

  private:
    using Result = tl::expected<Token, ParseError>;

    static tl::unexpected<ParseError> error(std::string what, std::size_t offset, std::size_t length) {
        return tl::unexpected(ParseError{std::move(what), offset, length});
    }

    char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

    Token token(Token::Kind kind, std::size_t begin, std::uint64_t value = 0) const {
        return {kind, text_.substr(begin, at_ - begin), value, begin, at_ - begin};
    }

    Result next() {
        const char c = peek();
        if (is_digit(c)) return number();
        if (is_letter(c)) return name();
        if (c == '"' || c == '\'') return string(c);
        for (const std::string_view symbol : kSymbols)
            if (text_.substr(at_).starts_with(symbol)) {
                const std::size_t begin = at_;
                at_ += symbol.size();
                return token(Token::Kind::Symbol, begin);
            }
        if (c == '=') return error("One '=' compares nothing: write ==.", at_, 1);
        return error(c > ' ' && c < 0x7f ? fmt::format("'{}' has no meaning here.", c)
                                         : std::string("There is a character that has no meaning."),
                     at_, 1);
    }

    Result string(char quote) {
        const std::size_t begin = at_;
        const std::size_t end = text_.find(quote, at_ + 1);
        if (end == std::string_view::npos) return error("The string has no end.", begin, text_.size() - begin);
        at_ = end + 1;
        return Token{Token::Kind::String, text_.substr(begin + 1, end - begin - 1), 0, begin, at_ - begin};
    }

    /// Words with hyphens ("nested-entry") are those of a vocabulary; any other hyphen is a minus.
    Result name() {
        const std::size_t begin = at_;
        std::size_t longest = 0;
        for (std::size_t end = begin;;) {
            while (end < text_.size() && is_word(text_[end])) ++end;
            if (longest == 0 || is_hyphenated_word(text_.substr(begin, end - begin))) longest = end;
            if (end + 1 >= text_.size() || text_[end] != '-' || !is_letter(text_[end + 1]) || end - begin > 64) break;
            ++end;
        }
        at_ = longest;
        return token(Token::Kind::Name, begin);
    }

    Result number() {
        const std::size_t begin = at_;
        std::uint64_t value = 0;
        int base = 10;
        if (peek() == '0' && (peek(1) == 'x' || peek(1) == 'X')) base = 16;
        if (peek() == '0' && (peek(1) == 'b' || peek(1) == 'B')) base = 2;
        if (base != 10) at_ += 2;
        const char* const from = text_.data() + at_;
        const auto [end, code] = std::from_chars(from, text_.data() + text_.size(), value, base);
        at_ += static_cast<std::size_t>(end - from);
        std::string_view fraction;
        if (base == 10 && peek() == '.' && is_digit(peek(1))) {
            const std::size_t first = ++at_;
            while (is_digit(peek())) ++at_;
            fraction = text_.substr(first, at_ - first);
        }
        const std::size_t unit = at_;
        while (is_word(peek())) ++at_;
        if (code == std::errc::result_out_of_range)
            return error("The number has more than 64 bits.", begin, at_ - begin);
        if (code != std::errc{}) return error("This is no number.", begin, std::max<std::size_t>(at_ - begin, 1));
        return with_unit(begin, value, fraction, text_.substr(unit, at_ - unit));
    }

    Result with_unit(std::size_t begin, std::uint64_t value, std::string_view fraction, std::string_view unit) {
        for (const Suffix& s : kSuffixes) {
            if (s.text != unit) continue;
            if (value > std::numeric_limits<std::uint64_t>::max() / s.factor)
                return error("The number has more than 64 bits.", begin, at_ - begin);
            std::uint64_t all = value * s.factor, place = s.factor;
            for (const char digit : fraction) {
                if (place % 10 != 0)
                    return error(s.factor == 1 ? "A number without a unit has no fraction."
                                               : "The fraction is too fine for its unit.",
                                 begin, at_ - begin);
                place /= 10;
                all += static_cast<std::uint64_t>(digit - '0') * place;
            }
            return token(s.time ? Token::Kind::Time : Token::Kind::Number, begin, all);
        }
        return error(
            fmt::format("A number cannot end in '{}'. Counts: k, M; times: ns, us, ms, s.", unit.substr(0, 20)), begin,
            at_ - begin);
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

tl::expected<std::vector<Token>, ParseError> tokens_of(std::string_view text) {
    return Lexer(text).all();
}

}  // namespace vmxscope::core::query
