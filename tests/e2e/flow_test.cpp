// What KVM does with every field, seen in the lab: over 1,000 transitions of each guest with every VMREAD and VMWRITE
// of KVM's watched, and no rule that the evidence contradicts. Disagreements that were looked into would be listed
// here, with the function of KVM's that causes them; docs/disagreements.md says more.
#include "walked.h"

using namespace vmxscope;

namespace {

void expect_no_disagreement(const std::string& guest, core::StepKind step = core::StepKind::Exit) {
    const e2e::Tally& tally = e2e::walked(guest, step).tally;
    fmt::print(
        "{}: {} transitions, {} of them after a loss, {} nested, {} with complete evidence, {} fields predicted, {} "
        "seen read or written\n",
        guest, tally.seen, tally.lost, tally.nested, tally.complete, tally.predicted.size(), tally.watched.size());
    for (const auto& [what, finding] : tally.findings)
        ADD_FAILURE() << finding.first << " times " << what << "\n  " << finding.second;
    EXPECT_GE(tally.seen, e2e::kTransitions);
    // Also that nothing was lost before or in any of them.
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
// Between its rounds its L1 prints faster than the agent reads: records are lost there, of L1's own exits.
TEST(Flow, broken_entries) {
    expect_no_disagreement("broken-entries", core::StepKind::Nested);
}
TEST(Flow, pae_ept_smp) {
    expect_no_disagreement("pae-ept-smp");
}
