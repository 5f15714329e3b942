#include "vmx/field_existence.h"

#include <gtest/gtest.h>

#include "vmx/controls.h"

namespace vmxscope::vmx {
namespace {

TEST(FieldExistence, OfMostFieldsIsCertain) {
    const Capabilities none;
    for (const Field f : {Field::GUEST_CR3, Field::HOST_RIP, Field::IO_BITMAP_A, Field::TSC_OFFSET, Field::GUEST_CS_SELECTOR})
        EXPECT_EQ(exists(f, none), true) << name_of(f);
    for (const Field f : {Field::EPT_POINTER, Field::GUEST_IA32_PAT, Field::HLAT_POINTER, Field::SHARED_EPT_POINTER})
        EXPECT_EQ(exists(f, none), std::nullopt) << name_of(f);
}

TEST(FieldExistence, DependsOnAControlThatMayBeSetAndOnThatWhichActivatesIt) {
    Capabilities caps;
    caps[CapabilityMsr::Basic] = Value::of(0);
    caps[CapabilityMsr::ProcbasedCtls2] = Value::of(secondary::kEpt << 32);
    EXPECT_EQ(exists(Field::EPT_POINTER, caps), std::nullopt);
    caps[CapabilityMsr::ProcbasedCtls] = Value::of(proc::kSecondaryControls << 32);
    EXPECT_EQ(exists(Field::EPT_POINTER, caps), true);
    EXPECT_EQ(exists(Field::GUEST_PDPTR2, caps), true);
    EXPECT_EQ(exists(Field::TSC_MULTIPLIER, caps), false);
    EXPECT_EQ(exists(Field::HLAT_POINTER, caps), false);  // no tertiary controls: their MSR need not be known
    caps[CapabilityMsr::ProcbasedCtls] = Value::of(0);
    EXPECT_EQ(exists(Field::EPT_POINTER, caps), false);
}

TEST(FieldExistence, EitherOfTwoControlsWillDo) {
    Capabilities caps;
    caps[CapabilityMsr::Basic] = Value::of(0);
    caps[CapabilityMsr::EntryCtls] = Value::of(0);
    EXPECT_EQ(exists(Field::GUEST_IA32_PAT, caps), std::nullopt);
    caps[CapabilityMsr::ExitCtls] = Value::of(exits::kSavePat << 32);
    EXPECT_EQ(exists(Field::GUEST_IA32_PAT, caps), true);
    EXPECT_EQ(exists(Field::GUEST_IA32_EFER, caps), false);
}

TEST(FieldExistence, OfTheEptpListIsSaidByTheMsrOfVmFunctions) {
    Capabilities caps;
    caps[CapabilityMsr::Basic] = Value::of(0);
    caps[CapabilityMsr::ProcbasedCtls] = Value::of(proc::kSecondaryControls << 32);
    caps[CapabilityMsr::ProcbasedCtls2] = Value::of(secondary::kVmFunctions << 32);
    EXPECT_EQ(exists(Field::EPTP_LIST_ADDRESS, caps), std::nullopt);
    caps[CapabilityMsr::Vmfunc] = Value::of(1);
    EXPECT_EQ(exists(Field::EPTP_LIST_ADDRESS, caps), true);
    EXPECT_EQ(exists(Field::VM_FUNCTION_CONTROL, caps), true);
}

}  // namespace
}  // namespace vmxscope::vmx
