#include "vmx/exit_reason.h"

#include <gtest/gtest.h>

namespace vmxscope::vmx {
namespace {

TEST(ExitReason, NamesAreKvms) {
    EXPECT_EQ(exit_reason_name(kExitCpuid), "CPUID");
    EXPECT_EQ(exit_reason_name(0), "EXCEPTION_NMI");
    EXPECT_EQ(exit_reason_name(kExitEptViolation), "EPT_VIOLATION");
    EXPECT_EQ(exit_reason_name(75), "NOTIFY");
}

TEST(ExitReason, NumbersThatTheSdmReservesHaveNoName) {
    for (const std::uint32_t reserved : {35u, 38u, 42u, 71u, 1000u})
        EXPECT_EQ(exit_reason_name(reserved), "?") << reserved;
}

TEST(ExitReason, FlagsInTheHighBitsDoNotChangeTheName) {
    EXPECT_EQ(exit_reason_name(0x80000021), "INVALID_STATE");
    EXPECT_TRUE(entry_failed(0x80000021));
    EXPECT_FALSE(entry_failed(10));
    EXPECT_EQ(describe_exit_reason(0x80000021), "INVALID_STATE (VM-entry failed)");
    EXPECT_EQ(describe_exit_reason(10), "CPUID");
    EXPECT_EQ(describe_exit_reason(38), "reason 38");
}

TEST(ExitReason, EveryNameLeadsBackToItsNumber) {
    for (std::uint32_t n = 0; n < 128; ++n) {
        if (const auto name = exit_reason_name(n); name != "?") {
            EXPECT_EQ(exit_reason_by_name(name), n);
        }
    }
    EXPECT_FALSE(exit_reason_by_name("NO_SUCH_EXIT"));
}

}  // namespace
}  // namespace vmxscope::vmx
