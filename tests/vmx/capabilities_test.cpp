#include "vmx/capabilities.h"

#include <gtest/gtest.h>

namespace vmxscope::vmx {
namespace {

TEST(Capabilities, TrueControlsAreUsedOnlyWhereTheyExist) {
    Capabilities caps;
    EXPECT_FALSE(allowed(Field::PIN_BASED_VM_EXEC_CONTROL, caps));
    caps[CapabilityMsr::PinbasedCtls] = Value::of(0xff'00000016ULL);
    caps[CapabilityMsr::TruePinbasedCtls] = Value::of(0xff'00000010ULL);
    caps[CapabilityMsr::Basic] = Value::of(0);
    EXPECT_EQ(allowed(Field::PIN_BASED_VM_EXEC_CONTROL, caps), (Allowed{0x16, 0xff}));
    caps[CapabilityMsr::Basic] = Value::of(1ULL << 55);
    EXPECT_EQ(allowed(Field::PIN_BASED_VM_EXEC_CONTROL, caps), (Allowed{0x10, 0xff}));
    EXPECT_TRUE(allowed(Field::PIN_BASED_VM_EXEC_CONTROL, caps)->permits(0x11));
    EXPECT_FALSE(allowed(Field::PIN_BASED_VM_EXEC_CONTROL, caps)->permits(0x01));
    EXPECT_FALSE(allowed(Field::PIN_BASED_VM_EXEC_CONTROL, caps)->permits(0x110));
}

TEST(Capabilities, SixtyFourBitControlsHaveOnlyAllowedOnes) {
    Capabilities caps;
    caps[CapabilityMsr::ProcbasedCtls3] = Value::of(1ULL << 40 | 1);
    EXPECT_EQ(allowed(Field::TERTIARY_VM_EXEC_CONTROL, caps), (Allowed{0, 1ULL << 40 | 1}));
    EXPECT_FALSE(allowed(Field::SECONDARY_VM_EXIT_CONTROLS, caps));
    EXPECT_FALSE(allowed(Field::GUEST_RIP, caps));
}

TEST(Capabilities, ControlRegistersAreFixedByTwoMsrs) {
    Capabilities caps;
    caps[CapabilityMsr::Cr0Fixed0] = Value::of(0x80000021);
    EXPECT_FALSE(allowed(Field::GUEST_CR0, caps));
    caps[CapabilityMsr::Cr0Fixed1] = Value::of(0xffffffff);
    EXPECT_EQ(allowed(Field::GUEST_CR0, caps), (Allowed{0x80000021, 0xffffffff}));
    EXPECT_EQ(allowed(Field::HOST_CR0, caps), allowed(Field::GUEST_CR0, caps));
}

TEST(Capabilities, NamesLeadBack) {
    EXPECT_EQ(capability_msr_by_name("IA32_VMX_TRUE_ENTRY_CTLS"), CapabilityMsr::TrueEntryCtls);
    EXPECT_EQ(static_cast<unsigned>(CapabilityMsr::TrueEntryCtls), 0x490u);
    EXPECT_FALSE(capability_msr_by_name("IA32_EFER"));
}

}  // namespace
}  // namespace vmxscope::vmx
