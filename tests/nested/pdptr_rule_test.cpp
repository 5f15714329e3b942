// The verdict by rule, over every combination of its inputs, each true, false or unknown, against the reference
// classifier (KVM 6.1's nested.c, transcribed here a second time and independently).
#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "nested/pdptr.h"

namespace vmxscope::nested {
namespace {

using Tri = std::optional<bool>;

struct Inputs {
    Tri E, N, P, D, V, C, F, U, last_hw_exit_pae;
};

Transition transition_of(Kind kind, const Inputs& in) {
    Transition t;
    t.seq = 1;
    t.kind = kind;
    t.context.enable_ept = in.E;
    t.context.nested_ept = in.N;
    t.context.pae = in.P;
    t.context.dirty_vmcs12 = in.D;
    t.context.evmcs = in.V;
    if (in.C) t.context.evmcs_clean_fields = *in.C ? 0x800u : 0xf7ffu;
    t.context.from_vmentry = in.F;
    t.context.pdptrs_from_userspace = in.U;
    t.context.last_hw_exit_pae = in.last_hw_exit_pae;
    t.context.vmx_fail = false;
    t.lost_before = 1;  // no conclusion from evidence: these tests are about the rule
    return t;
}

/// What the tables say about one row: did, then vmcs12, vmcs02, used.
struct Expected {
    std::string row;
    Did did;
    Is vmcs12, vmcs02;
    Tri used;
    bool operator<(const Expected& o) const { return row < o.row; }
};

struct Complete {
    bool E, N, P, D, V, C, F, U, last_hw_exit_pae;
};

constexpr Is kDef = Is::Defined, kUndef = Is::Undefined;

/// def entry(E,N,P,D,V,C,F,last_hw_exit_pae,U) of the reference, with the states of the table beside each row.
Expected reference_entry(const Complete& x) {
    const bool gate = x.V ? !x.C : x.D;
    const bool R = x.E && gate;
    const bool L = gate && x.N && x.P;
    const bool M = !x.N && x.P && (x.F || !x.U);
    if (!x.E)
        return {M ? "SKIP_L0_NO_EPT+MEMORY_TO_SHADOW_MMU" : "SKIP_L0_NO_EPT", Did::Skipped, kUndef, kUndef, false};
    if (!x.P) {
        if (R) return {"COPIED_UNUSED", Did::CopiedUnused, kUndef, kUndef, false};
        return {"STALE_UNUSED", Did::Skipped, kUndef, kUndef, false};
    }
    if (!x.N) {
        if (x.U && !x.F) return {"FROM_USERSPACE", Did::FromUserspace, kUndef, kDef, true};
        return {R ? "OVERRIDDEN_BY_MEMORY" : "LOADED_FROM_MEMORY", Did::FromMemory, kUndef, kDef, true};
    }
    if (L) return {"COPIED", Did::Copied, kDef, kDef, true};
    if (x.last_hw_exit_pae) return {"KEPT_VALID", Did::Skipped, kDef, kDef, true};
    return {"KEPT_UNDEFINED", Did::Skipped, kUndef, kUndef, true};
}

/// def exit_(E,N,P,vmx_fail) of the reference, with the states of table B.2.
Expected reference_exit(const Complete& x) {
    const Is saved = x.P ? kDef : kUndef;
    if (!x.E) return {"EXIT_SKIP_L0_NO_EPT", Did::Skipped, kUndef, kUndef, std::nullopt};
    if (!x.N) return {"EXIT_SKIP_NO_NESTED_EPT", Did::Skipped, kUndef, saved, std::nullopt};
    if (!x.P) return {"EXIT_SKIP_NOT_PAE", Did::Skipped, kUndef, kUndef, std::nullopt};
    return {"EXIT_COPIED", Did::Copied, kDef, kDef, std::nullopt};
}

/// Every complete combination that `in` may stand for.
std::vector<Complete> completions(const Inputs& in) {
    const Tri inputs[] = {in.E, in.N, in.P, in.D, in.V, in.C, in.F, in.U, in.last_hw_exit_pae};
    std::vector<std::vector<bool>> partial{{}};
    for (const Tri& input : inputs) {
        std::vector<std::vector<bool>> longer;
        for (const auto& p : partial)
            for (const bool guess : {false, true}) {
                if (input && *input != guess) continue;
                longer.push_back(p);
                longer.back().push_back(guess);
            }
        partial = std::move(longer);
    }
    std::vector<Complete> all;
    for (const auto& p : partial) {
        const Complete c{p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8]};
        if (!c.N || c.E) all.push_back(c);  // nested EPT without L0's EPT cannot be
    }
    return all;
}

template <typename Member>
auto common(const std::vector<Expected>& rows, Member member, decltype(rows[0].*member) differ) {
    std::decay_t<decltype(differ)> first = rows.front().*member;
    for (const Expected& e : rows)
        if (e.*member != first) return std::decay_t<decltype(differ)>(differ);
    return first;
}

std::string text_of(const Inputs& in) {
    std::string s;
    const std::pair<char, Tri> all[] = {{'E', in.E}, {'N', in.N}, {'P', in.P},
                                        {'D', in.D}, {'V', in.V}, {'C', in.C},
                                        {'F', in.F}, {'U', in.U}, {'L', in.last_hw_exit_pae}};
    for (const auto& [letter, value] : all) s += std::string(1, letter) + (!value ? "? " : *value ? "1 " : "0 ");
    return s;
}

void expect_verdict(const Inputs& in, Kind kind) {
    const auto verdict = pdptr_verdict(transition_of(kind, in));
    ASSERT_TRUE(verdict);
    ASSERT_EQ(verdict->by_evidence, Did::Unknown);
    ASSERT_TRUE(verdict->agree);
    ASSERT_EQ(verdict->did, verdict->by_rule);
    ASSERT_FALSE(verdict->reason.empty());
    ASSERT_EQ(verdict->reason.back(), '.') << verdict->reason;
    std::vector<Expected> rows;
    for (const Complete& c : completions(in))
        rows.push_back(kind == Kind::NestedEntry ? reference_entry(c) : reference_exit(c));
    if (rows.empty()) {
        ASSERT_EQ(verdict->row, "IMPOSSIBLE");
        ASSERT_EQ(verdict->by_rule, Did::Unknown);
        ASSERT_FALSE(verdict->alarm);
        return;
    }
    const Did did = common(rows, &Expected::did, Did::Unknown);
    ASSERT_EQ(verdict->by_rule, did);
    ASSERT_EQ(verdict->row, common(rows, &Expected::row, ""));
    if (did == Did::Unknown) return;  // then what the values are follows from no row
    ASSERT_EQ(verdict->vmcs12, common(rows, &Expected::vmcs12, Is::Unknown));
    ASSERT_EQ(verdict->vmcs02, common(rows, &Expected::vmcs02, Is::Unknown));
    ASSERT_EQ(verdict->used, common(rows, &Expected::used, std::nullopt));
    ASSERT_EQ(verdict->alarm, verdict->used == true && verdict->vmcs02 == kUndef);
}

constexpr Tri kTri[] = {std::nullopt, false, true};

Inputs combination(int n) {
    const auto next = [&n] {
        const Tri value = kTri[n % 3];
        n /= 3;
        return value;
    };
    return {next(), next(), next(), next(), next(), next(), next(), next(), next()};
}

constexpr int kCombinations = 3 * 3 * 3 * 3 * 3 * 3 * 3 * 3 * 3;

TEST(PdptrRule, EveryEntryIsAsTheReferenceSays) {
    for (int n = 0; n < kCombinations; ++n) {
        const Inputs in = combination(n);
        SCOPED_TRACE(text_of(in));
        ASSERT_NO_FATAL_FAILURE(expect_verdict(in, Kind::NestedEntry));
    }
}

TEST(PdptrRule, EveryExitIsAsTheReferenceSays) {
    for (int n = 0; n < kCombinations; ++n) {
        const Inputs in = combination(n);
        SCOPED_TRACE(text_of(in));
        ASSERT_NO_FATAL_FAILURE(expect_verdict(in, Kind::NestedExit));
    }
}

TEST(PdptrRule, EveryRowOfTheTableIsReached) {
    std::set<std::string> rows;
    for (int n = 0; n < kCombinations; ++n)
        for (const Kind kind : {Kind::NestedEntry, Kind::NestedExit})
            rows.insert(pdptr_verdict(transition_of(kind, combination(n)))->row);
    EXPECT_EQ(rows.size(), 16u) << "ten rows of entries, four of exits, IMPOSSIBLE, and none";
}

TEST(PdptrRule, OnlyKeptUndefinedIsAnAlarm) {
    for (int n = 0; n < kCombinations; ++n)
        for (const Kind kind : {Kind::NestedEntry, Kind::NestedExit}) {
            const auto v = pdptr_verdict(transition_of(kind, combination(n)));
            ASSERT_EQ(v->alarm, v->row == "KEPT_UNDEFINED") << text_of(combination(n));
        }
}

TEST(PdptrRule, AFailedHardwareEntrySavesNothing) {
    Transition t = transition_of(Kind::NestedExit, {true, true, true, {}, {}, {}, {}, {}, {}});
    t.context.vmx_fail = true;
    const auto v = pdptr_verdict(t);
    EXPECT_EQ(v->row, "NO_SYNC_VMFAIL");
    EXPECT_EQ(v->by_rule, Did::Skipped);
    EXPECT_EQ(v->vmcs12, Is::Unknown);
    t.context.vmx_fail.reset();
    EXPECT_EQ(pdptr_verdict(t)->by_rule, Did::Unknown);
}

TEST(PdptrRule, OnlyNestedEntriesAndExitsHaveAVerdict) {
    for (const Kind kind : {Kind::L1Exit, Kind::L1Entry, Kind::L2Exit, Kind::L2Entry}) {
        Transition t;
        t.kind = kind;
        EXPECT_FALSE(pdptr_verdict(t)) << name_of(kind);
    }
}

TEST(PdptrRule, AnUnknownFactThatMattersIsNamed) {
    const auto v =
        pdptr_verdict(transition_of(Kind::NestedEntry, {true, true, true, {}, false, {}, true, false, true}));
    EXPECT_EQ(v->by_rule, Did::Unknown);
    EXPECT_NE(v->reason.find("dirty_vmcs12"), std::string::npos) << v->reason;
    EXPECT_EQ(v->reason.find("hv_clean_fields"), std::string::npos) << v->reason;
}

TEST(PdptrRule, KeptWithoutHavingSeenTheLastExitIsSkippedButNotKnownToBeDefined) {
    const auto v =
        pdptr_verdict(transition_of(Kind::NestedEntry, {true, true, true, false, false, {}, true, false, {}}));
    EXPECT_EQ(v->by_rule, Did::Skipped);
    EXPECT_EQ(v->vmcs02, Is::Unknown);
    EXPECT_EQ(v->used, true);
    EXPECT_FALSE(v->alarm);
    EXPECT_NE(v->reason.find("last exit was not seen"), std::string::npos) << v->reason;
}

TEST(PdptrRule, TheSkippedSentenceNamesTheConditionThatMadeItSo) {
    const auto reason = [](Kind kind, const Inputs& in) { return pdptr_verdict(transition_of(kind, in))->reason; };
    EXPECT_NE(
        reason(Kind::NestedEntry, {true, true, true, false, false, {}, true, false, true}).find("vmcs12 was not dirty"),
        std::string::npos);
    EXPECT_NE(
        reason(Kind::NestedEntry, {true, true, true, true, true, true, true, false, true}).find("GUEST_GRP1 clean"),
        std::string::npos);
    EXPECT_NE(reason(Kind::NestedEntry, {false, false, true, true, false, {}, true, false, {}}).find("enable_ept=0"),
              std::string::npos);
    EXPECT_NE(reason(Kind::NestedExit, {true, false, true, {}, {}, {}, {}, {}, {}}).find("Nested EPT is off"),
              std::string::npos);
    EXPECT_NE(reason(Kind::NestedExit, {true, true, false, {}, {}, {}, {}, {}, {}}).find("not in PAE paging"),
              std::string::npos);
}

const Condition* find(const Verdict& v, std::string_view name) {
    for (const Condition& c : v.conditions)
        if (c.name == name) return &c;
    return nullptr;
}

TEST(PdptrRule, ConditionsComeInKvmsOrderWithTheirValues) {
    const auto v =
        pdptr_verdict(transition_of(Kind::NestedEntry, {true, true, false, false, false, {}, true, false, {}}));
    ASSERT_GE(v->conditions.size(), 5u);
    EXPECT_EQ(v->conditions[0].name, "dirty_vmcs12 || evmptr_is_valid(hv_evmcs_vmptr)");
    EXPECT_EQ(v->conditions[0].value, "false || false");
    EXPECT_EQ(v->conditions[0].held, false);
    EXPECT_EQ(v->conditions[1].value, "no eVMCS");
    EXPECT_FALSE(v->conditions[1].held);
    EXPECT_EQ(v->conditions[2].name, "enable_ept");
    EXPECT_EQ(v->conditions[3].name, "nested_cpu_has_ept(vmcs12)");
    EXPECT_EQ(v->conditions[4].name, "is_pae_paging(vcpu)");
    EXPECT_EQ(v->conditions[4].held, false);
    for (const Condition& c : v->conditions) EXPECT_FALSE(c.meaning.empty()) << c.name;
}

TEST(PdptrRule, TheEvmcsConditionShowsTheCleanFields) {
    const auto v =
        pdptr_verdict(transition_of(Kind::NestedEntry, {true, true, true, false, true, true, true, false, true}));
    const Condition* clean = find(*v, "!(hv_clean_fields & GUEST_GRP1)");
    ASSERT_TRUE(clean);
    EXPECT_EQ(clean->value, "0x800");
    EXPECT_EQ(clean->held, false);
}

TEST(PdptrRule, WhatWasNotReadIsShownAsNotRead) {
    const auto v = pdptr_verdict(transition_of(Kind::NestedExit, {{}, true, true, {}, {}, {}, {}, {}, {}}));
    EXPECT_EQ(find(*v, "enable_ept")->value, "not read");
    EXPECT_FALSE(find(*v, "enable_ept")->held);
    EXPECT_EQ(v->by_rule, Did::Copied) << "nested EPT implies EPT";
}

}  // namespace
}  // namespace vmxscope::nested
