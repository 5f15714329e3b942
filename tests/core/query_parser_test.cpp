// The language: what parses to what, and where an error is.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <set>

#include "core/query/document.h"
#include "core/query/evaluator.h"
#include "core/query/names.h"
#include "query_samples.h"

namespace vmxscope::core::query {
namespace {

/// The value of an expression without names.
std::uint64_t value_of(std::string_view text) {
    const auto q = Query::parse_values(text);
    if (!q) {
        ADD_FAILURE() << text << ": " << q.error().what;
        return 0;
    }
    const Cell cell = constant_value(q->front().program(), 0);
    EXPECT_TRUE(cell.known) << text;
    return cell.bits;
}

ParseError error_of(std::string_view text) {
    const auto q = Query::parse(text);
    EXPECT_FALSE(q) << text;
    return q ? ParseError{} : q.error();
}

void expect_error(std::string_view text, std::string_view marked, std::string_view what) {
    const ParseError e = error_of(text);
    EXPECT_EQ(text.substr(std::min(e.offset, text.size()), e.length), marked) << text << ": " << e.what;
    EXPECT_NE(e.what.find(what), std::string::npos) << text << ": " << e.what;
}

TEST(QueryParser, OperatorsBindAsDocumented) {
    EXPECT_EQ(value_of("2 + 3 * 4"), 14u);
    EXPECT_EQ(value_of("(2 + 3) * 4"), 20u);
    EXPECT_EQ(value_of("20 - 5 - 3"), 12u) << "from the left";
    EXPECT_EQ(value_of("1 << 2 + 1"), 8u);
    EXPECT_EQ(value_of("6 & 3 == 2"), 1u) << "& before ==";
    EXPECT_EQ(value_of("1 | 2 ^ 3 & 1"), 1u | (2u ^ (3u & 1u)));
    EXPECT_EQ(value_of("1 == 1 || 1 == 2 && 1 == 3"), 1u) << "&& before ||";
    EXPECT_EQ(value_of("not 1 == 2"), 1u) << "not after ==";
    EXPECT_EQ(value_of("!1 == 2"), 0u) << "! before ==: false == 2";
    EXPECT_EQ(value_of("true and not false or false"), 1u);
    EXPECT_EQ(value_of("-1 >> 60"), 15u) << "without a sign";
    EXPECT_EQ(value_of("~0 & 0xff"), 255u);
    EXPECT_EQ(value_of("1 << 64"), 0u);
    EXPECT_EQ(value_of("7 % 4 + 9 / 2"), 7u);
}

TEST(QueryParser, NumbersAndTimesHaveTheirUnits) {
    EXPECT_EQ(value_of("0x1F"), 31u);
    EXPECT_EQ(value_of("0b101"), 5u);
    EXPECT_EQ(value_of("10k"), 10'000u);
    EXPECT_EQ(value_of("2M"), 2'000'000u);
    EXPECT_EQ(value_of("50us"), 50'000u);
    EXPECT_EQ(value_of("1.5ms"), 1'500'000u);
    EXPECT_EQ(value_of("2s"), 2'000'000'000u);
    EXPECT_EQ(value_of("18446744073709551615"), ~0ull);
    EXPECT_EQ(value_of("1s / 50ms"), 20u) << "a number";
    EXPECT_EQ(value_of("5 in 1..7"), 1u);
    EXPECT_EQ(value_of("5 in {1, 2..4, 6}"), 0u);
    EXPECT_EQ(value_of("5us in 1us .. 1ms"), 1u);
    expect_error("seq == 18446744073709551616", "18446744073709551616", "64 bits");
    expect_error("seq == 1.5", "1.5", "fraction");
    expect_error("seq == 5kg", "5kg", "cannot end in 'kg'");
    expect_error("seq == 0x", "0x", "no number");
}

TEST(QueryParser, ErrorsPointAtWhatIsWrong) {
    expect_error("exit_raeson == CPUID", "exit_raeson", "Is exit_reason meant?");
    expect_error("exit_reason == CPIUD", "CPIUD", "Is CPUID meant?");
    expect_error("kind == nested_entrance", "nested_entrance", "nested-entry");
    expect_error("vmcs12.GEUST_CR3 == 0", "vmcs12.GEUST_CR3", "Is GUEST_CR3 meant?");
    expect_error("vmcs12.GUEST_CR0.PQ", "vmcs12.GUEST_CR0.PQ", "Is PE meant?");
    expect_error("vmcs12.GUEST_CR3.PG", "vmcs12.GUEST_CR3.PG", "no named bits");
    expect_error("vmcs12", "vmcs12", "Which field");
    expect_error("vmcs01.GUEST_CR3.before == 1", "vmcs01.GUEST_CR3.before", "before and an after");
    expect_error("CPUID", "CPUID", "exit_reason == CPUID");
    expect_error("seq = 5", "=", "write ==");
    expect_error("seq == 5 == 6", "==", "do not chain");
    expect_error("time_in_l2 > 50", "50", "unit");
    expect_error("time_in_l2", "time_in_l2", "no condition");
    expect_error("kind < nested-entry", "kind < nested-entry", "equal or not");
    expect_error("kind == pdptr.did", "kind == pdptr.did", "cannot be compared");
    expect_error("kind + 1 == 2", "kind + 1", "does not go between");
    expect_error("kind == nested-entry & findings > 0", "nested-entry", "compared with kind");
    expect_error("wanted_by == unknown", "unknown", "unknown(");
    expect_error("wanted_by == L3", "L3", "There are: L0, L1.");
    expect_error("(seq == 1", "", "')' is expected");
    expect_error("seq == 1)", ")", "should end before");
    expect_error("seq ==", "", "A value is expected, not the end");
    expect_error("", "", "empty");
    expect_error("seq in 5", "", "set {A, B} or a range");
    expect_error("seq in {}", "}", "A value is expected");
    expect_error("seq in {lost}", "lost", "only constants");
    expect_error("seq in 9..3", "9..3", "ends before it begins");
    expect_error("seq in {1/0}", "1/0", "no value");
    expect_error("pdptr in {copied, undefined}", "undefined", "pdptr.vmcs12 == undefined");
    expect_error("kvm_reason =~ \"(\"", "\"(\"", "regular expression");
    expect_error("exit_reason =~ \"zzz\"", "\"zzz\"", "No exit reason");
    expect_error("seq =~ \"1\"", "seq", "words and texts");
    expect_error("note == \"x", "\"x", "no end");
    expect_error("has(\"tsc-compsed\")", "\"tsc-compsed\"", "Is tsc-composed meant?");
    expect_error("changed(GUEST_CR3)", "GUEST_CR3", "of vmcs12 or vmcs02");
    expect_error("cycles(seq) == 1", "seq", "name of a time");
    expect_error("knwon(seq)", "knwon", "Is known meant?");
    expect_error("seq # 1", "#", "no meaning");
    expect_error("seq == \x80", "\x80", "no meaning");
}

TEST(QueryParser, TheCaretIsUnderTheError) {
    const std::string text = "seq > 1 && exit_raeson == CPUID";
    const auto q = Query::parse(text);
    ASSERT_FALSE(q);
    EXPECT_EQ(caret_text(text, q.error()), text + "\n           ^~~~~~~~~~~\n");
    EXPECT_EQ(caret_text("seq ==", error_of("seq ==")), "seq ==\n      ^\n");
    const std::string long_text = std::string(300, ' ') + "nonsense" + std::string(300, ' ');
    const std::string shown = caret_text(long_text, error_of(long_text));
    EXPECT_LT(shown.size(), 300u);
    const std::size_t line = shown.find('\n');
    EXPECT_EQ(shown.find('^') - line - 1 + 2, shown.find("nonsense")) << "the ellipsis is one column and three bytes";
}

TEST(QueryParser, NamesAreInEitherCase) {
    for (const char* text : {"EXIT_REASON == cpuid",
                             "Kind == NESTED_ENTRY",
                             "kind==nested-entry-failed",
                             "vmcs12.guest_cr3 == 1",
                             "VMCS12.cr3 == 1",
                             "regs.RIP == rip",
                             "pdptr == From-Memory",
                             "vmcs12.guest_cr0.pg.before",
                             "vmcs12.guest_cr0.before.pg",
                             "vmcs02.VM_ENTRY_INTR_INFO_FIELD.with_error_code",
                             "SECONDARY_VM_EXEC_CONTROL.EPT",
                             "seq IN {1} AND true",
                             "exit_reason == \"CPUID\"",
                             "\"EPT_VIOLATION\" == exit_reason",
                             "CPUID == exit_reason",
                             "exit_reason == 48",
                             "exit_reason in {CPUID, 40..50}",
                             "pdptr.rule != pdptr.evidence",
                             "pdptr.alarm == true",
                             "context.pae == 1",
                             "tsc-seq > 1",
                             "written(PDPTR0)",
                             "kvm_reason != ''",
                             "time_in_l2 > 0",
                             "pdptr.row == 'KEPT_VALID'"})
        if (const auto q = Query::parse(text); !q)
            ADD_FAILURE() << text << ": " << q.error().what << "\n" << caret_text(text, q.error());
}

TEST(QueryParser, NothingIsNamedTwice) {
    std::set<std::string> seen;
    const auto once = [&seen](std::string name) {
        for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        EXPECT_TRUE(seen.insert(name).second) << name;
    };
    for (const Name& n : all_names()) once(std::string(n.name));
    for (const Function& f : all_functions()) once(std::string(f.name));
    for (const vmx::FieldInfo& f : vmx::all_fields()) once(std::string(f.name));
    for (const Vocabulary v :
         {Vocabulary::Kind, Vocabulary::ExitReason, Vocabulary::Did, Vocabulary::Is, Vocabulary::Level})
        for (const Word& w : words_of(v)) {
            EXPECT_FALSE(seen.contains(w.name)) << w.name;
            const auto named =
                std::find_if(all_names().begin(), all_names().end(), [v](const Name& n) { return n.vocabulary == v; });
            const std::string text = fmt::format("{} == {}", named->name, w.name);
            EXPECT_TRUE(Query::parse(text)) << text;
        }
    for (const vmx::FieldInfo& f : vmx::all_fields()) {
        EXPECT_TRUE(Query::parse(fmt::format("vmcs12.{} == 1", f.name))) << f.name;
        std::set<std::string> parts;
        for (const FieldPart& p : parts_of(f.field)) {
            EXPECT_TRUE(parts.insert(p.name).second) << f.name << "." << p.name;
            EXPECT_TRUE(Query::parse(fmt::format("vmcs12.{}.{} == 1", f.name, p.name))) << f.name << "." << p.name;
        }
    }
}

TEST(QueryParser, ColumnsAreSplitWhereAnExpressionEnds) {
    const auto all = Query::parse_values("seq, time_in_l2 , vmcs12.GUEST_CR3 - 1,note, seq in {1, 2}");
    ASSERT_TRUE(all) << all.error().what;
    ASSERT_EQ(all->size(), 5u);
    EXPECT_EQ((*all)[1].text(), "time_in_l2");
    EXPECT_EQ((*all)[1].type(), Type::Time);
    EXPECT_EQ((*all)[2].text(), "vmcs12.GUEST_CR3 - 1");
    EXPECT_TRUE((*all)[2].hex());
    EXPECT_EQ((*all)[3].type(), Type::Text);
    EXPECT_EQ((*all)[4].type(), Type::Truth);
    EXPECT_FALSE(Query::parse_values("seq,"));
    EXPECT_FALSE(Query::parse_values("CPUID"));
    EXPECT_FALSE(Query::parse_values("seq lost"));
}

TEST(QueryParser, WhatIsTooMuchIsRefused) {
    EXPECT_FALSE(Query::parse(std::string(5000, '1')));
    EXPECT_FALSE(Query::parse(std::string(1000, '(')));
    EXPECT_FALSE(Query::parse(std::string(1000, '!') + "true"));
    EXPECT_FALSE(Query::parse("note =~ \"" + std::string(300, 'a') + "\""));
    EXPECT_FALSE(Query::parse("note =~ \"((a{100}){100}){100}\""));
    std::string chain = "seq == 1";
    while (chain.size() < 3900) chain += " || seq == 1";
    EXPECT_TRUE(Query::parse(chain)) << "long, but not deep";
}

TEST(QueryParser, DigestsSufficeForWhatTheyHave) {
    EXPECT_TRUE(Query::parse("exit_reason == CPUID && pdptr.did == copied && round_trip > 1us")->digest_only());
    EXPECT_FALSE(Query::parse("exit_reason == CPUID && rip == 1")->digest_only());
    EXPECT_TRUE(Query::parse("round_trip > 1us")->uses_durations());
    EXPECT_FALSE(Query::parse("kind == l2-exit")->uses_durations());
}

TEST(QueryParser, EveryNameIsInTheDocument) {
    std::ifstream in(QUERY_LANGUAGE_DOCUMENT);
    const std::string document{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(document, language_markdown()) << "write it with: vmxscopectl query --language > docs/query-language.md";
    const std::string help = language_text();
    for (const Name& n : all_names()) {
        EXPECT_NE(document.find(fmt::format("`{}`", n.name)), std::string::npos) << n.name;
        EXPECT_NE(help.find(n.name), std::string::npos) << n.name;
    }
    for (const Function& f : all_functions()) {
        EXPECT_NE(document.find(f.usage), std::string::npos) << f.name;
        EXPECT_NE(help.find(f.usage), std::string::npos) << f.name;
    }
    for (const Vocabulary v :
         {Vocabulary::Kind, Vocabulary::ExitReason, Vocabulary::Did, Vocabulary::Is, Vocabulary::Level})
        for (const Word& w : words_of(v)) EXPECT_NE(document.find("`" + w.name + "`"), std::string::npos) << w.name;
    // The examples at its beginning are of the language.
    std::size_t examples = 0;
    for (std::size_t at = document.find("\n    "); at < document.find("## Operators");
         at = document.find("\n    ", at + 1)) {
        const std::string line = document.substr(at + 5, document.find('\n', at + 1) - at - 5);
        EXPECT_TRUE(Query::parse(line)) << line;
        ++examples;
    }
    EXPECT_GE(examples, 10u);
}

TEST(QueryParser, RandomConditionsParse) {
    std::mt19937_64 random(1);
    for (int i = 0; i < 2000; ++i) {
        const std::string text = test::random_condition(random, 3);
        const auto q = Query::parse(text);
        ASSERT_TRUE(q) << caret_text(text, q.error()) << q.error().what;
    }
}

}  // namespace
}  // namespace vmxscope::core::query
