// What KVM does with every field, seen in the lab: over 1,000 transitions of each guest with every VMREAD and VMWRITE
// of KVM's watched, and no rule that the evidence contradicts. Disagreements that were looked into are listed here,
// with the function of KVM's that causes them; docs/disagreements.md says more.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include "core/flow_report.h"
#include "nested/flow.h"
#include "nested/flow_text.h"
#include "nested/lineage.h"
#include "walk.h"

using namespace vmxscope;
using e2e::Walk;
using nested::Finding;
using nested::Kind;

namespace {

constexpr std::size_t kTransitions = 1000, kNested = 200;

/// Counted by what is wrong with which field at which kind of transition; the first of each with its text.
struct Tally {
    std::size_t seen = 0, nested = 0, complete = 0, lost = 0;
    std::map<std::string, std::pair<std::size_t, std::string>> findings;
    std::set<vmx::Field> predicted, watched;
};

void examine(const nested::Transition& t, const nested::Lineages& lineages, const core::TargetInfo& target,
             Tally& tally) {
    ++tally.seen;
    tally.lost += t.lost_before != 0;
    if (t.kind != Kind::NestedEntry && t.kind != Kind::NestedExit) return;
    const nested::Flow flow = nested::flow_of(t, lineages.of(t.vcpu));
    ++tally.nested;
    tally.complete += flow.complete;
    for (const vmx::FieldInfo& info : vmx::all_fields()) {
        if (flow[info.field].match != nested::Match::NotPredictable) tally.predicted.insert(info.field);
        if (flow[info.field].seen == true) tally.watched.insert(info.field);
    }
    for (const Finding& f : flow.findings) {
        auto& [count, text] =
            tally.findings[fmt::format("{} {}: {}", name_of(t.kind), vmx::name_of(f.field), name_of(f.what))];
        if (count++ != 0) continue;
        text = core::headline(t) + ": " + finding_text(t, flow, f);
        if (const char* folder = std::getenv("VMXSCOPE_FINDINGS"))
            std::ofstream(fmt::format("{}/{}-{}-{}.json", folder, target.kernel, t.seq, vmx::name_of(f.field)))
                << core::finding_report_json(t, f, target);
    }
}

/// Lets the guest run from stop to stop and takes in all transitions on the way: no more than the agent keeps.
Tally walk_all(const std::string& guest, core::StepKind step) {
    Walk walk(lab::running_lab(guest));
    const auto set = walk.target().set_evidence(nested::EvidenceScope::All);
    EXPECT_TRUE(set) << (set ? "" : set.error().text());
    const core::TargetInfo target = walk.target().info();
    Tally tally;
    nested::Lineages lineages;
    std::uint64_t next = 1;
    while (tally.seen < kTransitions || tally.nested < kNested) {
        const std::uint64_t last = walk.go({{std::nullopt, step}}).seq;
        // An L1 that prints a lot exits more often between two stops than the agent keeps transitions.
        if (const auto kept = walk.target().history()) next = std::max(next, kept->first);
        for (; next <= last; ++next) {
            const nested::Transition t = walk.at(next);
            // What KVM had done before it was asked for has less evidence.
            if (t.evidence_scope == nested::EvidenceScope::All) examine(t, lineages, target, tally);
            lineages.take(t);
        }
    }
    return tally;
}

void expect_no_disagreement(const std::string& guest, core::StepKind step = core::StepKind::Exit) {
    const Tally tally = walk_all(guest, step);
    fmt::print(
        "{}: {} transitions, {} nested, {} with complete evidence, {} fields predicted, {} seen read or written\n",
        guest, tally.seen, tally.nested, tally.complete, tally.predicted.size(), tally.watched.size());
    for (const auto& [what, finding] : tally.findings)
        ADD_FAILURE() << finding.first << " times " << what << "\n  " << finding.second;
    EXPECT_EQ(tally.lost, 0u);
    EXPECT_EQ(tally.complete, tally.nested) << "evidence of every field, every time";
    EXPECT_GE(tally.predicted.size(), 100u);
    EXPECT_GE(tally.watched.size(), 100u) << "the first, dirty entry included";
}

}  // namespace

TEST(Flow, pae_ept) {
    expect_no_disagreement("pae-ept");
}
TEST(Flow, pae_shadow) {
    expect_no_disagreement("pae-shadow");
}
TEST(Flow, long_ept) {
    expect_no_disagreement("long-ept");
}
TEST(Flow, legacy_ept) {
    expect_no_disagreement("legacy-ept");
}
TEST(Flow, pae_toggle) {
    expect_no_disagreement("pae-toggle");
}
TEST(Flow, broken_entries) {
    expect_no_disagreement("broken-entries", core::StepKind::Nested);
}
TEST(Flow, pae_ept_smp) {
    expect_no_disagreement("pae-ept-smp");
}
