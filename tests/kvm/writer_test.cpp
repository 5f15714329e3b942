// Which fields may be written: never one by which the processor finds L0's memory, or L0 its way back.
#include "plugins/kvm/writer.h"

#include <gtest/gtest.h>

#include "nested/vmcs12.h"

namespace vmxscope::kvm {
namespace {

using core::WrittenVmcs;
using vmx::Field;
using vmx::Group;

TEST(MayWrite, OfVmcs02OnlyGuestStateAndWhatAnEntryInjects) {
    std::size_t allowed = 0;
    for (const vmx::FieldInfo& f : vmx::all_fields()) {
        if (!may_write(WrittenVmcs::Vmcs02, f.field, 2)) continue;
        ++allowed;
        EXPECT_TRUE(f.group == Group::GuestState || f.group == Group::EntryControls) << f.name;
        // SDM Vol. 3C appendix B: bits 11:10 of the encoding say the same, as the module knows it.
        const unsigned type = static_cast<unsigned>(f.field) >> 10 & 3;
        EXPECT_TRUE(type == 2 || (static_cast<unsigned>(f.field) >= 0x4016 && static_cast<unsigned>(f.field) <= 0x401a)) << f.name;
        EXPECT_FALSE(may_write(WrittenVmcs::Vmcs02, f.field, 1)) << "vmcs02 is not loaded while L1 runs";
    }
    EXPECT_GT(allowed, 50u);
    for (const Field f : {Field::GUEST_CR3, Field::GUEST_RIP, Field::GUEST_PDPTR0, Field::VM_ENTRY_INTR_INFO_FIELD})
        EXPECT_TRUE(may_write(WrittenVmcs::Vmcs02, f, 2)) << vmx::name_of(f);
    for (const Field f : {Field::VMCS_LINK_POINTER, Field::GUEST_PML_INDEX, Field::EPT_POINTER, Field::HOST_RIP, Field::MSR_BITMAP,
                          Field::VM_ENTRY_CONTROLS, Field::VM_ENTRY_MSR_LOAD_ADDR})
        EXPECT_FALSE(may_write(WrittenVmcs::Vmcs02, f, 2)) << vmx::name_of(f);
}

TEST(MayWrite, OfVmcs12EverythingWhileL1RunsAndWhatKvmDoesNotTrustWhileL2Does) {
    for (const nested::Vmcs12Field& f : nested::vmcs12_fields()) {
        EXPECT_TRUE(may_write(WrittenVmcs::Vmcs12, f.field, 1)) << vmx::name_of(f.field);
        const Group group = vmx::all_fields()[*vmx::index_of(f.field)].group;
        EXPECT_EQ(may_write(WrittenVmcs::Vmcs12, f.field, 2).has_value(), group == Group::GuestState || group == Group::ExitInformation)
            << vmx::name_of(f.field);
    }
    EXPECT_FALSE(may_write(WrittenVmcs::Vmcs12, Field::ENCLV_EXITING_BITMAP, 1))
        << "a field that vmcs12 does not have";
}

}  // namespace
}  // namespace vmxscope::kvm
