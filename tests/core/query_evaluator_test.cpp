// What conditions hold of which transitions.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "core/query/columns.h"
#include "core/query/evaluator.h"
#include "nested/badges.h"
#include "query_samples.h"
#include "tests/nested/flow_samples.h"
#include "tests/nested/random_transition.h"

namespace vmxscope::core::query {
namespace {

using nested::Kind;
using nested::Transition;
using test::digest;
using vmx::Field;
using vmx::Value;

constexpr std::uint64_t kKhz = 2'000'000;  // 2 cycles a ns

Truth truth_of(std::string_view text, const Transition& t) {
    const auto q = Query::parse(text);
    if (!q) {
        ADD_FAILURE() << text << ": " << q.error().what;
        return Truth::Unknown;
    }
    return Watch(*q, kKhz).take(t);
}

void expect(const Transition& t, std::initializer_list<const char*> yes, std::initializer_list<const char*> no,
            std::initializer_list<const char*> unknown) {
    for (const char* text : yes) EXPECT_EQ(truth_of(text, t), Truth::Yes) << text;
    for (const char* text : no) EXPECT_EQ(truth_of(text, t), Truth::No) << text;
    for (const char* text : unknown) EXPECT_EQ(truth_of(text, t), Truth::Unknown) << text;
}

TEST(QueryEvaluator, AnEntryIsWhatItIs) {
    Transition t = nested::good_entry();
    t.seq = t.vmcs02_as_of = 12;
    t.vcpu = 3;
    t.tsc = 500;
    t.regs[nested::RIP] = Value::of(0x1000);
    expect(t,
           {"kind == nested-entry",
            "kind != l1-exit",
            "kind in {nested-entry, nested-exit}",
            "kind =~ 'entry$'",
            "level == 2",
            "vcpu == 3",
            "seq in 10..12",
            "tsc == 500",
            "time == 0",
            "lost == 0",
            "findings == 0",
            "rip & 0xfff == 0",
            "rip == 4096",
            "status == 0",
            "vmcs12.GUEST_CR0 == 0x80000031",
            "vmcs12.GUEST_CR0.PG",
            "vmcs12.GUEST_CR0.PE == 1",
            "vmcs12.GUEST_CR0.NW == 0",
            "context.enable_ept && !context.pae",
            "context.efer == 0xd01",
            "context.vpid == 1",
            "evidence > 50",
            "written(GUEST_ES_SELECTOR)",
            "!read(GUEST_ES_SELECTOR)",
            "changed(vmcs12.GUEST_CR3) == false",
            "vmcs12.CR3 == vmcs12.GUEST_CR3.before",
            "has('ept02')",
            "!has('evmcs')",
            "notes == 0",
            "note == ''",
            "kvm_reason == ''",
            "pdptr == copied-unused",
            "pdptr.rule == copied-unused",
            "!pdptr.alarm",
            "pdptr.agree",
            "pdptr == undefined",
            "pdptr != defined",
            "vmcs02_as_of == seq",
            "vmcs01.PIN_BASED_VM_EXEC_CONTROL == 0x3f",
            "GUEST_CR3 == vmcs02.GUEST_CR3",
            "unknown(exit_reason)",
            "known(rip)",
            "unknown(rax)",
            "!known(rax)",
            "pdptr.row == 'COPIED_UNUSED'",
            "pdptr.row =~ 'unused'"},
           {"kind == l1-exit", "level == 1", "found(GUEST_CR3)", "pdptr == defined", "pdptr.used", "note =~ 'x'",
            "rax == 1 && false"},
           {"exit_reason == CPUID", "exit_reason != CPUID", "exit_failed", "wanted_by == L1", "rax == 1", "!(rax == 1)",
            "rax == 1 && true", "rax == 1 || false", "qualification & 1 == 0", "seq / 0 == 1", "seq % lost == 0",
            "since_exit > 0", "round_trip > 1us"});
}

TEST(QueryEvaluator, AnExitIsWhatItIs) {
    Transition t = nested::good_exit();
    t.exit.reason = Value::of(0x80000000 | 48);
    t.exit.guest_physical = Value::of(0xfee00000);
    t.lost_before = 7;
    t.notes = {"One thing.", "Evidence is incomplete: a probe."};
    expect(t,
           {"exit_reason == EPT_VIOLATION", "exit_reason == 48", "exit_reason in {CPUID, 40..50}", "exit_reason > 47",
            "exit_failed", "exit_reason =~ '^ept'", "wanted_by == L1", "guest_physical >> 12 == 0xfee00", "lost > 0",
            "notes == 2", "note =~ 'incomplete'", "pdptr == skipped", "known(exit_reason)",
            "EPT_VIOLATION == exit_reason"},
           {"exit_reason == EPT_MISCONFIG", "wanted_by == L0", "exit_reason in {CPUID, HLT}"},
           {"written(GUEST_CR3)", "status == 0", "vmcs01.GUEST_CR3 == 0"});
}

TEST(QueryEvaluator, AccessesThatWereNotWatchedAreNotKnown) {
    Transition t = nested::good_entry();
    t.evidence.clear();
    EXPECT_EQ(truth_of("written(GUEST_CR3)", t), Truth::No) << "all were watched";
    t.evidence_scope = nested::EvidenceScope::Pdptrs;
    EXPECT_EQ(truth_of("written(GUEST_CR3)", t), Truth::Unknown);
    EXPECT_EQ(truth_of("written(GUEST_PDPTR2)", t), Truth::No);
    t.notes = {std::string(nested::kEvidenceIncomplete) + "a probe was missed."};
    EXPECT_EQ(truth_of("written(GUEST_PDPTR2)", t), Truth::Unknown);
    t.evidence.push_back(
        {nested::Evidence::Op::Vmwrite, static_cast<std::uint16_t>(Field::GUEST_PDPTR2) | 1, {}, "f+0x1"});
    EXPECT_EQ(truth_of("written(GUEST_PDPTR2)", t), Truth::Yes) << "its high half";
    EXPECT_EQ(truth_of("read(GUEST_PDPTR2)", t), Truth::Unknown);
}

TEST(QueryEvaluator, TheVmcsThatRunsIsThatOfTheLevel) {
    Transition t = nested::good_entry();
    nested::set(t.vmcs01, Field::GUEST_CR3, 1);
    nested::set(t.vmcs02_after, Field::GUEST_CR3, 2);
    for (const auto& [kind, value] :
         {std::pair{Kind::L1Exit, 1}, {Kind::L1Entry, 1}, {Kind::L2Exit, 2}, {Kind::NestedEntry, 2}}) {
        t.kind = kind;
        EXPECT_EQ(truth_of(fmt::format("GUEST_CR3 == {}", value), t), Truth::Yes) << name_of(kind);
    }
}

TEST(QueryEvaluator, EveryBadgeCanBeAskedFor) {
    const Transition t = nested::good_entry();
    const auto set = nested::badges_of(t, nested::flow_of(t));
    for (std::size_t i = 0; i < nested::all_badges().size(); ++i)
        EXPECT_EQ(truth_of(fmt::format("has(\"{}\")", nested::all_badges()[i].id), t), set[i] ? Truth::Yes : Truth::No);
}

TEST(QueryEvaluator, PdptrIsUndefinedInEitherAndDefinedInBoth) {
    using nested::Is;
    trace::Digest d = digest(1, Kind::NestedEntry, 0);
    d.has_verdict = true;
    d.did = nested::Did::Copied;
    const auto truth = [&d](std::string_view text) {
        return Evaluator(*Query::parse(text), 0).truth({&d, {}, nullptr});
    };
    d.vmcs12 = Is::Defined;
    d.vmcs02 = Is::Undefined;
    EXPECT_EQ(truth("pdptr == undefined"), Truth::Yes);
    EXPECT_EQ(truth("defined == pdptr"), Truth::No);
    d.vmcs12 = Is::Unknown;
    EXPECT_EQ(truth("pdptr == undefined"), Truth::Yes);
    EXPECT_EQ(truth("pdptr != defined"), Truth::Yes);
    d.vmcs02 = Is::Defined;
    EXPECT_EQ(truth("pdptr == undefined"), Truth::Unknown);
    d.has_verdict = false;
    EXPECT_EQ(truth("pdptr == copied"), Truth::Unknown);
}

/// l2-entry at 1000, l2-exit at 3000, l1-entry 4000, l1-exit 4500, l2-entry 9000: 2 cycles a ns.
TEST(QueryEvaluator, TimesAreBetweenCrossingsOfOneVcpu) {
    const trace::Digest all[] = {digest(1, Kind::L2Entry, 1000),        digest(2, Kind::L2Exit, 3000, 10),
                                 digest(3, Kind::NestedExit, 3200, 10), digest(4, Kind::L1Entry, 4000),
                                 digest(5, Kind::L1Exit, 4500, 24),     digest(6, Kind::NestedEntry, 5000),
                                 digest(7, Kind::L2Entry, 9000)};
    std::vector<Durations> durations;
    Moments moments;
    for (const auto& d : all) durations.push_back(moments.take(d));
    const auto at = [&](std::size_t i, std::string_view text) {
        Evaluator e(*Query::parse(text), kKhz);
        std::vector<Truth> truths;
        e.truths(all, durations, truths);
        return truths[i];
    };
    EXPECT_EQ(at(1, "time_in_l2 == 1us && in_guest == time_in_l2 && time == 1us"), Truth::Yes);
    EXPECT_EQ(at(1, "cycles(time_in_l2) == 2000"), Truth::Yes);
    EXPECT_EQ(at(1, "unknown(time_in_l1) && unknown(round_trip) && unknown(since_exit)"), Truth::Yes);
    EXPECT_EQ(at(2, "since_exit == 100ns"), Truth::Yes);
    EXPECT_EQ(at(3, "since_exit == 500ns && unknown(in_guest)"), Truth::Yes);
    EXPECT_EQ(at(4, "time_in_l1 == 250ns && unknown(time_in_l2)"), Truth::Yes);
    EXPECT_EQ(at(6, "round_trip == 3us && since_exit == 2250ns && round_trip - since_exit == 750ns"), Truth::Yes);
    EXPECT_EQ(at(6, "round_trip / 1us == 3 && round_trip * 2 == 6us"), Truth::Yes);
    EXPECT_EQ(at(0, "since_exit > 0"), Truth::Unknown) << "there is none before it";
    EXPECT_EQ(Evaluator(*Query::parse("round_trip > 1us"), 0).truth({&all[6], durations[6], nullptr}), Truth::Unknown)
        << "without the TSC's frequency";
    EXPECT_EQ(Evaluator(*Query::parse("cycles(round_trip) == 6000"), 0).truth({&all[6], durations[6], nullptr}),
              Truth::Yes);
}

TEST(QueryEvaluator, NoTimeReachesOverAGap) {
    const auto after = [](trace::Digest second) {
        Moments moments;
        moments.take(digest(1, Kind::L2Entry, 1000));
        return moments.take(second).time_in_l2;
    };
    EXPECT_EQ(after(digest(2, Kind::L2Exit, 3000)), 2000u);
    EXPECT_EQ(after(digest(3, Kind::L2Exit, 3000)), std::nullopt) << "number 2 is missing";
    EXPECT_EQ(after(digest(2, Kind::L2Exit, 900)), std::nullopt) << "the TSC went back";
    trace::Digest lost = digest(2, Kind::L2Exit, 3000);
    lost.lost_before = 1;
    EXPECT_EQ(after(lost), std::nullopt);
    trace::Digest other = digest(2, Kind::L2Exit, 3000);
    other.vcpu = 1;
    EXPECT_EQ(after(other), std::nullopt) << "another vCPU's";
}

/// Whatever the condition: what a digest decides, the transition does not decide otherwise, and a lane of rows is
/// judged as each of them alone.
TEST(QueryEvaluator, DigestsAndTransitionsAgree) {
    std::mt19937_64 random(7);
    std::vector<Transition> all = test::session(300, 5);
    for (int i = 0; i < 60; ++i) all.push_back(nested::random_transition(random));
    std::vector<trace::Digest> digests;
    std::vector<Durations> durations;
    Moments moments;
    for (const Transition& t : all) {
        digests.push_back(trace::digest_of(t));
        durations.push_back(moments.take(digests.back()));
    }
    std::array<std::size_t, 3> seen{}, left_open{};
    for (int i = 0; i < 400; ++i) {
        const std::string text = test::random_condition(random, 3);
        const auto q = Query::parse(text);
        ASSERT_TRUE(q) << text;
        Evaluator e(*q, kKhz);
        std::vector<Truth> truths;
        e.truths(digests, durations, truths);
        for (std::size_t n = 0; n < all.size(); n += 1 + random() % 3) {
            EXPECT_EQ(e.truth({&digests[n], durations[n], nullptr}), truths[n]) << text << " at " << n;
            const Truth whole = e.truth({&digests[n], durations[n], &all[n]});
            if (truths[n] != Truth::Unknown || q->digest_only()) {
                EXPECT_EQ(whole, truths[n]) << text << " at " << n;
            } else {
                ++left_open[static_cast<std::size_t>(whole)];
            }
            ++seen[static_cast<std::size_t>(whole)];
        }
    }
    for (const std::size_t n : seen) EXPECT_GT(n, 1000u) << "the conditions are of all kinds";
    for (const std::size_t n : left_open) EXPECT_GT(n, 500u);
}

TEST(QueryColumns, ValuesAreWrittenAsTheirTypeIs) {
    EXPECT_EQ(time_text(812), "812ns");
    EXPECT_EQ(time_text(50'120), "50.12us");
    EXPECT_EQ(time_text(1'250'000), "1.25ms");
    EXPECT_EQ(time_text(3'400'000'000), "3.4s");
    EXPECT_EQ(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
    EXPECT_EQ(csv_cell("=1+1"), "'=1+1");
    EXPECT_EQ(csv_cell("plain"), "plain");

    Transition t = nested::good_exit();
    t.kvm_reason = "a,b";
    const auto queries =
        Query::parse_values("seq,exit_reason,rip,vmcs12.GUEST_CR0,exit_failed,time,kvm_reason,vmcs12.GUEST_CR0.PG");
    ASSERT_TRUE(queries);
    Columns columns(*queries, kKhz);
    const trace::Digest d = trace::digest_of(t);
    Durations durations;
    durations.time = 3000;
    const Row row{&d, durations, &t};
    const std::string cr0 = fmt::format("{:#x}", t.vmcs12_after[Field::GUEST_CR0].bits);
    EXPECT_EQ(columns.csv_head(),
              "seq,exit_reason,rip,vmcs12.GUEST_CR0,exit_failed,time,kvm_reason,vmcs12.GUEST_CR0.PG");
    EXPECT_EQ(columns.csv_line(row), "15,CPUID,," + cr0 + ",false,1500,\"a,b\"," +
                                         (t.vmcs12_after[Field::GUEST_CR0].bits >> 31 & 1 ? "1" : "0"));
    EXPECT_EQ(columns.text(5, row), "1.5us");
    const Json json = columns.json(row);
    EXPECT_EQ(json["seq"], 15);
    EXPECT_EQ(json["exit_reason"], "CPUID");
    EXPECT_TRUE(json["rip"].is_null());
    EXPECT_EQ(json["vmcs12.GUEST_CR0"], cr0);
    EXPECT_EQ(json["exit_failed"], false);
    EXPECT_EQ(json["time"], 1500);
    EXPECT_EQ(json["kvm_reason"], "a,b");
    EXPECT_FALSE(columns.digest_only());
}

}  // namespace
}  // namespace vmxscope::core::query
