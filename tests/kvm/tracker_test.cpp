// What a recording's records, which have only what changed, become: the samples and transitions of stepping's.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "assembler_feed.h"
#include "plugins/kvm/tracker.h"

namespace vmxscope::kvm {
namespace {

/// The plan of a recording of all fields: vmcs12 is looked at where a nested entry begins, and where L1 is entered.
ProbePlan recording_plan() {
    ProbePlan plan;
    const auto mem = [&](StateMember m, std::uint32_t size, std::uint32_t groups, std::optional<Field> field = {}) {
        vmxscope_mem one{};
        one.size = size;
        one.groups = groups;
        plan.mems.push_back(one);
        plan.mem_members.push_back(m);
        plan.mem_fields.push_back(field);
    };
    mem(StateMember::VcpuId, 4, kState);
    plan.mems.back().flags = VMXSCOPE_MEM_ONCE;
    mem(StateMember::Regs, 17 * 8, kRegs);
    mem(StateMember::RegsDirty, 4, kPending);
    mem(StateMember::Cr0, 8, kMode | kState);
    mem(StateMember::Cr4, 8, kMode | kState);
    mem(StateMember::Efer, 8, kMode | kState);
    mem(StateMember::DirtyVmcs12, 1, kState);
    mem(StateMember::Vmcs12, sizeof(nested::Vmcs12), kVmcs12);
    for (const Field f : {Field::VM_EXIT_REASON, Field::GUEST_RIP, Field::GUEST_RSP, Field::GUEST_CR3, Field::GUEST_PDPTR0})
        plan.fields.push_back(static_cast<std::uint16_t>(f));
    const auto hook = [&](Role role, std::uint32_t groups_l1, std::uint32_t groups_l2) {
        vmxscope_hook h{};
        h.flags = VMXSCOPE_HOOK_CHANGES;
        h.groups_l1 = groups_l1;
        h.groups_l2 = groups_l2;
        plan.hooks.push_back(h);
        plan.meaning.push_back({role, "hook"});
    };
    hook(Role::HardwareExit, kRegs, kRegs);
    hook(Role::HardwareEntry, kRegs | kPending | kVmcs12, kRegs | kPending | kMode);
    hook(Role::NestedEntryBegin, kState | kVmcs12, kState | kVmcs12);
    hook(Role::NestedExitBegin, kState, kState);
    hook(Role::VmxFail, 0, 0);
    return plan;
}

std::size_t hook_of(const ProbePlan& plan, Role role) {
    for (std::size_t i = 0; i < plan.meaning.size(); ++i)
        if (plan.meaning[i].role == role) return i;
    return 0;
}

/// One record with exactly these changes.
struct Changes {
    Role role;
    bool level2 = false, afresh = false, identified = true;
    std::map<Field, std::uint64_t> fields{};
    std::map<StateMember, std::uint64_t> state{};
    std::map<Field, std::uint64_t> vmcs12{};
    std::array<std::uint64_t, 6> registers{};
    std::uint64_t lost = 0;
    bool has_registers = false, state_looked_at = true;
};

class Recording {
  public:
    std::size_t operator()(const Changes& c) {
        std::vector<std::uint64_t> values;
        std::vector<std::uint16_t> what;
        const auto add = [&](std::size_t w, std::uint64_t v) {
            what.push_back(static_cast<std::uint16_t>(w));
            values.push_back(v);
        };
        for (const auto& [f, v] : c.fields)
            for (std::size_t i = 0; i < plan.fields.size(); ++i)
                if (plan.fields[i] == static_cast<std::uint16_t>(f)) add(i, v);
        for (const auto& [m, v] : c.state) add(VMXSCOPE_CHANGE_MEM + word_of(m), v);
        for (const auto& [f, v] : c.vmcs12) add(VMXSCOPE_CHANGE_MEM + word_of(StateMember::Vmcs12) + *nested::vmcs12_offset(f) / 8, v);
        vmxscope_record h{};
        h.type = VMXSCOPE_REC_CHANGES;
        h.hook = static_cast<std::uint16_t>(hook_of(plan, c.role));
        h.flags = (c.level2 ? VMXSCOPE_REC_LEVEL2 : 0) | (c.identified ? VMXSCOPE_REC_IDENTIFIED : 0) | (c.afresh ? VMXSCOPE_REC_AFRESH : 0) |
                  (c.has_registers ? VMXSCOPE_REC_REGS : 0) | (c.state_looked_at ? VMXSCOPE_REC_STATE : 0);
        h.nr = static_cast<std::uint16_t>(values.size());
        h.tsc = ++tsc_;
        h.lost = c.lost;
        std::memcpy(h.regs, c.registers.data(), sizeof h.regs);
        std::vector<std::byte> payload(8 * values.size() + (2 * what.size() + 7) / 8 * 8);
        std::memcpy(payload.data(), values.data(), 8 * values.size());
        std::memcpy(payload.data() + 8 * values.size(), what.data(), 2 * what.size());
        samples.clear();
        EXPECT_TRUE(tracker.take({h, payload}, samples));
        std::size_t made = 0;
        for (const Sample& s : samples)
            for (Transition& t : assembler.take(s)) {
                assembler.number(t, out.size() + 1);
                out.push_back(std::move(t));
                ++made;
            }
        return made;
    }
    std::size_t word_of(StateMember m) const {
        std::size_t word = 0;
        for (std::size_t i = 0; plan.mem_members[i] != m; ++i) word += (plan.mems[i].size + 7) / 8;
        return word;
    }
    std::vector<Kind> kinds() const {
        std::vector<Kind> k;
        for (const Transition& t : out) k.push_back(t.kind);
        return k;
    }

    ProbePlan plan = recording_plan();
    Tracker tracker{plan};
    Assembler assembler{{true, true, true, false}, {nested::EvidenceScope::None, "none is gathered."}};
    std::vector<Sample> samples;
    std::vector<Transition> out;

  private:
    std::uint64_t tsc_ = 0;
};

/// The whole mem is told the first time.
std::map<Field, std::uint64_t> all_of_vmcs12() {
    std::map<Field, std::uint64_t> all;
    for (const nested::Vmcs12Field& f : nested::vmcs12_fields()) all[f.field] = 0;
    return all;
}

void round_trip(Recording& r) {
    r({.role = Role::HardwareExit, .fields = {{Field::VM_EXIT_REASON, 24}}});
    r({.role = Role::NestedEntryBegin, .state = {{StateMember::DirtyVmcs12, 1}}, .registers = {0, 1}});
    r({.role = Role::HardwareEntry, .level2 = true});
    r({.role = Role::HardwareExit, .level2 = true, .fields = {{Field::VM_EXIT_REASON, 10}}});
    r({.role = Role::NestedExitBegin, .level2 = true, .registers = {0, 10}});
    r({.role = Role::HardwareEntry});
}

TEST(Tracker, ARoundTripOfSixRecordsGivesItsSixTransitions) {
    Recording r;
    round_trip(r);
    EXPECT_EQ(r.kinds(), (std::vector{Kind::L1Exit, Kind::NestedEntry, Kind::L2Entry, Kind::L2Exit, Kind::NestedExit, Kind::L1Entry}));
    EXPECT_EQ(r.out[1].status, 0);
    EXPECT_EQ(r.out[1].context.dirty_vmcs12, true);
    EXPECT_EQ(r.out[1].context.from_vmentry, true);
    EXPECT_EQ(r.out[4].exit.reason, Value::of(10));
}

TEST(Tracker, WhatIsNotToldAgainIsStillThere) {
    Recording r;
    r({.role = Role::HardwareExit, .level2 = true, .fields = {{Field::GUEST_CR3, 0x1000}, {Field::GUEST_PDPTR0, 0x2001}}});
    r({.role = Role::HardwareEntry, .level2 = true, .fields = {{Field::GUEST_CR3, 0x3000}}});
    ASSERT_EQ(r.out.size(), 2u);
    EXPECT_EQ(r.out[1].vmcs02_after[Field::GUEST_CR3], Value::of(0x3000));
    EXPECT_EQ(r.out[1].vmcs02_after[Field::GUEST_PDPTR0], Value::of(0x2001));
    EXPECT_EQ(r.out[1].vmcs02_after[Field::GUEST_RIP], Value{}) << "nobody read it";
}

TEST(Tracker, ARecordAfreshForgetsWhatWasToldBefore) {
    Recording r;
    r({.role = Role::HardwareExit, .level2 = true, .fields = {{Field::GUEST_CR3, 0x1000}}});
    r({.role = Role::HardwareExit, .level2 = true, .afresh = true, .fields = {{Field::GUEST_PDPTR0, 1}}});
    EXPECT_EQ(r.out[1].vmcs02_after[Field::GUEST_CR3], Value{});
}

TEST(Tracker, AnEntryUnderWayOutlivesANewBeginningButNotALoss) {
    Recording r;
    r({.role = Role::NestedEntryBegin});
    r({.role = Role::HardwareEntry, .level2 = true, .afresh = true});
    EXPECT_EQ(r.kinds(), (std::vector{Kind::NestedEntry, Kind::L2Entry}));
    r.out.clear();
    r({.role = Role::NestedEntryBegin});
    r({.role = Role::HardwareEntry, .afresh = true, .lost = 3});
    ASSERT_EQ(r.kinds(), (std::vector{Kind::L1Entry})) << "whether it failed is not known";
}

TEST(Tracker, RegistersThatKvmIsAboutToWriteAreThoseOfTheEntry) {
    Recording r;
    r({.role = Role::HardwareEntry,
       .level2 = true,
       .fields = {{Field::GUEST_RIP, 0x7000}, {Field::GUEST_RSP, 0x8000}},
       .state = {{StateMember::RegsDirty, 1u << 16}, {StateMember::Regs, 1}}});
    // Only the first word of the registers was told, so the others are as they were: 0.
    EXPECT_EQ(r.out[0].vmcs02_after[Field::GUEST_RIP], Value::of(0)) << "from the register cache, which is dirty";
    EXPECT_EQ(r.out[0].vmcs02_after[Field::GUEST_RSP], Value::of(0x8000)) << "as it was read";
}

TEST(Tracker, AnEntryThatIsFollowedByL1HasFailed) {
    Recording r;
    r({.role = Role::HardwareExit, .fields = {{Field::VM_EXIT_REASON, 20}}});
    r({.role = Role::NestedEntryBegin, .vmcs12 = all_of_vmcs12(), .registers = {0, 1}});
    r({.role = Role::HardwareEntry, .vmcs12 = {{Field::VM_EXIT_REASON, 0x80000021}}});
    EXPECT_EQ(r.kinds(), (std::vector{Kind::L1Exit, Kind::NestedEntryFailed, Kind::L1Entry}));
    EXPECT_EQ(r.out[1].status, 2);
}

TEST(Tracker, AVmfailOfTheEntryHasTheErrorThatKvmLeaves) {
    Recording r;
    r({.role = Role::HardwareExit, .fields = {{Field::VM_EXIT_REASON, 20}}});
    r({.role = Role::NestedEntryBegin, .vmcs12 = all_of_vmcs12(), .registers = {0, 1}});
    r({.role = Role::VmxFail});
    r({.role = Role::HardwareEntry, .vmcs12 = {{Field::VM_INSTRUCTION_ERROR, 7}}});
    EXPECT_EQ(r.kinds(), (std::vector{Kind::L1Exit, Kind::NestedEntryFailed, Kind::L1Entry}));
    EXPECT_EQ(r.out[1].status, 1);
}

TEST(Tracker, ARefusalBeforeTheEntryIsOneWhenL1WasEnteringAndNothingElseIs) {
    Recording r;
    r({.role = Role::HardwareExit, .fields = {{Field::VM_EXIT_REASON, 24}}});
    r({.role = Role::VmxFail});
    r({.role = Role::HardwareEntry, .vmcs12 = all_of_vmcs12()});
    EXPECT_EQ(r.kinds(), (std::vector{Kind::L1Exit, Kind::NestedEntryFailed, Kind::L1Entry}));
    r.out.clear();
    r({.role = Role::HardwareExit, .fields = {{Field::VM_EXIT_REASON, 21}}});  // VMPTRLD
    r({.role = Role::VmxFail});
    r({.role = Role::HardwareEntry});
    EXPECT_EQ(r.kinds(), (std::vector{Kind::L1Exit, Kind::L1Entry}));
}

TEST(Tracker, AnExitBeforeL2EverRanEndsTheEntry) {
    Recording r;
    r({.role = Role::NestedEntryBegin, .registers = {0, 1}});
    r({.role = Role::NestedExitBegin, .level2 = true, .registers = {0, 1}});
    r({.role = Role::HardwareEntry});
    EXPECT_EQ(r.kinds(), (std::vector{Kind::NestedEntry, Kind::NestedExit, Kind::L1Entry}));
    EXPECT_FALSE(r.out[0].notes.empty());
}

TEST(Tracker, OnlyTheFirstNestedEntryAfterVmresumeIsL1s) {
    Recording r;
    r({.role = Role::HardwareExit, .fields = {{Field::VM_EXIT_REASON, 24}}});
    r({.role = Role::NestedEntryBegin});
    r({.role = Role::HardwareEntry, .level2 = true});
    r({.role = Role::HardwareExit, .level2 = true});
    r({.role = Role::NestedEntryBegin});  // KVM_SET_NESTED_STATE
    r({.role = Role::HardwareEntry, .level2 = true});
    EXPECT_EQ(r.out.at(1).context.from_vmentry, true);
    EXPECT_EQ(r.out.at(4).context.from_vmentry, false);
}

TEST(Tracker, StateThatItsHookDidNotLookAtThisTimeIsNotRead) {
    Recording r;
    // The first word of vmcs12 is its revision.
    r({.role = Role::HardwareEntry, .state = {{StateMember::VcpuId, 5}, {StateMember::Vmcs12, 0x11e57ed0}}});
    ASSERT_TRUE(r.samples.at(0).vmcs12);
    r({.role = Role::HardwareEntry, .state_looked_at = false});
    EXPECT_FALSE(r.samples.at(0).vmcs12) << "L1 may have written it since";
    EXPECT_EQ(r.samples.at(0).number(StateMember::VcpuId), 5u) << "which never changes";
}

TEST(Tracker, TheVcpusAddressIsToldWithTheRegisters) {
    Recording r;
    r({.role = Role::HardwareExit, .registers = {0xffff888000001000}, .has_registers = true});
    r({.role = Role::HardwareEntry});
    EXPECT_EQ(r.samples.at(0).registers[0], 0xffff888000001000u);
}

TEST(Tracker, StateThatItsHookDoesNotReadIsNotRead) {
    Recording r;
    r({.role = Role::NestedEntryBegin, .state = {{StateMember::Cr0, 0x11}}});
    r({.role = Role::HardwareExit, .level2 = true});
    EXPECT_FALSE(r.samples.at(0).number(StateMember::Cr0)) << "an l2-exit does not look at it";
}

TEST(Tracker, DamagedRecordsAreRefused) {
    std::mt19937_64 random(11);
    Recording r;
    round_trip(r);
    for (int i = 0; i < 20'000; ++i) {
        std::vector<std::byte> payload(random() % 64);
        for (auto& b : payload) b = static_cast<std::byte>(random());
        vmxscope_record h{};
        h.type = VMXSCOPE_REC_CHANGES;
        h.hook = static_cast<std::uint16_t>(random() % 8);
        h.nr = static_cast<std::uint16_t>(random() % 8);
        h.flags = static_cast<std::uint32_t>(random() % 64);
        r.samples.clear();
        const bool fits = h.hook < r.plan.hooks.size() && payload.size() == 8u * h.nr + (2u * h.nr + 7) / 8 * 8;
        if (!r.tracker.take({h, payload}, r.samples)) EXPECT_TRUE(r.samples.empty());
        else EXPECT_TRUE(fits);
    }
}

}  // namespace
}  // namespace vmxscope::kvm
