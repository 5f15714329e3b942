// What goes with what: the types of an expression.
#include <fmt/format.h>

#include "core/query/parser.h"

namespace vmxscope::core::query {
namespace {

constexpr std::size_t kLongestPattern = 200;

std::string_view called(const Operand& o) {
    constexpr std::string_view names[] = {"a truth", "a number", "a time", "a word", "a text"};
    return names[static_cast<std::size_t>(o.type)];
}

bool equality(Code code) {
    return code == Code::Equal || code == Code::NotEqual;
}

}  // namespace

Operand Parser::as_truth(Operand o) {
    if (o.loose) unknown_name(o);
    if (o.type == Type::Truth) return o;
    if (o.type != Type::Number)
        fail(fmt::format("{} alone is no condition: compare it.", o.type == Type::Time   ? "A time"
                                                                  : o.type == Type::Word ? "A word"
                                                                                         : "A text"),
             o);
    emit({Code::ToTruth}, 0);
    o.type = Type::Truth;
    return o;
}

Operand Parser::as_number(Operand o, std::string_view for_what) {
    if (o.loose) unknown_name(o);
    if (o.type != Type::Number) fail(fmt::format("'{}' takes numbers, and this is {}.", for_what, called(o)), o);
    o.name = nullptr;
    return o;
}

Operand Parser::binary(Operand left, Operand right, Code code, std::string_view symbol) {
    if (code == Code::TextMatch) return match(std::move(left), right);
    if (code >= Code::Equal && code <= Code::GreaterEqual)
        return comparison(std::move(left), std::move(right), code, symbol);
    return arithmetic(std::move(left), std::move(right), code, symbol);
}

Operand Parser::arithmetic(Operand left, Operand right, Code code, std::string_view symbol) {
    if (left.loose) unknown_name(left);
    if (right.loose) unknown_name(right);
    Operand o = joined(left, right);
    const bool time_left = left.type == Type::Time, time_right = right.type == Type::Time;
    const bool numbers = left.type == Type::Number && right.type == Type::Number;
    if (numbers || (time_left && time_right && code == Code::Divide)) {
        o.type = Type::Number;
    } else if ((time_left && time_right && (code == Code::Add || code == Code::Subtract)) ||
               (time_left && right.type == Type::Number && (code == Code::Multiply || code == Code::Divide)) ||
               (time_right && left.type == Type::Number && code == Code::Multiply)) {
        o.type = Type::Time;
    } else {
        fail(fmt::format("'{}' does not go between {} and {}.", symbol, called(left), called(right)), o);
    }
    emit({code}, -1);
    return o;
}

Operand Parser::comparison(Operand left, Operand right, Code code, std::string_view symbol) {
    if (left.type == Type::Text && !left.literal && right.literal) return text_comparison(std::move(left), right, code);
    if (right.type == Type::Text && !right.literal && left.literal)
        return text_comparison(std::move(right), left, code);
    const auto is_word = [](const Operand& o) { return !o.loose && o.type == Type::Word; };
    if (is_word(left) || is_word(right)) return word_comparison(std::move(left), std::move(right), code, symbol);
    if (left.loose || left.literal) unknown_name(left);
    if (right.loose || right.literal) unknown_name(right);

    Operand o = joined(left, right);
    const auto is_zero = [this](const Operand& side) { return text_.substr(side.offset, side.length) == "0"; };
    const auto boolean = [](const Operand& side) { return side.type == Type::Truth || side.type == Type::Number; };
    const bool same = left.type == right.type && left.type != Type::Text;
    const bool truths = equality(code) && boolean(left) && boolean(right);
    const bool zero = (left.type == Type::Time && is_zero(right)) || (right.type == Type::Time && is_zero(left));
    if ((left.type == Type::Time) != (right.type == Type::Time) && !zero &&
        (left.type == Type::Number || right.type == Type::Number))
        fail("A time is compared with a time; a number needs a unit: 50us.", left.type == Type::Number ? left : right);
    if (!same && !truths && !zero) fail(fmt::format("{} cannot be compared with {}.", called(left), called(right)), o);
    if (left.type == Type::Truth && !equality(code)) fail("Truths are equal or not, and nothing else.", o);
    emit({code}, -1);
    o.type = Type::Truth;
    o.hex = false;
    return o;
}

Operand Parser::word_comparison(Operand left, Operand right, Code code, std::string_view symbol) {
    const bool word_is_right = right.loose || right.literal;
    const Operand& written = word_is_right ? right : left;  // by somebody, when it is loose or literal
    const Operand& named = word_is_right ? left : right;
    Operand o = joined(left, right);
    o.type = Type::Truth;
    o.hex = false;
    if (written.loose || written.literal) {
        if (!equality(code)) fail(fmt::format("Words are equal or not: '{}' is for numbers.", symbol), o);
        if (named.name && named.name->name == "pdptr")
            if (const auto state = word_by(Vocabulary::Is, written.text))
                return pdptr_state(left, right, static_cast<nested::Is>(*state), code);
        program_.code[written.begin].immediate = word_value(written, named.vocabulary);
    } else {
        const auto is_reason = [](const Operand& side) {
            return side.type == Type::Number || side.vocabulary == Vocabulary::ExitReason;
        };
        const bool same = left.type == right.type && left.vocabulary == right.vocabulary && equality(code);
        if (!same && !(is_reason(left) && is_reason(right)))
            fail(fmt::format("{} cannot be compared with {} by '{}'.", called(left), called(right), symbol), o);
    }
    emit({code}, -1);
    return o;
}

Operand Parser::text_comparison(Operand left, const Operand& right, Code code) {
    if (!equality(code)) fail("Texts are equal or not, or match a pattern (=~).", joined(left, right));
    Operand o = left.offset < right.offset ? joined(left, right) : joined(right, left);
    take_back(o);
    program_.strings.emplace_back(right.text);
    emit({Code::TextEqual, static_cast<std::uint32_t>(program_.strings.size() - 1), 0, &left.name->source}, 1);
    if (code == Code::NotEqual) emit({Code::Not}, 0);
    o.type = Type::Truth;
    return o;
}

/// "pdptr == undefined" is of either VMCS, "pdptr == defined" of both.
Operand Parser::pdptr_state(const Operand& left, const Operand& right, nested::Is state, Code code) {
    Operand o = left.offset < right.offset ? joined(left, right) : joined(right, left);
    take_back(o);
    for (const std::string_view name : {"pdptr.vmcs12", "pdptr.vmcs02"}) {
        emit({Code::Digests, 0, 0, &name_by(name)->source}, 1);
        emit({Code::Constant, 0, static_cast<std::uint64_t>(state)}, 1);
        emit({Code::Equal}, -1);
    }
    emit({state == nested::Is::Undefined ? Code::Either : Code::Both}, -1);
    if (code == Code::NotEqual) emit({Code::Not}, 0);
    o.type = Type::Truth;
    return o;
}

Operand Parser::match(Operand left, const Operand& pattern) {
    if (left.loose) unknown_name(left);
    if (!pattern.literal) fail("After =~ comes a pattern in quotes: =~ \"EPT\".", pattern);
    if (pattern.text.size() > kLongestPattern)
        fail(fmt::format("A pattern has at most {} characters.", kLongestPattern), pattern);
    if (left.type != Type::Word && left.type != Type::Text)
        fail(fmt::format("=~ matches words and texts, and this is {}.", called(left)), left);
    Operand o = joined(left, pattern);
    o.type = Type::Truth;
    take_back(pattern);
    std::regex regex;
    try {  // __polynomial: no pattern takes time out of proportion, and none needs the stack
        regex.assign(std::string(pattern.text),
                     std::regex::ECMAScript | std::regex::icase | std::regex_constants::__polynomial);
    } catch (const std::regex_error&) {
        fail("This is no regular expression (ECMAScript, without back-references).", pattern);
    }
    if (left.type == Type::Text) {
        take_back(left);
        program_.patterns.push_back(std::move(regex));
        emit({Code::TextMatch, static_cast<std::uint32_t>(program_.patterns.size() - 1), 0, &left.name->source}, 1);
        return o;
    }
    Ranges matching;
    for (const Word& word : words_of(left.vocabulary))
        if (std::regex_search(word.name, regex)) matching.emplace_back(word.value, word.value);
    if (matching.empty()) fail(fmt::format("No {} matches this.", name_of(left.vocabulary)), pattern);
    emit({Code::In, static_cast<std::uint32_t>(program_.sets.size())}, 0);
    program_.sets.push_back(std::move(matching));
    return o;
}

}  // namespace vmxscope::core::query
