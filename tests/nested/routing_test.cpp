// Why an exit went where it went, and what deserves a second look.
#include "nested/routing.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "flow_samples.h"
#include "nested/badges.h"
#include "random_transition.h"

namespace vmxscope::nested {
namespace {

using vmx::Field;
using vmx::Value;
using Who = Routing::Who;

/// An l2-exit of this reason and qualification.
Transition l2_exit(std::uint64_t reason, std::uint64_t qualification = 0, std::uint64_t intr_info = 0) {
    Transition t = good_exit();
    t.kind = Kind::L2Exit;
    t.exit.reason = Value::of(reason);
    t.exit.qualification = Value::of(qualification);
    t.exit.intr_info = Value::of(intr_info);
    set(t.vmcs12_before, Field::CPU_BASED_VM_EXEC_CONTROL, 1u << 31);
    set(t.vmcs12_before, Field::SECONDARY_VM_EXEC_CONTROL, 0);
    set(t.vmcs12_before, Field::PIN_BASED_VM_EXEC_CONTROL, 0);
    return t;
}

Who who(const Transition& t, BitmapBit bit = {}) {
    return routing_of(t, bit)->who;
}

TEST(Routing, IsOfExitsOnly) {
    EXPECT_FALSE(routing_of(good_entry()));
    EXPECT_TRUE(routing_of(good_exit()));
}

TEST(Routing, FollowsTheControls) {
    Transition t = l2_exit(12);  // HLT
    EXPECT_EQ(who(t), Who::L0);
    set(t.vmcs12_before, Field::CPU_BASED_VM_EXEC_CONTROL, 1u << 7);
    const auto r = routing_of(t);
    EXPECT_EQ(r->who, Who::L1);
    EXPECT_EQ(r->field, Field::CPU_BASED_VM_EXEC_CONTROL);
    EXPECT_EQ(r->bits, 1u << 7);
    EXPECT_EQ(r->by, "\"HLT exiting\" is on in vmcs12.");
}

TEST(Routing, SecondaryControlsCountOnlyWhenActivated) {
    Transition t = l2_exit(57);  // RDRAND
    set(t.vmcs12_before, Field::SECONDARY_VM_EXEC_CONTROL, 1u << 11);
    EXPECT_EQ(who(t), Who::L1);
    set(t.vmcs12_before, Field::CPU_BASED_VM_EXEC_CONTROL, 0);
    EXPECT_EQ(who(t), Who::L0);
}

TEST(Routing, EitherOfTwoControlsIsEnough) {
    Transition t = l2_exit(40);  // PAUSE
    EXPECT_EQ(who(t), Who::L0);
    set(t.vmcs12_before, Field::SECONDARY_VM_EXEC_CONTROL, 1u << 10);
    EXPECT_EQ(who(t), Who::L1);
}

TEST(Routing, SomeAreAlwaysL1sAndSomeAlwaysL0s) {
    for (const std::uint64_t reason : {2, 9, 10, 13, 18, 19, 20, 21, 22, 24, 26, 27, 33, 34, 44, 45, 50, 53, 55, 56})
        EXPECT_EQ(who(l2_exit(reason)), Who::L1) << reason;
    for (const std::uint64_t reason : {1, 41, 48, 49, 52, 59, 62, 74, 75})
        EXPECT_EQ(who(l2_exit(reason)), Who::L0) << reason;
}

TEST(Routing, ExceptionsGoByTheBitmap) {
    Transition t = l2_exit(0, 0, 0x80000306);  // #UD
    set(t.vmcs12_before, Field::EXCEPTION_BITMAP, 1u << 6);
    EXPECT_EQ(who(t), Who::L1);
    set(t.vmcs12_before, Field::EXCEPTION_BITMAP, 0);
    EXPECT_EQ(who(t), Who::L0);
    EXPECT_EQ(who(l2_exit(0, 0, 0x80000202)), Who::L0) << "NMI";
    Transition fault = l2_exit(0, 0, 0x80000b0e);
    EXPECT_EQ(who(fault), Who::L1);
    fault.context.enable_ept = false;
    EXPECT_EQ(who(fault), Who::L0);
}

TEST(Routing, MovToCr0GoesByMaskAndShadow) {
    Transition t = l2_exit(28, 0x300);  // MOV CR0, RBX
    t.regs[RBX] = Value::of(0x80000039);
    set(t.vmcs12_before, Field::CR0_GUEST_HOST_MASK, 0x8);
    set(t.vmcs12_before, Field::CR0_READ_SHADOW, 0x80000031);
    EXPECT_EQ(who(t), Who::L1);
    EXPECT_EQ(routing_of(t)->bits, 0x8u);
    set(t.vmcs12_before, Field::CR0_READ_SHADOW, 0x80000039);
    EXPECT_EQ(who(t), Who::L0);
    t.regs[RBX] = {};
    EXPECT_EQ(who(t), Who::Unknown);
}

TEST(Routing, ClmswAndLmswGoByWhatTheyCanChange) {
    Transition clts = l2_exit(28, 2u << 4);
    set(clts.vmcs12_before, Field::CR0_GUEST_HOST_MASK, 0x8);
    set(clts.vmcs12_before, Field::CR0_READ_SHADOW, 0x8);
    EXPECT_EQ(who(clts), Who::L1);
    Transition lmsw = l2_exit(28, 3u << 4 | 0x0ull << 16);  // clears PE: LMSW cannot
    set(lmsw.vmcs12_before, Field::CR0_GUEST_HOST_MASK, 0x1);
    set(lmsw.vmcs12_before, Field::CR0_READ_SHADOW, 0x1);
    EXPECT_EQ(who(lmsw), Who::L0);
}

TEST(Routing, BitmapsInMemoryDecideWhenTheirBitIsKnown) {
    Transition t = l2_exit(31);
    t.regs[RCX] = Value::of(0x10);
    EXPECT_EQ(who(t), Who::L1) << "no bitmaps: every RDMSR";
    set(t.vmcs12_before, Field::CPU_BASED_VM_EXEC_CONTROL, 1u << 28);
    EXPECT_EQ(who(t), Who::Unknown);
    EXPECT_EQ(who(t, {true}), Who::L1);
    EXPECT_EQ(who(t, {false}), Who::L0);
    t.kind = Kind::NestedExit;
    EXPECT_EQ(who(t), Who::L1) << "concluded";
    t.kind = Kind::L2Exit;
    t.regs[RCX] = Value::of(0x4b564d00);
    EXPECT_EQ(who(t), Who::L1) << "in no bitmap";
}

TEST(Routing, TakesAnyTransition) {
    std::mt19937_64 random(4);
    for (int i = 0; i < 2000; ++i) {
        Transition t = random_transition(random);
        t.kind = random() & 1 ? Kind::L2Exit : Kind::NestedExit;
        if (t.exit.reason.known()) t.exit.reason.bits = random() % 80;
        const auto r = routing_of(t);
        ASSERT_TRUE(r);
        EXPECT_FALSE(r->by.empty());
    }
}

TEST(Badges, HaveNamesOfTheirOwn) {
    std::set<std::string_view> ids, titles;
    for (const Badge& b : all_badges()) {
        EXPECT_TRUE(ids.insert(b.id).second) << b.id;
        EXPECT_TRUE(titles.insert(b.title).second) << b.title;
        EXPECT_EQ(b.why.back(), '.') << b.id;
    }
    EXPECT_GE(ids.size(), 30u);
}

TEST(Badges, EachAppliesSomewhereAndNoneEverywhere) {
    std::mt19937_64 random(5);
    BadgeSet seen, always;
    always.set();
    for (int i = 0; i < 6000; ++i) {
        Transition t = random_transition(random);
        t.kind = i % 3 == 0 ? Kind::NestedEntry : i % 3 == 1 ? Kind::NestedExit : Kind::L1Entry;
        if (t.exit.reason.known() && i % 2) t.exit.reason.bits = i % 7 == 0 ? 0xffffffff : 48 | (random() & 1) << 31;
        // Half of the time a kind of guest, not noise.
        if (i % 4 == 0) {
            t = i % 8 ? good_entry() : good_exit();
            set(t.vmcs12_before, Field::SECONDARY_VM_EXEC_CONTROL, random());
            set(t.vmcs12_before, Field::CPU_BASED_VM_EXEC_CONTROL, random());
            if (t.kind == Kind::NestedEntry) {
                set(t.vmcs02_after, Field::VM_ENTRY_INTR_INFO_FIELD, 0x800000ef);
                t.evidence.push_back({Evidence::Op::Vmwrite,
                                      static_cast<std::uint16_t>(Field::VM_ENTRY_INTR_INFO_FIELD),
                                      Value::of(0x800000ef), "vmx_inject_irq+0x30"});
                set(t.vmcs12_before, Field::GUEST_IA32_EFER, random() & 1 ? 0xd01 : 0xd00);
            }
        }
        const BadgeSet set = badges_of(t, flow_of(t));
        seen |= set;
        always &= set;
    }
    for (std::size_t i = 0; i < all_badges().size(); ++i) {
        EXPECT_TRUE(seen[i]) << all_badges()[i].id;
        EXPECT_FALSE(always[i]) << all_badges()[i].id;
    }
}

}  // namespace
}  // namespace vmxscope::nested
