#include "plugins/kvm/refusals.h"

#include <gtest/gtest.h>

namespace vmxscope::kvm {
namespace {

TEST(ParseRefusal, TheThreadTheClockAndTheTextAreTaken) {
    const auto r = parse_refusal(
        "       CPU 0/KVM-4711    [000] d..1. 12345678901234: kvm_nested_vmenter_failed: !nested_cr0_valid(vcpu, "
        "vmcs12->guest_cr0)");
    ASSERT_TRUE(r);
    EXPECT_EQ(*r, (Refusal{4711, 12345678901234, "!nested_cr0_valid(vcpu, vmcs12->guest_cr0)"}));
}

TEST(ParseRefusal, AnInstructionErrorIsPartOfTheText) {
    const auto r = parse_refusal(
        " qemu-system-x86-12 [001] ..... 99: kvm_nested_vmenter_failed: hardware VM-instruction error: "
        "VMENTRY_INVALID_CONTROL_FIELD");
    ASSERT_TRUE(r);
    EXPECT_EQ(r->tid, 12u);
    EXPECT_EQ(r->text, "hardware VM-instruction error: VMENTRY_INVALID_CONTROL_FIELD");
}

TEST(ParseRefusal, AThreadsNameMayBeAnything) {
    const auto r = parse_refusal("   a-1 [0] 5: x-77 [000] ..... 6: kvm_nested_vmenter_failed: why");
    ASSERT_TRUE(r);
    EXPECT_EQ(*r, (Refusal{77, 6, "why"}));
}

TEST(ParseRefusal, OtherLinesAreNone) {
    for (const char* line :
         {"", ": kvm_nested_vmenter_failed: ", "CPU:0 [LOST 12 EVENTS]", "kvm_nested_vmenter_failed: x",
          " q-1 [000] ..... 5: kvm_exit: reason", " q [000] ..... 5: kvm_nested_vmenter_failed: x",
          " q-x [000] ..... 5: kvm_nested_vmenter_failed: x", " q-1 [000] ..... 5.5: kvm_nested_vmenter_failed: x",
          " q-1 000 ..... 5: kvm_nested_vmenter_failed: x"})
        EXPECT_FALSE(parse_refusal(line)) << line;
}

}  // namespace
}  // namespace vmxscope::kvm
