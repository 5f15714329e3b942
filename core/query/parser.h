// Expression to program, in one pass: each operand's code is emitted as it is read, and its type is known at once.
// Inside, a fault is thrown as a ParseError; Query's functions catch it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/query/lexer.h"
#include "core/query/names.h"
#include "core/query/query.h"

namespace vmxscope::core::query {

/// What was read last, with its code from `begin` to the end of the program.
struct Operand {
    Type type = Type::Number;
    Vocabulary vocabulary = Vocabulary::None;
    bool hex = false;
    bool loose = false;                  // a name of nothing: a word, if the other side has a vocabulary
    bool literal = false;                // a string
    bool constant = false;               // loads nothing
    bool whole = false;                  // a digest alone cannot give it
    std::string_view text;               // of a loose word or a literal, a name
    const Name* name = nullptr;          // when it is that alone
    std::size_t begin = 0, depth = 0;    // of the program before it
    std::size_t offset = 0, length = 0;  // in the expression
};

class Parser {
  public:
    Parser(std::string_view text, std::vector<Token> tokens) : text_(text), tokens_(std::move(tokens)) {}

    Query condition();
    std::vector<Query> values();

  private:
    // parser.cpp: grammar
    Operand expression(int least_power);
    Operand prefix();
    Operand name_or_function();
    Operand function(const Function& f, const Token& name);
    Operand changed(const Token& name);
    Operand logic(Operand left, bool both, int power);
    Operand membership(Operand left);
    std::pair<std::uint64_t, std::uint64_t> element(const Operand& left, bool must_be_range);
    std::uint64_t constant(const Operand& left);
    Query finished(const Operand& all);

    // parser_names.cpp: names
    Operand path();
    Operand load(const Name& name, Operand at);
    Operand field_value(const std::vector<std::string_view>& segments, Operand at);
    FieldRef field_ref(const std::vector<std::string_view>& segments, const Operand& at);
    void field_suffix(FieldRef& ref, std::string_view suffix, const Operand& at);
    std::size_t field_index(std::string_view name, const Operand& at);
    [[noreturn]] void unknown_name(const Operand& at);
    std::uint64_t word_value(const Operand& word, Vocabulary vocabulary);
    std::size_t badge_index(const Token& literal);

    // parser_types.cpp: what goes with what
    Operand as_truth(Operand o);
    Operand as_number(Operand o, std::string_view for_what);
    Operand binary(Operand left, Operand right, Code code, std::string_view symbol);
    Operand arithmetic(Operand left, Operand right, Code code, std::string_view symbol);
    Operand comparison(Operand left, Operand right, Code code, std::string_view symbol);
    Operand word_comparison(Operand left, Operand right, Code code, std::string_view symbol);
    Operand text_comparison(Operand left, const Operand& right, Code code);
    Operand pdptr_state(const Operand& left, const Operand& right, nested::Is state, Code code);
    Operand match(Operand left, const Operand& pattern);

    // what all of them use
    const Token& peek() const { return tokens_[at_]; }
    const Token& take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
    bool peek_is(std::string_view symbol) const { return peek().is(symbol); }
    bool peek_is_word(std::string_view word) const {
        return peek().kind == Token::Kind::Name && same_name(peek().text, word);
    }
    void expect(std::string_view symbol, std::string_view where);
    Operand here() const;                                             // an operand that begins at the next token
    Operand ended(Operand o) const;                                   // with the length up to the token taken last
    Operand joined(const Operand& left, const Operand& right) const;  // of both
    void emit(Op op, int effect);                                     // effect: on the depth of the stack
    void take_back(const Operand& o);                                 // its code and what follows
    [[noreturn]] static void fail(std::string what, std::size_t offset, std::size_t length);
    [[noreturn]] static void fail(std::string what, const Operand& at) { fail(std::move(what), at.offset, at.length); }

    std::string_view text_;
    std::vector<Token> tokens_;
    std::size_t at_ = 0;
    int nesting_ = 0;
    Program program_;
    std::size_t depth_ = 0;
};

}  // namespace vmxscope::core::query
