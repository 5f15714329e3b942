#include "plugins/kvm/assembler.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "records.h"

namespace vmxscope::kvm {
namespace {

using nested::Evidence;
using nested::Kind;
using nested::Transition;
using vmx::Field;
using vmx::Value;
using Fields = std::map<Field, Value>;
using State = std::map<StateMember, std::uint64_t>;

constexpr std::uint64_t kPae = 0x20, kPagingOn = 0x80000011, kLongModeGuest = 0x200;

/// An Assembler fed as KvmTarget does it: what it completes is numbered at once.
class Feed {
  public:
    explicit Feed(bool evidence_complete = true)
        : assembler({true, true, true, false}, {nested::EvidenceScope::Pdptrs, evidence_complete ? "" : "nested_vmx_run could not be probed."}) {}

    /// Returns how many transitions the record completed.
    std::size_t operator()(const Record& r) {
        auto done = assembler.take(sample_of(r));
        for (Transition& t : done) {
            assembler.number(t, ++seq_);
            out.push_back(std::move(t));
        }
        return done.size();
    }
    void op(const std::string& at, std::uint64_t lost = 0) {
        Evidence e;
        e.encoding = static_cast<std::uint16_t>(Field::GUEST_PDPTR0);
        e.at = at;
        assembler.take(e, lost);
    }
    std::vector<Kind> kinds() const {
        std::vector<Kind> k;
        for (const Transition& t : out) k.push_back(t.kind);
        return k;
    }

    Assembler assembler;
    std::vector<Transition> out;

  private:
    std::uint64_t seq_ = 0;
};

Record at(Role role, bool level2, Fields vmcs = {}) { return {.role = role, .level2 = level2, .vmcs = std::move(vmcs)}; }
Fields cr3(std::uint64_t v) { return {{Field::GUEST_CR3, Value::of(v)}}; }

/// L1's VMLAUNCH up to the return of nested_vmx_run, with vmcs02's CR3 as `before`, then `after`.
void enter(Feed& feed, std::uint64_t before = 1, std::uint64_t after = 2) {
    feed(at(Role::VmlaunchBegin, false));
    feed(at(Role::NestedEntryBegin, false));
    feed(at(Role::Vmcs02Loaded, true, cr3(before)));
    feed(at(Role::NestedEntryEnd, true, cr3(after)));
    feed(at(Role::VmlaunchEnd, true));
}

std::vector<std::string> places(const Transition& t) {
    std::vector<std::string> out;
    for (const Evidence& e : t.evidence) out.push_back(e.at);
    return out;
}
using Places = std::vector<std::string>;

bool incomplete(const Transition& t) {
    for (const std::string& note : t.notes)
        if (note.starts_with(nested::kEvidenceIncomplete)) return true;
    return false;
}

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
