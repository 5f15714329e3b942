// What the assembler makes of the records of whole round trips.
#include <gtest/gtest.h>

#include "assembler_feed.h"

namespace vmxscope::kvm {
namespace {

TEST(Assembler, ARoundTripGivesItsSixTransitionsInOrder) {
    Feed feed;
    EXPECT_EQ(feed(at(Role::HardwareExit, false)), 1u);
    EXPECT_EQ(feed(at(Role::VmlaunchBegin, false)), 0u);
    EXPECT_EQ(feed(at(Role::NestedEntryBegin, false)), 0u);
    EXPECT_EQ(feed(at(Role::Vmcs02Loaded, true)), 0u);
    EXPECT_EQ(feed(at(Role::NestedEntryEnd, true)), 0u);
    EXPECT_EQ(feed(at(Role::VmlaunchEnd, true)), 0u);
    EXPECT_EQ(feed(at(Role::BeforeEntry, true)), 1u) << "the entry is complete here, not at its return";
    EXPECT_EQ(feed(at(Role::HardwareEntry, true)), 1u);
    EXPECT_EQ(feed(at(Role::HardwareExit, true)), 1u);
    EXPECT_EQ(feed(at(Role::NestedExitBegin, true)), 0u);
    EXPECT_EQ(feed(at(Role::Vmcs02Leaves, true)), 0u);
    EXPECT_EQ(feed(at(Role::NestedExitEnd, false)), 1u);
    EXPECT_EQ(feed(at(Role::BeforeEntry, false)), 0u);
    EXPECT_EQ(feed(at(Role::HardwareEntry, false)), 1u);
    EXPECT_EQ(feed.kinds(), (std::vector{Kind::L1Exit, Kind::NestedEntry, Kind::L2Entry, Kind::L2Exit, Kind::NestedExit, Kind::L1Entry}));
    for (const Transition& t : feed.out) EXPECT_TRUE(t.notes.empty()) << t.notes[0];
}

TEST(Assembler, TheVcpuIsKvmsIdAndTheLevelIsWhoseVmcsIsLoaded) {
    Feed feed;
    EXPECT_FALSE(feed.assembler.vcpu_id());
    EXPECT_FALSE(feed.assembler.level());
    Record r = at(Role::HardwareExit, true);
    r.state[StateMember::VcpuId] = 5;
    feed(r);
    EXPECT_EQ(feed.assembler.vcpu_id(), 5u);
    EXPECT_EQ(feed.assembler.level(), 2);
    EXPECT_EQ(feed.out[0].vcpu, 5u);
    feed(at(Role::NestedExitEnd, false));
    EXPECT_EQ(feed.assembler.level(), 1);
}

TEST(Assembler, AnEntryShowsVmcs02FromItsLoadToTheHardwareEntry) {
    Feed feed;
    enter(feed, 0x1000, 0x2000);
    feed(at(Role::BeforeEntry, true, cr3(0x3000)));
    ASSERT_EQ(feed.out.size(), 1u);
    EXPECT_EQ(feed.out[0].vmcs02_before[Field::GUEST_CR3], Value::of(0x1000));
    EXPECT_EQ(feed.out[0].vmcs02_after[Field::GUEST_CR3], Value::of(0x3000));
    EXPECT_EQ(feed.out[0].status, 0);
    EXPECT_EQ(feed.out[0].cached_pdptrs[3], Value::of(pdptr_in_records(3)));
}

TEST(Assembler, AnExitShowsVmcs12BeforeAndAfterAndVmcs02AsItLeaves) {
    Feed feed;
    Record begin = at(Role::NestedExitBegin, true, cr3(0x1000));
    begin.vmcs12[Field::GUEST_CR3] = 0x7000;
    begin.registers = {0, 48, 0x80000b0e, 0x181, 0, 0};
    feed(begin);
    feed(at(Role::Vmcs02Leaves, true, cr3(0x2000)));
    Record end = at(Role::NestedExitEnd, false);
    end.vmcs12[Field::GUEST_CR3] = 0x8000;
    feed(end);
    ASSERT_EQ(feed.out.size(), 1u);
    const Transition& t = feed.out[0];
    EXPECT_EQ(t.vmcs12_before[Field::GUEST_CR3], Value::of(0x7000));
    EXPECT_EQ(t.vmcs12_after[Field::GUEST_CR3], Value::of(0x8000));
    EXPECT_EQ(t.vmcs02_before[Field::GUEST_CR3], Value::of(0x1000));
    EXPECT_EQ(t.vmcs02_after[Field::GUEST_CR3], Value::of(0x2000));
    EXPECT_EQ(t.exit.reason, Value::of(48)) << "nested_vmx_vmexit's arguments";
    EXPECT_EQ(t.exit.intr_info, Value::of(0x80000b0e));
    EXPECT_EQ(t.exit.qualification, Value::of(0x181));
}

TEST(Assembler, RegistersAreInGdbsOrderWithRipOfTheVmcs) {
    Feed feed;
    feed(at(Role::HardwareExit, false, {{Field::GUEST_RIP, Value::of(0x7c00)}}));
    const Transition& t = feed.out.at(0);
    EXPECT_EQ(t.regs[nested::RAX], Value::of(gpr_in_records(0)));
    EXPECT_EQ(t.regs[nested::RCX], Value::of(gpr_in_records(1)));
    EXPECT_EQ(t.regs[nested::RBX], Value::of(gpr_in_records(3)));
    EXPECT_EQ(t.regs[nested::RSI], Value::of(gpr_in_records(6)));
    EXPECT_EQ(t.regs[nested::RIP], Value::of(0x7c00));
    EXPECT_EQ(t.regs[nested::RSP], Value{}) << "KVM's array is stale there";
}

TEST(Assembler, AHardwareExitSaysWhyAndAnEntryDoesNot) {
    Feed feed;
    const Fields why{{Field::VM_EXIT_REASON, Value::of(10)}, {Field::EXIT_QUALIFICATION, Value::of(3)}};
    feed(at(Role::HardwareExit, false, why));
    feed(at(Role::HardwareEntry, false, why));
    EXPECT_EQ(feed.out.at(0).exit.reason, Value::of(10));
    EXPECT_EQ(feed.out.at(0).exit.qualification, Value::of(3));
    EXPECT_EQ(feed.out.at(1).exit, nested::ExitInfo{});
}

TEST(Assembler, AVmcsThatWasNotIdentifiedIsSaidNotToBeRead) {
    Feed feed;
    Record r = at(Role::HardwareExit, true, cr3(1));
    r.identified = false;
    feed(r);
    ASSERT_EQ(feed.out.at(0).notes.size(), 1u);
    EXPECT_FALSE(feed.out[0].vmcs02_after.any_known());
    EXPECT_EQ(feed.out[0].vmcs02_as_of, 0u);
}

// --- What KVM decided from -------------------------------------------------------------------------------------------

TEST(Assembler, AnEntrysConditionsAreOfTheMomentWhenKvmUsedThem) {
    Feed feed;
    Record begin = at(Role::NestedEntryBegin, false);
    begin.registers[1] = 1;  // bool from_vmentry
    begin.state = {{StateMember::DirtyVmcs12, 1}, {StateMember::HvEvmcsVmptr, 0x1000}, {StateMember::HvCleanFields, 0x800}, {StateMember::PdptrsFromUserspace, 1}};
    feed(begin);
    Record end = at(Role::NestedEntryEnd, true);
    end.state = {{StateMember::DirtyVmcs12, 0}, {StateMember::HvEvmcsVmptr, ~0ull}, {StateMember::Cr0, kPagingOn}, {StateMember::Cr4, kPae}};
    feed(end);
    feed(at(Role::BeforeEntry, true));
    const nested::Context& c = feed.out.at(0).context;
    EXPECT_EQ(c.dirty_vmcs12, true);
    EXPECT_EQ(c.from_vmentry, true);
    EXPECT_EQ(c.evmcs, true);
    EXPECT_EQ(c.evmcs_clean_fields, 0x800u);
    EXPECT_EQ(c.pdptrs_from_userspace, true);
    EXPECT_EQ(c.pae, true) << "L2's mode, which KVM has installed by then";
    EXPECT_EQ(c.enable_ept, true);
}

TEST(Assembler, NestedEptNeedsTheControlAndItsActivation) {
    for (const auto& [primary, secondary, ept] : {std::tuple{0x80000000u, 2u, true}, {0u, 2u, false}, {0x80000000u, 4u, false}}) {
        Feed feed;
        Record r = at(Role::HardwareExit, true);
        r.vmcs12 = {{Field::CPU_BASED_VM_EXEC_CONTROL, primary}, {Field::SECONDARY_VM_EXEC_CONTROL, secondary}};
        feed(r);
        EXPECT_EQ(feed.out.at(0).context.nested_ept, ept);
    }
    Feed feed;
    Record r = at(Role::HardwareExit, true);
    r.unread = {StateMember::Vmcs12};
    feed(r);
    EXPECT_FALSE(feed.out.at(0).context.nested_ept);
}

TEST(Assembler, AnEnlightenedVmcsIsAPointerThatIsNeitherInvalidNorPending) {
    for (const auto& [pointer, used] : {std::pair{~0ull, false}, {~1ull, false}, {0x1000ull, true}}) {
        Feed feed;
        Record r = at(Role::HardwareExit, true);
        r.state[StateMember::HvEvmcsVmptr] = pointer;
        feed(r);
        EXPECT_EQ(feed.out.at(0).context.evmcs, used) << pointer;
    }
    for (const std::uint64_t mapping : {0ull, 0xffff888000000000ull}) {  // before v5.14
        Feed feed;
        Record r = at(Role::HardwareExit, true);
        r.unread = {StateMember::HvEvmcsVmptr};
        r.state[StateMember::HvEvmcs] = mapping;
        feed(r);
        EXPECT_EQ(feed.out.at(0).context.evmcs, mapping != 0);
    }
}

TEST(PaePaging, IsPagingWithPaeOutsideIa32eMode) {
    const auto of = [](std::uint64_t cr0, std::uint64_t cr4, std::uint64_t controls) {
        vmx::VmcsImage v;
        v[Field::GUEST_CR0] = Value::of(cr0);
        v[Field::GUEST_CR4] = Value::of(cr4);
        v[Field::VM_ENTRY_CONTROLS] = Value::of(controls);
        return pae_paging(v);
    };
    EXPECT_EQ(of(kPagingOn, kPae, 0), true);
    EXPECT_EQ(of(kPagingOn, kPae, kLongModeGuest), false);
    EXPECT_EQ(of(kPagingOn, 0, 0), false);
    EXPECT_EQ(of(0x11, kPae, 0), false);
    EXPECT_FALSE(pae_paging({}));
}

Record l2_exit(bool pae, std::uint64_t reason = 10) {
    return at(Role::HardwareExit, true,
              {{Field::GUEST_CR0, Value::of(kPagingOn)}, {Field::GUEST_CR4, Value::of(kPae)}, {Field::VM_EXIT_REASON, Value::of(reason)},
               {Field::VM_ENTRY_CONTROLS, Value::of(pae ? 0 : kLongModeGuest)}});
}

TEST(Assembler, ThePreviousHardwareExitsPagingGoesWithTheNext) {
    Feed feed;
    feed(l2_exit(true));
    feed(l2_exit(false));
    feed(at(Role::HardwareExit, false));
    feed(at(Role::HardwareEntry, true));
    EXPECT_FALSE(feed.out[0].context.last_hw_exit_pae) << "none was seen";
    EXPECT_EQ(feed.out[1].context.last_hw_exit_pae, true);
    EXPECT_EQ(feed.out[2].context.last_hw_exit_pae, false);
    EXPECT_EQ(feed.out[3].context.last_hw_exit_pae, false) << "an exit of L1 is of another VMCS";
}

TEST(Assembler, AVmEntryThatFailedSavedNoPdptrsSoItIsNoHardwareExit) {
    Feed feed;
    feed(l2_exit(true));
    feed(l2_exit(false, 0x80000021));
    Record fail = l2_exit(false);
    fail.state[StateMember::Fail] = 1;
    feed(fail);
    feed(at(Role::HardwareEntry, true));
    EXPECT_EQ(feed.out[2].notes.size(), 1u) << "VMfail is said";
    EXPECT_EQ(feed.out[3].context.last_hw_exit_pae, true);
}

TEST(Assembler, AfterAHardwareExitThatWasNotReadItsPagingIsUnknown) {
    Feed feed;
    feed(l2_exit(true));
    Record unread = l2_exit(true);
    unread.identified = false;
    feed(unread);
    feed(at(Role::HardwareEntry, true));
    EXPECT_FALSE(feed.out[2].context.last_hw_exit_pae);
}

// --- Evidence --------------------------------------------------------------------------------------------------------

TEST(Assembler, AccessesUpToTheHardwareEntryAreTheEntrysAndThoseOfTheExitItsOwn) {
    Feed feed;
    feed.op("loose");
    enter(feed);
    feed.op("after the return");
    feed(at(Role::BeforeEntry, true));
    feed.op("between");
    feed(at(Role::HardwareEntry, true));
    feed(at(Role::HardwareExit, true));
    feed.op("before the exit");
    feed(at(Role::NestedExitBegin, true));
    feed.op("in the exit");
    feed(at(Role::Vmcs02Leaves, true));
    feed.op("after vmcs02 left");
    feed(at(Role::NestedExitEnd, false));
    feed(at(Role::HardwareEntry, false));
    ASSERT_EQ(feed.kinds(), (std::vector{Kind::NestedEntry, Kind::L2Entry, Kind::L2Exit, Kind::NestedExit, Kind::L1Entry}));
    EXPECT_EQ(places(feed.out[0]), (Places{"loose", "after the return"}));
    EXPECT_EQ(places(feed.out[1]), (Places{"between"}));
    EXPECT_EQ(places(feed.out[2]), Places{});
    EXPECT_EQ(places(feed.out[3]), (Places{"before the exit", "in the exit", "after vmcs02 left"}));
    EXPECT_EQ(places(feed.out[4]), Places{});
}

TEST(Assembler, IncompleteProbesAreNotedWhereAVerdictIsDrawn) {
    Feed feed(false);
    enter(feed);
    feed(at(Role::BeforeEntry, true));
    feed(at(Role::HardwareEntry, true));
    EXPECT_TRUE(incomplete(feed.out[0]));
    EXPECT_FALSE(incomplete(feed.out[1]));
}

}  // namespace
}  // namespace vmxscope::kvm
