#include "vmx/meaning.h"

#include <gtest/gtest.h>

#include <random>

namespace vmxscope::vmx {
namespace {

using F = Field;

VmcsImage with(std::initializer_list<std::pair<Field, std::uint64_t>> values) {
    VmcsImage image;
    for (const auto& [field, value] : values) image[field] = Value::of(value);
    return image;
}

constexpr std::uint64_t kSecondaryOn = 1ULL << 31;
/// A guest in PAE paging under EPT.
const VmcsImage kPae = with({{F::CPU_BASED_VM_EXEC_CONTROL, kSecondaryOn},
                             {F::SECONDARY_VM_EXEC_CONTROL, 2},
                             {F::GUEST_CR0, 0x80000021},
                             {F::GUEST_CR4, 0x2020},
                             {F::VM_ENTRY_CONTROLS, 0}});

TEST(Meaning, NothingIsSaidOfWhatIsNotKnown) {
    for (const FieldInfo& f : all_fields()) EXPECT_FALSE(meaningless(f.field, VmcsImage{})) << f.name;
}

TEST(Meaning, PdptrsMeanSomethingInPaePagingUnderEptOnly) {
    EXPECT_FALSE(meaningless(F::GUEST_PDPTR0, kPae));
    const auto changed = [](Field field, std::uint64_t value) {
        VmcsImage image = kPae;
        image[field] = Value::of(value);
        return meaningless(F::GUEST_PDPTR3, image).value_or("");
    };
    EXPECT_EQ(changed(F::SECONDARY_VM_EXEC_CONTROL, 0), "EPT is off: the processor reads PDPTEs from memory");
    EXPECT_EQ(changed(F::CPU_BASED_VM_EXEC_CONTROL, 0), "EPT is off: the processor reads PDPTEs from memory");
    EXPECT_EQ(changed(F::GUEST_CR0, 0x21), "the guest has no paging");
    EXPECT_EQ(changed(F::GUEST_CR4, 0), "the guest is not in PAE paging");
    EXPECT_EQ(changed(F::VM_ENTRY_CONTROLS, 0x200), "the guest is in IA-32e mode, not in PAE paging");
}

TEST(Meaning, FieldsUnderAControlThatIsOff) {
    EXPECT_EQ(meaningless(F::VIRTUAL_PROCESSOR_ID, kPae), "VPID is off");
    EXPECT_FALSE(meaningless(F::EPT_POINTER, kPae));
    EXPECT_EQ(meaningless(F::MSR_BITMAP, kPae), "MSR bitmaps are not used");
    EXPECT_FALSE(meaningless(F::MSR_BITMAP, with({{F::CPU_BASED_VM_EXEC_CONTROL, 1u << 28}})));
    EXPECT_EQ(meaningless(F::SECONDARY_VM_EXEC_CONTROL, with({{F::CPU_BASED_VM_EXEC_CONTROL, 0}})),
              "secondary controls are not activated");
    EXPECT_EQ(meaningless(F::HOST_IA32_EFER, with({{F::VM_EXIT_CONTROLS, 0}})), "VM-exit does not load it");
    EXPECT_EQ(meaningless(F::VM_EXIT_MSR_LOAD_ADDR, with({{F::VM_EXIT_MSR_LOAD_COUNT, 0}})), "the list is empty");
    VmcsImage no_tertiary = kPae;
    no_tertiary[F::TERTIARY_VM_EXEC_CONTROL] = Value::unsupported();
    EXPECT_EQ(meaningless(F::HLAT_POINTER, no_tertiary), "HLAT is off") << "a layout without the control has it off";
}

TEST(Meaning, SavedOrLoadedIsEnough) {
    EXPECT_EQ(meaningless(F::GUEST_IA32_EFER, with({{F::VM_ENTRY_CONTROLS, 0}, {F::VM_EXIT_CONTROLS, 0}})),
              "neither loaded nor saved");
    EXPECT_FALSE(meaningless(F::GUEST_IA32_EFER, with({{F::VM_ENTRY_CONTROLS, 0}, {F::VM_EXIT_CONTROLS, 1u << 20}})));
    EXPECT_FALSE(meaningless(F::GUEST_IA32_EFER, with({{F::VM_ENTRY_CONTROLS, 1u << 15}, {F::VM_EXIT_CONTROLS, 0}})));
    EXPECT_FALSE(meaningless(F::GUEST_IA32_EFER, with({{F::VM_ENTRY_CONTROLS, 0}})));
}

TEST(Meaning, EventsDecideTheirErrorCodes) {
    EXPECT_EQ(meaningless(F::IDT_VECTORING_ERROR_CODE, with({{F::IDT_VECTORING_INFO_FIELD, 0x30e}})),
              "no event was being delivered");
    EXPECT_EQ(meaningless(F::IDT_VECTORING_ERROR_CODE, with({{F::IDT_VECTORING_INFO_FIELD, 0x80000306}})),
              "the event has no error code");
    EXPECT_FALSE(meaningless(F::IDT_VECTORING_ERROR_CODE, with({{F::IDT_VECTORING_INFO_FIELD, 0x80000b0e}})));
    EXPECT_EQ(meaningless(F::VM_ENTRY_INSTRUCTION_LEN, with({{F::VM_ENTRY_INTR_INFO_FIELD, 0x80000b0e}})),
              "the injected event is not a software one");
    EXPECT_FALSE(meaningless(F::VM_ENTRY_INSTRUCTION_LEN, with({{F::VM_ENTRY_INTR_INFO_FIELD, 0x80000480}})));
}

TEST(Meaning, UnusableSegmentsHaveNoLimitAndMostlyNoBase) {
    const VmcsImage image =
        with({{F::GUEST_LDTR_AR_BYTES, 0x10000}, {F::GUEST_FS_AR_BYTES, 0x10000}, {F::GUEST_DS_AR_BYTES, 0xc093}});
    EXPECT_EQ(meaningless(F::GUEST_LDTR_BASE, image), "the segment is unusable");
    EXPECT_EQ(meaningless(F::GUEST_LDTR_LIMIT, image), "the segment is unusable");
    EXPECT_EQ(meaningless(F::GUEST_FS_LIMIT, image), "the segment is unusable");
    EXPECT_FALSE(meaningless(F::GUEST_FS_BASE, image));
    EXPECT_FALSE(meaningless(F::GUEST_DS_BASE, image));
    EXPECT_FALSE(meaningless(F::GUEST_TR_BASE, image));
}

TEST(Meaning, EachExitReasonDefinesItsInformation) {
    constexpr std::string_view kNot = "this exit reason does not define it";
    const VmcsImage cpuid = with({{F::VM_EXIT_REASON, 10}, {F::EXIT_QUALIFICATION, 0}});
    EXPECT_EQ(meaningless(F::EXIT_QUALIFICATION, cpuid), kNot);
    EXPECT_EQ(meaningless(F::GUEST_PHYSICAL_ADDRESS, cpuid), kNot);
    EXPECT_EQ(meaningless(F::GUEST_LINEAR_ADDRESS, cpuid), kNot);
    EXPECT_EQ(meaningless(F::VMX_INSTRUCTION_INFO, cpuid), kNot);
    EXPECT_EQ(meaningless(F::EXIT_IO_RIP, cpuid), kNot);
    EXPECT_FALSE(meaningless(F::VM_EXIT_INSTRUCTION_LEN, cpuid));
    const VmcsImage ept = with({{F::VM_EXIT_REASON, 48}, {F::EXIT_QUALIFICATION, 0x81}});
    for (const Field f : {F::EXIT_QUALIFICATION, F::GUEST_PHYSICAL_ADDRESS, F::GUEST_LINEAR_ADDRESS})
        EXPECT_FALSE(meaningless(f, ept)) << name_of(f);
    EXPECT_EQ(meaningless(F::VM_EXIT_INSTRUCTION_LEN, ept), kNot);
    EXPECT_EQ(meaningless(F::GUEST_LINEAR_ADDRESS, with({{F::VM_EXIT_REASON, 48}, {F::EXIT_QUALIFICATION, 1}})), kNot);
    const VmcsImage failed = with({{F::VM_EXIT_REASON, 0x80000021}, {F::EXIT_QUALIFICATION, 2}});
    EXPECT_FALSE(meaningless(F::EXIT_QUALIFICATION, failed));
    EXPECT_EQ(meaningless(F::VM_EXIT_INTR_INFO, failed), "a failed VM-entry leaves it as it was");
    EXPECT_EQ(meaningless(F::GUEST_PHYSICAL_ADDRESS, failed), "a failed VM-entry leaves it as it was");
    EXPECT_FALSE(meaningless(F::GUEST_RIP, failed));
}

TEST(Meaning, AnyImageCanBeAsked) {
    std::mt19937_64 random(6);
    for (int round = 0; round < 300; ++round) {
        VmcsImage image;
        for (std::size_t i = 0; i < kFieldCount; ++i)
            if (random() % 4) image.at_index(i) = random() % 9 ? Value::of(random()) : Value::unsupported();
        for (const FieldInfo& f : all_fields())
            if (const auto why = meaningless(f.field, image)) {
                EXPECT_FALSE(why->empty()) << f.name;
            }
    }
}

}  // namespace
}  // namespace vmxscope::vmx
