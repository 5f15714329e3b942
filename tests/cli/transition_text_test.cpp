#include "core/transition_text.h"

#include <gtest/gtest.h>

#include "random_transition.h"
#include "tests/text.h"
#include "vmx/pdpte.h"

namespace vmxscope::core {
namespace {

using nested::Kind;
using test::has;
using vmx::Field;
using vmx::kPdptrFields;
using vmx::Value;

nested::Transition kept_entry(bool last_exit_pae) {
    nested::Transition t;
    t.seq = 12;
    t.kind = Kind::NestedEntry;
    t.context.enable_ept = t.context.nested_ept = t.context.pae = t.context.from_vmentry = true;
    t.context.dirty_vmcs12 = t.context.evmcs = false;
    t.context.last_hw_exit_pae = last_exit_pae;
    for (const Field f : kPdptrFields) t.vmcs12_after[f] = t.vmcs02_after[f] = Value::of(0x103001);
    return t;
}

TEST(TransitionText, TheHeadlineSaysWhatHappened) {
    EXPECT_EQ(headline(kept_entry(true)), "#12 vCPU 0  nested-entry  L1->L2  PDPTRs skipped");
    nested::Transition t;
    t.seq = 2;
    t.vcpu = 1;
    t.kind = Kind::L2Exit;
    t.exit.reason = Value::of(48);
    EXPECT_EQ(headline(t), "#2 vCPU 1  l2-exit  L2->L0  EPT_VIOLATION");
}

TEST(TransitionText, DefinedValuesAreDecoded) {
    const std::string text = pdptr_text(kept_entry(true));
    EXPECT_TRUE(has(text, "SKIPPED")) << text;
    EXPECT_TRUE(has(text, "page directory at 0x103000")) << text;
    EXPECT_TRUE(has(text, " no   dirty_vmcs12 || evmptr_is_valid(hv_evmcs_vmptr)")) << text;
    EXPECT_FALSE(has(text, "undefined")) << text;
}

TEST(TransitionText, UndefinedValuesAreMarkedWhereTheyStandAndNotDecoded) {
    const std::string text = pdptr_text(kept_entry(false));
    EXPECT_TRUE(has(text, "0x103001 undefined")) << text;
    EXPECT_TRUE(has(text, "ALARM")) << text;
    EXPECT_FALSE(has(text, "page directory")) << text;
}

TEST(TransitionText, PlainTextHasNoEscapes) {
    EXPECT_FALSE(has(transition_text(kept_entry(false)), "\x1b"));
    EXPECT_TRUE(has(transition_text(kept_entry(false), Style::Colour), "\x1b["));
}

TEST(TransitionText, ForeignTextsCannotSteerTheTerminal) {
    nested::Transition t = kept_entry(true);
    t.notes = {"\x1b[2Jgone"};
    t.evidence.push_back({nested::Evidence::Op::Vmread, 0x280a, Value::of(1), "\x1b]0;title\x07"});
    EXPECT_FALSE(has(transition_text(t), "\x1b"));
}

TEST(TransitionText, AnyTransitionCanBeShown) {
    std::mt19937_64 random(5);
    for (int i = 0; i < 300; ++i) {
        const nested::Transition t = nested::random_transition(random);
        const std::string text = transition_text(t, Style::Colour) + pdptr_text(t);
        EXPECT_EQ(text.back(), '\n');
        EXPECT_TRUE(fields_text(t, ""));
    }
}

TEST(Fields, APatternMatchesAnywhereInEitherCase) {
    EXPECT_EQ(matching_fields("pdptr")->size(), 4u);
    EXPECT_EQ(matching_fields("^GUEST_CR[034]$")->size(), 3u);
    EXPECT_EQ(matching_fields("")->size(), vmx::kFieldCount);
}

TEST(Fields, ABadPatternIsASentence) {
    for (const char* bad : {"(", "[z-a]", "*", "no_such_field", "a{5,2}"}) {
        const auto fields = matching_fields(bad);
        ASSERT_FALSE(fields) << bad;
        EXPECT_TRUE(has(fields.error().what, bad)) << fields.error().what;
        EXPECT_FALSE(fields.error().remedy.empty());
    }
    EXPECT_FALSE(matching_fields(std::string(500, 'a')));
}

TEST(Fields, AnEvilPatternTakesNoLongerThanAGoodOne) {
    EXPECT_FALSE(matching_fields("(([A-Z_0-9]*)*)*!"));  // exponential for a backtracking matcher
}

TEST(Fields, DifferingValuesAreStarred) {
    nested::Transition t;
    t.vmcs12_after[Field::GUEST_CR3] = Value::of(0x1000);
    t.vmcs02_after[Field::GUEST_CR3] = Value::of(0x2000);
    EXPECT_TRUE(has(*fields_text(t, "^GUEST_CR3$"), "* GUEST_CR3"));
    t.vmcs02_after[Field::GUEST_CR3] = {};
    EXPECT_FALSE(has(*fields_text(t, "^GUEST_CR3$"), "* GUEST_CR3"));
    EXPECT_TRUE(has(*fields_text(t, "^GUEST_CR3$"), "not-read"));
}

}  // namespace
}  // namespace vmxscope::core
