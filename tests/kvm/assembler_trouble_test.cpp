// The assembler where entries fail, halves are missing, and records are lost.
#include <gtest/gtest.h>

#include "assembler_feed.h"

namespace vmxscope::kvm {
namespace {

// --- Entries that fail -----------------------------------------------------------------------------------------------

Feed failing_entry(std::uint64_t status) {
    Feed feed;
    feed(at(Role::VmlaunchBegin, false));
    feed(at(Role::NestedEntryBegin, false));
    feed(at(Role::Vmcs02Loaded, true, cr3(0x1000)));
    feed(at(Role::Vmcs02Leaves, true, cr3(0x2000)));
    Record end = at(Role::NestedEntryEnd, false);
    end.registers[5] = status;
    end.vmcs12[Field::VM_EXIT_REASON] = 0x80000021;
    feed(end);
    feed(at(Role::VmlaunchEnd, false));
    feed(at(Role::BeforeEntry, false));
    feed(at(Role::HardwareEntry, false));
    return feed;
}

TEST(Assembler, AnEntryThatKvmRefusedIsOneFailedTransitionWithItsStatus) {
    for (const int status : {1, 2, 3}) {
        const Feed feed = failing_entry(static_cast<std::uint64_t>(status));
        ASSERT_EQ(feed.kinds(), (std::vector{Kind::NestedEntryFailed, Kind::L1Entry})) << status;
        EXPECT_EQ(feed.out[0].status, status);
        EXPECT_FALSE(feed.out[0].context.pae);
    }
}

TEST(Assembler, TheUpperHalfOfTheReturnRegisterIsNotOfTheStatus) {
    EXPECT_EQ(failing_entry(0xdead00000002).out.at(0).status, 2);
    EXPECT_EQ(failing_entry(0xffffffff).out.at(0).status, -1);
}

TEST(Assembler, OnlyAFailureThatL1SeesAsAVmExitHasExitFacts) {
    EXPECT_EQ(failing_entry(2).out.at(0).exit.reason, Value::of(0x80000021));
    EXPECT_EQ(failing_entry(1).out.at(0).exit, nested::ExitInfo{}) << "VMfail: vmcs12 still tells of the exit before";
}

TEST(Assembler, AFailedEntryShowsVmcs02AsItLeft) {
    const Feed feed = failing_entry(2);
    EXPECT_EQ(feed.out[0].vmcs02_before[Field::GUEST_CR3], Value::of(0x1000));
    EXPECT_EQ(feed.out[0].vmcs02_after[Field::GUEST_CR3], Value::of(0x2000));
    EXPECT_EQ(feed.out[0].vmcs02_as_of, 1u);
}

TEST(Assembler, VmfailBeforeTheEntryBeganIsAFailedEntryWithoutStatus) {
    Feed feed;
    Record begin = at(Role::VmlaunchBegin, false);
    begin.vmcs12[Field::VM_INSTRUCTION_ERROR] = 0;
    feed(begin);
    Record end = at(Role::VmlaunchEnd, false);
    end.vmcs12[Field::VM_INSTRUCTION_ERROR] = 7;
    end.tsc = 99;
    EXPECT_EQ(feed(end), 1u);
    const Transition& t = feed.out.at(0);
    EXPECT_EQ(t.kind, Kind::NestedEntryFailed);
    EXPECT_FALSE(t.status);
    EXPECT_EQ(t.tsc, 99u);
    EXPECT_EQ(t.vmcs12_before[Field::VM_INSTRUCTION_ERROR], Value::of(0));
    EXPECT_EQ(t.vmcs12_after[Field::VM_INSTRUCTION_ERROR], Value::of(7));
    ASSERT_EQ(t.notes.size(), 1u);
    EXPECT_NE(t.notes[0].find("VMfail"), std::string::npos);
    EXPECT_EQ(feed(at(Role::VmlaunchEnd, false)), 0u);
}

TEST(Assembler, WhatKvmRefusedIsWhatItHadTakenInFromTheShadowVmcs) {
    Feed feed;
    Record begin = at(Role::VmlaunchBegin, false);
    begin.vmcs12[Field::GUEST_CR0] = 0x30;
    feed(begin);
    Record end = at(Role::VmlaunchEnd, false);
    end.vmcs12[Field::GUEST_CR0] = 0x80000030;
    end.vmcs12[Field::VM_INSTRUCTION_ERROR] = 7;
    feed(end);
    EXPECT_EQ(feed.out.at(0).vmcs12_before[Field::GUEST_CR0], Value::of(0x80000030));
}

TEST(Assembler, AVmlaunchThatEndsInL2DidNotFailThoughItsEntryWasNotSeen) {
    Feed feed;
    feed(at(Role::VmlaunchBegin, false));
    Record end = at(Role::VmlaunchEnd, true);
    end.lost = 2;
    EXPECT_EQ(feed(end), 0u);
    Record entry = at(Role::HardwareEntry, true);
    entry.lost = 2;
    feed(entry);
    EXPECT_EQ(feed.kinds(), (std::vector{Kind::L2Entry}));
    EXPECT_EQ(feed.out[0].lost_before, 2u);
}

// --- Entries and exits whose other half is missing -------------------------------------------------------------------

TEST(Assembler, AnExitToL1BeforeL2WasEnteredEndsTheEntryFirst) {
    Feed feed;
    enter(feed);
    EXPECT_EQ(feed(at(Role::NestedExitBegin, true, cr3(0x9000))), 1u);
    feed(at(Role::Vmcs02Leaves, true));
    feed(at(Role::NestedExitEnd, false));
    ASSERT_EQ(feed.kinds(), (std::vector{Kind::NestedEntry, Kind::NestedExit}));
    EXPECT_TRUE(incomplete(feed.out[0]));
    EXPECT_FALSE(incomplete(feed.out[1]));
    EXPECT_EQ(feed.out[0].vmcs02_after[Field::GUEST_CR3], Value::of(0x9000));
    EXPECT_NE(feed.out[0].notes[0].find("L2 did not run"), std::string::npos);
}

TEST(Assembler, WithoutThePointBeforeItAHardwareEntryEndsTheEntry) {
    Feed feed;
    enter(feed);
    EXPECT_EQ(feed(at(Role::HardwareEntry, true)), 2u);
    ASSERT_EQ(feed.kinds(), (std::vector{Kind::NestedEntry, Kind::L2Entry}));
    EXPECT_TRUE(incomplete(feed.out[0]));
    EXPECT_EQ(feed.out[0].vmcs02_as_of, 1u);
    EXPECT_EQ(feed.out[1].vmcs02_as_of, 2u);
}

TEST(Assembler, AnEntryWhoseReturnWasNotSeenEndsAtTheHardwareEntryOfL2) {
    Feed feed;
    feed(at(Role::NestedEntryBegin, false));
    feed.op("seen");
    feed(at(Role::HardwareEntry, true));
    ASSERT_EQ(feed.kinds(), (std::vector{Kind::NestedEntry, Kind::L2Entry}));
    EXPECT_FALSE(feed.out[0].status);
    EXPECT_TRUE(incomplete(feed.out[0]));
    EXPECT_EQ(places(feed.out[0]), (Places{"seen"}));
}

TEST(Assembler, AnExitWhoseEndWasNotSeenTakesNothingOfTheNextEntry) {
    Feed feed;
    feed(at(Role::NestedExitBegin, true));
    feed.op("of the exit");
    feed(at(Role::HardwareEntry, false));
    ASSERT_EQ(feed.kinds(), (std::vector{Kind::NestedExit, Kind::L1Entry}));
    EXPECT_TRUE(incomplete(feed.out[0]));
    EXPECT_EQ(places(feed.out[0]), (Places{"of the exit"}));
    enter(feed);
    feed.op("of the entry");
    feed(at(Role::BeforeEntry, true));
    EXPECT_EQ(places(feed.out.at(2)), (Places{"of the entry"}));
}

TEST(Assembler, AnExitWithoutItsHardwareEntryEndsWhereTheNextEntryBegins) {
    Feed feed;
    feed(at(Role::NestedExitBegin, true));
    EXPECT_EQ(feed(at(Role::NestedEntryBegin, false)), 1u);
    feed.op("of the entry");
    feed(at(Role::NestedEntryEnd, true));
    feed(at(Role::BeforeEntry, true));
    ASSERT_EQ(feed.kinds(), (std::vector{Kind::NestedExit, Kind::NestedEntry}));
    EXPECT_EQ(places(feed.out[1]), (Places{"of the entry"}));
}

TEST(Assembler, EndsWithoutBeginningsGiveNothing) {
    Feed feed;
    for (const Role role : {Role::VmlaunchEnd, Role::Vmcs02Loaded, Role::NestedEntryEnd, Role::BeforeEntry, Role::Vmcs02Leaves, Role::NestedExitEnd})
        EXPECT_EQ(feed(at(role, false)), 0u);
}

// --- Counts ----------------------------------------------------------------------------------------------------------

TEST(Assembler, LostRecordsAreCountedOnceWithTheTransitionTheyWereBeforeOrIn) {
    Feed feed;
    Record r = at(Role::HardwareExit, false);
    r.lost = 3;
    feed(r);
    feed(r);
    feed.op("an access", 5);
    r.lost = 6;
    feed(r);
    EXPECT_EQ(feed.out[0].lost_before, 3u);
    EXPECT_EQ(feed.out[1].lost_before, 0u);
    EXPECT_EQ(feed.out[2].lost_before, 3u);
    Record begin = at(Role::NestedEntryBegin, false), before = at(Role::BeforeEntry, true), end = at(Role::NestedEntryEnd, true);
    begin.lost = 7;
    end.lost = 8;
    before.lost = 10;
    feed(begin);
    feed(end);
    feed(before);
    EXPECT_EQ(feed.out.at(3).lost_before, 4u);
}

TEST(Assembler, Vmcs02IsAsOfTheTransitionThatReadItLast) {
    Feed feed;
    feed(at(Role::HardwareExit, false));
    EXPECT_EQ(feed.out[0].vmcs02_as_of, 0u) << "never";
    enter(feed);
    feed(at(Role::BeforeEntry, true, cr3(0x1000)));
    feed(at(Role::HardwareExit, false));
    feed(at(Role::HardwareExit, true, cr3(0x2000)));
    feed(at(Role::HardwareEntry, false));
    ASSERT_EQ(feed.out.size(), 5u);
    EXPECT_EQ(feed.out[1].vmcs02_as_of, 2u);
    EXPECT_EQ(feed.out[2].vmcs02_as_of, 2u);
    EXPECT_EQ(feed.out[2].vmcs02_after[Field::GUEST_CR3], Value::of(0x1000));
    EXPECT_EQ(feed.out[3].vmcs02_as_of, 4u);
    EXPECT_EQ(feed.out[4].vmcs02_as_of, 4u);
    EXPECT_EQ(feed.out[4].vmcs02_before[Field::GUEST_CR3], Value::of(0x2000));
}

TEST(Assembler, NumbersOfOtherVcpusBetweenDoNotDisturbAsOf) {
    Assembler a({}, {});
    auto exit = a.take(sample_of(at(Role::HardwareExit, true, cr3(1))));
    a.number(exit.at(0), 10);
    auto entry = a.take(sample_of(at(Role::HardwareEntry, false)));
    a.number(entry.at(0), 17);
    EXPECT_EQ(exit[0].vmcs02_as_of, 10u);
    EXPECT_EQ(entry[0].seq, 17u);
    EXPECT_EQ(entry[0].vmcs02_as_of, 10u);
}

TEST(Assembler, AnEntryCarriesVmcs01AsItBegan) {
    Feed feed;
    feed(at(Role::NestedEntryBegin, false, {{Field::GUEST_CR0, Value::of(0x31)}, {Field::GUEST_CR4, Value::of(0x2020)}}));
    feed(at(Role::Vmcs02Loaded, true, {{Field::GUEST_CR0, Value::of(0x80000031)}}));
    feed(at(Role::NestedEntryEnd, true));
    feed(at(Role::BeforeEntry, true));
    ASSERT_EQ(feed.out.size(), 1u);
    EXPECT_EQ(feed.out[0].vmcs01[Field::GUEST_CR0], Value::of(0x31));
    EXPECT_EQ(feed.out[0].vmcs01[Field::GUEST_CR4], Value::of(0x2020));
    EXPECT_FALSE(feed.out[0].vmcs01[Field::GUEST_RIP].known());
}

TEST(Assembler, Vmcs01IsOfTheTransitionThatReadItAndOfNoOther) {
    Feed feed;
    feed(at(Role::HardwareExit, false, {{Field::VM_EXIT_REASON, Value::of(10)}}));
    feed(at(Role::HardwareExit, true, {{Field::VM_EXIT_REASON, Value::of(12)}}));
    feed(at(Role::NestedExitBegin, true));
    feed(at(Role::NestedExitEnd, false));
    ASSERT_EQ(feed.out.size(), 3u);
    EXPECT_EQ(feed.out[0].vmcs01[Field::VM_EXIT_REASON], Value::of(10));
    EXPECT_FALSE(feed.out[1].vmcs01.any_known()) << "vmcs02 was loaded";
    EXPECT_FALSE(feed.out[2].vmcs01.any_known());
}

TEST(Assembler, WhatKvmComputesFromIsOfTheBeginningOfAnEntry) {
    Feed feed;
    Record begin = at(Role::NestedEntryBegin, false);
    begin.state = {{StateMember::Cr0GuestOwnedBits, 8}, {StateMember::Cr4GuestOwnedBits, 0x78e}, {StateMember::L1TscOffset, ~0ull - 5},
                   {StateMember::L1TscScalingRatio, 1ull << 48}, {StateMember::Pat, 7}, {StateMember::Dr7, 0x400},
                   {StateMember::PreVmenterDebugctl, 1}, {StateMember::PreVmenterBndcfgs, 2}, {StateMember::MpState, 3},
                   {StateMember::Vpid, 4}, {StateMember::Vpid02, 5}, {StateMember::Cr3, 6}};
    feed(begin);
    Record end = at(Role::NestedEntryEnd, true);
    end.state = {{StateMember::Cr0GuestOwnedBits, 0}, {StateMember::Dr7, 0x401}, {StateMember::Cr3, 0x9000}};
    feed(end);
    feed(at(Role::BeforeEntry, true));
    const nested::Context& c = feed.out.at(0).context;
    EXPECT_EQ(c.cr0_guest_owned_bits, 8u);
    EXPECT_EQ(c.cr4_guest_owned_bits, 0x78eu);
    EXPECT_EQ(c.l1_tsc_offset, ~0ull - 5);
    EXPECT_EQ(c.l1_tsc_scaling_ratio, 1ull << 48);
    EXPECT_EQ(c.pat, 7u);
    EXPECT_EQ(c.dr7, 0x400u);
    EXPECT_EQ(c.pre_vmenter_debugctl, 1u);
    EXPECT_EQ(c.pre_vmenter_bndcfgs, 2u);
    EXPECT_EQ(c.mp_state, 3u);
    EXPECT_EQ(c.vpid, 4u);
    EXPECT_EQ(c.vpid02, 5u);
    EXPECT_EQ(c.cr3, 0x9000u) << "of L2, once it is installed";
    EXPECT_EQ(c.enable_shadow_vmcs, true);
    EXPECT_EQ(c.enable_vpid, true);
    EXPECT_EQ(c.enable_unrestricted_guest, false);
}

TEST(Assembler, AScopeThatChangesBetweenTransitionsLeavesBothWhole) {
    Feed feed;
    enter(feed);
    feed(at(Role::BeforeEntry, true));
    feed.assembler.change_ends({nested::EvidenceScope::All, ""});
    feed(at(Role::NestedExitBegin, true));
    feed(at(Role::NestedExitEnd, false));
    ASSERT_EQ(feed.out.size(), 2u);
    EXPECT_EQ(feed.out[0].evidence_scope, nested::EvidenceScope::Pdptrs);
    EXPECT_EQ(feed.out[1].evidence_scope, nested::EvidenceScope::All);
    for (const Transition& t : feed.out) EXPECT_FALSE(incomplete(t));
}

TEST(Assembler, WhatIsUnderWayWhileTheScopeChangesIsIncomplete) {
    Feed feed;
    feed.assembler.change_begins();
    enter(feed);
    feed(at(Role::BeforeEntry, true));
    feed(at(Role::NestedExitBegin, true));
    feed.assembler.change_ends({nested::EvidenceScope::All, ""});
    feed(at(Role::NestedExitEnd, false));
    enter(feed);
    feed(at(Role::BeforeEntry, true));
    ASSERT_EQ(feed.out.size(), 3u);
    EXPECT_TRUE(incomplete(feed.out[0]));
    EXPECT_TRUE(incomplete(feed.out[1]));
    EXPECT_EQ(feed.out[1].evidence_scope, nested::EvidenceScope::Pdptrs) << "as it began";
    EXPECT_FALSE(incomplete(feed.out[2]));
}

TEST(Assembler, AccessesOfAVcpuThatMakesNoTransitionAreBoundedAndCounted) {
    Feed feed;
    for (int i = 0; i < 20000; ++i) feed.op("vmx_get_segment+0x10");
    feed(at(Role::HardwareExit, false));
    ASSERT_EQ(feed.out.size(), 1u);
    EXPECT_LT(feed.out[0].evidence.size(), 20000u);
    EXPECT_EQ(feed.out[0].evidence.size() + feed.out[0].lost_before, 20000u);
}

TEST(Assembler, AnEntryThatKvmRefusesWithVmfailIsCompleteOnceL1WasToldWhy) {
    Feed feed;
    feed(at(Role::VmlaunchBegin, false));
    Record begin = at(Role::NestedEntryBegin, false);
    begin.registers[1] = 1;  // from_vmentry
    feed(begin);
    Record end = at(Role::NestedEntryEnd, false);
    end.registers[5] = 1;  // NVMX_VMENTRY_VMFAIL
    EXPECT_EQ(feed(end), 0u);
    Record told = at(Role::VmlaunchEnd, false);
    told.vmcs12[Field::VM_INSTRUCTION_ERROR] = 8;
    EXPECT_EQ(feed(told), 1u);
    EXPECT_EQ(feed.out[0].kind, Kind::NestedEntryFailed);
    EXPECT_EQ(feed.out[0].status, 1);
    EXPECT_EQ(feed.out[0].vmcs12_before[Field::VM_INSTRUCTION_ERROR], Value::of(0));
    EXPECT_EQ(feed.out[0].vmcs12_after[Field::VM_INSTRUCTION_ERROR], Value::of(8));
    EXPECT_TRUE(feed.out[0].notes.empty());
}

TEST(Assembler, ARefusalWhoseEndWasNotSeenComesWithANote) {
    Feed feed;
    Record begin = at(Role::NestedEntryBegin, false);
    begin.registers[1] = 1;
    feed(begin);
    Record end = at(Role::NestedEntryEnd, false);
    end.registers[5] = 1;
    feed(end);
    EXPECT_EQ(feed(at(Role::HardwareEntry, false)), 2u);
    EXPECT_EQ(feed.kinds(), (std::vector{Kind::NestedEntryFailed, Kind::L1Entry}));
    EXPECT_EQ(feed.out[0].notes.size(), 1u);
}

}  // namespace
}  // namespace vmxscope::kvm
