#include "core/query/parser.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/near_name.h"
#include "core/query/evaluator.h"

namespace vmxscope::core::query {
namespace {

constexpr int kMostNesting = 64;

/// How tightly an operator binds: as in C, but & ^ | before comparisons.
enum Power : int { kOr = 1, kAnd, kNot, kCompare, kBitOr, kBitXor, kBitAnd, kShift, kSum, kProduct, kPrefix };

struct Infix {
    std::string_view symbol;
    Power power;
    Code code;
};
constexpr Infix kInfixes[] = {
    {"||", kOr, Code::Either},         {"or", kOr, Code::Either},
    {"&&", kAnd, Code::Both},          {"and", kAnd, Code::Both},
    {"==", kCompare, Code::Equal},     {"!=", kCompare, Code::NotEqual},
    {"<", kCompare, Code::Less},       {"<=", kCompare, Code::LessEqual},
    {">", kCompare, Code::Greater},    {">=", kCompare, Code::GreaterEqual},
    {"=~", kCompare, Code::TextMatch}, {"in", kCompare, Code::In},
    {"|", kBitOr, Code::BitOr},        {"^", kBitXor, Code::BitXor},
    {"&", kBitAnd, Code::BitAnd},      {"<<", kShift, Code::ShiftLeft},
    {">>", kShift, Code::ShiftRight},  {"+", kSum, Code::Add},
    {"-", kSum, Code::Subtract},       {"*", kProduct, Code::Multiply},
    {"/", kProduct, Code::Divide},     {"%", kProduct, Code::Modulo},
};

const Infix* infix_of(const Token& token) {
    for (const Infix& i : kInfixes)
        if (token.is(i.symbol) || (token.kind == Token::Kind::Name && same_name(token.text, i.symbol))) return &i;
    return nullptr;
}

std::string shown(const Token& token) {
    return token.kind == Token::Kind::End ? "the end" : fmt::format("'{}'", token.text.substr(0, 40));
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    return text;
}

template <typename T, typename F>
tl::expected<T, ParseError> parsed(std::string_view text, F parse) {
    if (text.size() > kLongestExpression)
        return tl::unexpected(ParseError{fmt::format("An expression has at most {} characters.", kLongestExpression),
                                         kLongestExpression, 1});
    auto tokens = tokens_of(text);
    if (!tokens) return tl::unexpected(tokens.error());
    try {
        Parser parser(text, std::move(*tokens));
        return parse(parser);
    } catch (const ParseError& e) {
        return tl::unexpected(e);
    }
}

}  // namespace

// ---- What all use

void Parser::fail(std::string what, std::size_t offset, std::size_t length) {
    throw ParseError{std::move(what), offset, length};
}

void Parser::expect(std::string_view symbol, std::string_view where) {
    if (!peek_is(symbol))
        fail(fmt::format("'{}' is expected {}, not {}.", symbol, where, shown(peek())), peek().offset, peek().length);
    take();
}

Operand Parser::here() const {
    Operand o;
    o.begin = program_.code.size();
    o.depth = depth_;
    o.offset = peek().offset;
    return o;
}

Operand Parser::ended(Operand o) const {
    const Token& last = tokens_[at_ - 1];
    o.length = last.offset + last.length - o.offset;
    return o;
}

Operand Parser::joined(const Operand& left, const Operand& right) const {
    Operand o;
    o.begin = left.begin;
    o.depth = left.depth;
    o.offset = left.offset;
    o.length = right.offset + right.length - left.offset;
    o.constant = left.constant && right.constant;
    o.whole = left.whole || right.whole;
    o.hex = left.hex || right.hex;
    return o;
}

void Parser::emit(Op op, int effect) {
    program_.code.push_back(op);
    depth_ = static_cast<std::size_t>(static_cast<int>(depth_) + effect);
    program_.depth = std::max(program_.depth, depth_);
}

void Parser::take_back(const Operand& o) {
    program_.code.resize(o.begin);
    depth_ = o.depth;
}

// ---- Grammar

Operand Parser::expression(int least_power) {
    if (++nesting_ > kMostNesting) fail("The expression is nested too deeply.", peek().offset, peek().length);
    Operand left = prefix();
    while (const Infix* infix = infix_of(peek())) {
        if (infix->power < least_power) break;
        take();
        if (infix->power == kOr || infix->power == kAnd) {
            left = logic(std::move(left), infix->power == kAnd, infix->power + 1);
        } else if (infix->code == Code::In) {
            left = membership(std::move(left));
        } else {
            Operand right = expression(infix->power + 1);
            left = binary(std::move(left), std::move(right), infix->code, infix->symbol);
        }
        const Infix* next = infix->power == kCompare ? infix_of(peek()) : nullptr;
        if (next && next->power == kCompare)
            fail("Comparisons do not chain: join them with &&.", peek().offset, peek().length);
    }
    --nesting_;
    return left;
}

Operand Parser::logic(Operand left, bool both, int power) {
    left = as_truth(std::move(left));
    const std::size_t skip = program_.code.size();
    emit({both ? Code::SkipIfFalse : Code::SkipIfTrue}, 0);
    const Operand right = as_truth(expression(power));
    emit({both ? Code::Both : Code::Either}, -1);
    program_.code[skip].immediate = program_.code.size();
    Operand o = joined(left, right);
    o.type = Type::Truth;
    return o;
}

Operand Parser::prefix() {
    Operand o = here();
    const Token& token = take();
    o.constant = true;
    switch (token.kind) {
        case Token::Kind::Number:
        case Token::Kind::Time:
            o.type = token.kind == Token::Kind::Time ? Type::Time : Type::Number;
            o.hex = token.text.starts_with("0x");
            emit({Code::Constant, 0, token.value}, 1);
            return ended(o);
        case Token::Kind::String:
            o.type = Type::Text;
            o.literal = true;
            o.text = token.text;
            emit({Code::Constant}, 1);
            return ended(o);
        case Token::Kind::Name: --at_; return name_or_function();
        default: break;
    }
    if (token.is("(")) {
        const Operand inner = expression(kOr);
        expect(")", "here");
        o = ended(inner);
        o.offset = token.offset;
        return ended(o);
    }
    if (token.is("!")) {
        const Operand inner = as_truth(expression(kPrefix));
        emit({Code::Not}, 0);
        o = inner;
        o.name = nullptr;
        o.offset = token.offset;
        return ended(o);
    }
    if (token.is("-") || token.is("~")) {
        Operand inner = as_number(expression(kPrefix), token.text);
        emit({token.is("-") ? Code::Negate : Code::Complement}, 0);
        inner.offset = token.offset;
        return ended(inner);
    }
    fail(fmt::format("A value is expected, not {}.", shown(token)), token.offset, token.length);
}

Operand Parser::name_or_function() {
    const Token& token = peek();
    Operand o = here();
    o.constant = true;
    o.type = Type::Truth;
    if (same_name(token.text, "true") || same_name(token.text, "false")) {
        take();
        emit({Code::Constant, 0, same_name(token.text, "true")}, 1);
        return ended(o);
    }
    if (same_name(token.text, "not")) {
        take();
        const Operand inner = as_truth(expression(kNot));
        emit({Code::Not}, 0);
        o.constant = inner.constant;
        o.whole = inner.whole;
        return ended(o);
    }
    if (infix_of(token)) fail(fmt::format("A value is expected, not {}.", shown(token)), token.offset, token.length);
    if (tokens_[at_ + 1].is("(")) {
        for (const Function& f : all_functions())
            if (same_name(f.name, token.text)) return function(f, take());
        std::vector<std::string_view> names;
        for (const Function& f : all_functions()) names.push_back(f.name);
        const std::string_view near = nearest_name(token.text.substr(0, 64), names, 3);
        fail(fmt::format("There is no function '{}'.{}", token.text.substr(0, 64),
                         near.empty() ? "" : fmt::format(" Is {} meant?", near)),
             token.offset, token.length);
    }
    return path();
}

Operand Parser::function(const Function& f, const Token& name) {
    using Takes = Function::Takes;
    if (f.takes == Takes::Image) return changed(name);
    expect("(", "after a function's name");
    Operand o = f.takes == Takes::Value || f.takes == Takes::Time ? expression(kOr) : here();
    const auto truth = [&](Op op, int effect) {
        emit(op, effect);
        o.type = Type::Truth;
        o.vocabulary = Vocabulary::None;
    };
    if (f.takes == Takes::Value) {
        if (o.loose) unknown_name(o);
        if (o.type == Type::Text) fail(fmt::format("{}() takes no text.", f.name), o);
        truth({f.name == "known" ? Code::Known : Code::Unknown, o.whole ? 1u : 0u}, 0);
    } else if (f.takes == Takes::Time) {
        if (o.loose) unknown_name(o);
        if (!o.name || o.type != Type::Time) fail("cycles() takes the name of a time.", o);
        program_.code[o.begin].index = 1;
        o.type = Type::Number;
    } else {
        const Token& argument = take();
        o = ended(o);
        const bool right = argument.kind == (f.takes == Takes::Badge ? Token::Kind::String : Token::Kind::Name);
        if (!right) fail(fmt::format("It is written {}.", f.usage), o);
        const std::size_t place = f.takes == Takes::Badge ? badge_index(argument) : field_index(argument.text, o);
        truth({Code::Whole, 0, place, &f.source}, 1);
        o.whole = true;
    }
    expect(")", fmt::format("after what {} takes", f.name));
    o.name = nullptr;
    o.hex = false;
    o.offset = name.offset;
    return ended(o);
}

Operand Parser::changed(const Token& name) {
    expect("(", "after a function's name");
    Operand o = path();
    if (o.loose) unknown_name(o);
    const Op load = program_.code[o.begin];
    const auto of = static_cast<FieldRef::Of>(load.immediate & 3);
    if (load.source != &field_source() || (of != FieldRef::Of::Vmcs12 && of != FieldRef::Of::Vmcs02))
        fail("changed() takes a field of vmcs12 or vmcs02: changed(vmcs12.GUEST_CR4).", o);
    const std::vector<Op> code(program_.code.begin() + static_cast<std::ptrdiff_t>(o.begin), program_.code.end());
    program_.code[o.begin].immediate = load.immediate & ~4ull;  // after
    for (Op op : code) {
        if (op.code == Code::Whole) op.immediate |= 4;  // before
        emit(op, op.code == Code::Whole ? 1 : 0);
    }
    emit({Code::NotEqual}, -1);
    expect(")", "after the field");
    o.type = Type::Truth;
    o.hex = false;
    o.offset = name.offset;
    return ended(o);
}

Operand Parser::membership(Operand left) {
    if (left.loose) unknown_name(left);
    if (left.type == Type::Text || left.type == Type::Truth) fail("'in' is for numbers, times and words.", left);
    Ranges ranges;
    if (peek_is("{")) {
        do {
            take();
            ranges.push_back(element(left, false));
        } while (peek_is(","));
        expect("}", "after the last of the set");
    } else {
        ranges.push_back(element(left, true));
    }
    emit({Code::In, static_cast<std::uint32_t>(program_.sets.size())}, 0);
    program_.sets.push_back(std::move(ranges));
    left.type = Type::Truth;
    left.vocabulary = Vocabulary::None;
    left.hex = false;
    left.name = nullptr;
    return ended(left);
}

std::pair<std::uint64_t, std::uint64_t> Parser::element(const Operand& left, bool must_be_range) {
    const std::size_t offset = peek().offset;
    const std::uint64_t first = constant(left);
    if (!peek_is("..") && !must_be_range) return {first, first};
    if (must_be_range && !peek_is(".."))
        fail("After 'in' comes a set {A, B} or a range 1..5.", peek().offset, peek().length);
    take();
    const std::uint64_t last = constant(left);
    if (last < first)
        fail("The range ends before it begins.", offset, tokens_[at_ - 1].offset + tokens_[at_ - 1].length - offset);
    return {first, last};
}

/// A value of left's type that needs no transition.
std::uint64_t Parser::constant(const Operand& left) {
    const Operand o = expression(kBitOr);
    if (o.loose || o.literal) {
        if (left.type != Type::Word) unknown_name(o);
        take_back(o);
        return word_value(o, left.vocabulary);
    }
    if (!o.constant) fail("In a set or range there are only constants.", o);
    const bool number_for_reason = left.vocabulary == Vocabulary::ExitReason && o.type == Type::Number;
    if (o.type != left.type && !number_for_reason)
        fail(left.type == Type::Time ? "A time needs a unit: 50us." : "This is not of the kind of what is looked for.",
             o);
    const Cell cell = constant_value(program_, o.begin);
    if (!cell.known) fail("This has no value.", o);
    take_back(o);
    return cell.bits;
}

// ---- Queries

Query Parser::finished(const Operand& all) {
    Query q;
    q.text_ = trimmed(text_.substr(all.offset, all.length));
    q.type_ = all.type;
    q.vocabulary_ = all.vocabulary;
    q.hex_ = all.hex;
    program_.digest_only = !all.whole;
    program_.uses_durations =
        std::any_of(program_.code.begin(), program_.code.end(), [](const Op& op) { return op.code == Code::Duration; });
    q.program_ = std::make_shared<const Program>(std::exchange(program_, {}));
    depth_ = 0;
    return q;
}

Query Parser::condition() {
    if (peek().kind == Token::Kind::End) fail("The expression is empty.", 0, 0);
    const Operand all = as_truth(expression(kOr));
    if (peek().kind != Token::Kind::End)
        fail(fmt::format("The expression should end before {}.", shown(peek())), peek().offset, peek().length);
    return finished(all);
}

std::vector<Query> Parser::values() {
    std::vector<Query> all;
    do {
        if (!all.empty()) take();
        const Operand value = expression(kOr);
        if (value.loose) unknown_name(value);
        if (value.literal) fail("A string alone is no value of a transition.", value);
        all.push_back(finished(value));
    } while (peek_is(","));
    if (peek().kind != Token::Kind::End)
        fail(fmt::format("A comma is expected before {}.", shown(peek())), peek().offset, peek().length);
    return all;
}

tl::expected<Query, ParseError> Query::parse(std::string_view text) {
    return parsed<Query>(text, [](Parser& p) { return p.condition(); });
}

tl::expected<std::vector<Query>, ParseError> Query::parse_values(std::string_view text) {
    return parsed<std::vector<Query>>(text, [](Parser& p) { return p.values(); });
}

}  // namespace vmxscope::core::query
