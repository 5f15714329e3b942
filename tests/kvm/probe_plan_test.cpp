#include "plugins/kvm/probe_plan.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace vmxscope::kvm {
namespace {

using nested::EvidenceScope;

/// A plan with one access of each set, and a hook that is always there.
ProbePlan plan_with(std::int32_t of_pdptr, std::int32_t of_other) {
    ProbePlan plan;
    const auto add = [&](Role role, std::uint32_t sets, std::int32_t status, const char* at) {
        vmxscope_hook h{};
        h.sets = sets;
        h.status = status;
        plan.hooks.push_back(h);
        plan.meaning.push_back({role, at});
    };
    add(Role::BeforeEntry, kStepping, 0, "vmx_prepare_switch_to_guest");
    add(Role::VmcsAccess, kPdptrAccesses, of_pdptr, "vmx_ept_load_pdptrs+0x10");
    add(Role::VmcsAccess, kOtherAccesses, of_other, "prepare_vmcs02_early+0x20");
    add(Role::VmcsAccess, kOtherAccesses, of_other, "prepare_vmcs02_early+0x40");
    return plan;
}

TEST(WatchOf, EachScopeAddsASetAndAllWidensTheEncodings) {
    ProbePlan plan = plan_with(0, 0);
    EXPECT_EQ(watch_of(plan, {.scope = EvidenceScope::None}).sets, kStepping);
    const auto pdptrs = watch_of(plan, {.scope = EvidenceScope::Pdptrs}), all = watch_of(plan, {.scope = EvidenceScope::All});
    EXPECT_EQ(pdptrs.sets, kStepping | kPdptrAccesses);
    EXPECT_EQ(pdptrs.op_first, 0x280a);
    EXPECT_EQ(pdptrs.op_last, 0x2811) << "the high half of GUEST_PDPTR3";
    EXPECT_EQ(all.sets, kStepping | kPdptrAccesses | kOtherAccesses);
    EXPECT_EQ(all.op_first, 0);
    EXPECT_EQ(all.op_last, 0xffff);
}

TEST(WatchOf, ARecordingHasHooksOfItsOwnAndRestsOnlyWhenNothingMayBeLost) {
    ProbePlan plan = plan_with(0, 0);
    using Hooks = WatchFor::Hooks;
    const std::uint32_t ring = 1u << 20;
    const auto verdict = watch_of(plan, {.hooks = Hooks::RecordVerdict, .scope = EvidenceScope::None, .ring_bytes = ring});
    EXPECT_EQ(verdict.sets, kRecordVerdict);
    EXPECT_EQ(verdict.hold_at, 0u);
    EXPECT_EQ(verdict.wake_at, ring / 4);
    const auto all = watch_of(plan, {.hooks = Hooks::RecordAll, .scope = EvidenceScope::None, .lossless = true, .ring_bytes = ring});
    EXPECT_EQ(all.sets, kRecordAll | kRest);
    EXPECT_EQ(all.hold_at, ring / 8);
    EXPECT_EQ(watch_of(plan, {.prompt = true, .ring_bytes = ring}).hold_at, ring / 64);
}

TEST(EvidenceGap, AProbeOfThePdptrsThatWasRefusedIsMissingInBothScopes) {
    for (const std::int32_t status : {-EINVAL, -EBUSY}) {
        const ProbePlan plan = plan_with(status, 0);
        EXPECT_EQ(evidence_gap(plan, EvidenceScope::Pdptrs), "vmx_ept_load_pdptrs could not be probed.");
        EXPECT_EQ(evidence_gap(plan, EvidenceScope::All), "vmx_ept_load_pdptrs could not be probed.");
    }
}

TEST(EvidenceGap, AnotherProbeThatWasRefusedIsMissingInAllOnlyAndNamedOnce) {
    const ProbePlan plan = plan_with(0, -EBUSY);
    EXPECT_EQ(evidence_gap(plan, EvidenceScope::Pdptrs), "");
    EXPECT_EQ(evidence_gap(plan, EvidenceScope::All), "prepare_vmcs02_early could not be probed.");
}

TEST(EvidenceGap, WhatTheKernelLetsNobodyProbeIsANoteOfTheTarget) {
    const ProbePlan plan = plan_with(0, -EINVAL);
    EXPECT_EQ(evidence_gap(plan, EvidenceScope::All), "");
    const auto notes = notes_of(plan);
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_NE(notes[0].find("prepare_vmcs02_early"), std::string::npos) << notes[0];
}

TEST(EvidenceGap, AnAccessWithAMemoryOperandIsMissing) {
    ProbePlan plan = plan_with(0, 0);
    plan.memory_accesses = {{kOtherAccesses, "vmx_vcpu_run"}};
    EXPECT_EQ(evidence_gap(plan, EvidenceScope::Pdptrs), "");
    EXPECT_EQ(evidence_gap(plan, EvidenceScope::All), "vmx_vcpu_run could not be probed.");
    plan.memory_accesses.push_back({kPdptrAccesses, "ept_save_pdptrs"});
    EXPECT_EQ(evidence_gap(plan, EvidenceScope::Pdptrs), "ept_save_pdptrs could not be probed.");
    ASSERT_EQ(notes_of(plan).size(), 1u);
}

TEST(EvidenceGap, WithoutEvidenceThereIsNoneToConcludeFrom) {
    EXPECT_EQ(evidence_gap(plan_with(0, 0), EvidenceScope::None), "none is gathered.");
    EXPECT_EQ(evidence_gap(plan_with(0, 0), EvidenceScope::Pdptrs), "");
    EXPECT_TRUE(notes_of(plan_with(0, 0)).empty());
}

TEST(NotesOf, OtherRefusalsNameFunctionAndReason) {
    ProbePlan plan = plan_with(0, 0);
    plan.notes = {"First."};
    plan.hooks[0].status = -ENOENT;
    const auto notes = notes_of(plan);
    ASSERT_EQ(notes.size(), 2u);
    EXPECT_EQ(notes[0], "First.");
    EXPECT_NE(notes[1].find("vmx_prepare_switch_to_guest (No such file"), std::string::npos) << notes[1];
}

}  // namespace
}  // namespace vmxscope::kvm
