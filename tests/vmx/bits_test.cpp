#include "vmx/bits.h"

#include <gtest/gtest.h>

namespace vmxscope::vmx {
namespace {

TEST(Bits, ControlRegistersAreSpelledOut) {
    EXPECT_EQ(describe(Field::GUEST_CR0, 0x80000021), "PE NE PG");
    EXPECT_EQ(describe(Field::GUEST_CR4, 0x2020), "PAE VMXE");
    EXPECT_EQ(describe(Field::GUEST_IA32_EFER, 0x500), "LME LMA");
    EXPECT_EQ(describe(Field::HOST_CR0, 0), "");
}

TEST(Bits, BitsThatEveryProcessorSetsAreLeftOut) {
    EXPECT_EQ(describe(Field::PIN_BASED_VM_EXEC_CONTROL, 0x1f), "INTR_EXITING NMI_EXITING");
    EXPECT_EQ(describe(Field::GUEST_RFLAGS, 0x202), "IF");
}

TEST(Bits, SetBitsWithoutANameAreNotLost) {
    EXPECT_EQ(describe(Field::SECONDARY_VM_EXEC_CONTROL, 1u << 1 | 1u << 29), "EPT +0x20000000");
    EXPECT_EQ(describe(Field::GUEST_CR0, 1ULL << 63), "+0x8000000000000000");
}

TEST(Bits, EveryNamedBitIsNamedOnceAndInOrder) {
    for (const FieldInfo& f : all_fields()) {
        const auto bits = bits_of(f.field);
        for (std::size_t i = 1; i < bits.size(); ++i) EXPECT_LT(bits[i - 1].bit, bits[i].bit) << f.name;
    }
}

TEST(Bits, TheBitsThatDecideThePdptesAreTheNamedOnes) {
    EXPECT_EQ(join_bits(bits_of(Field::CPU_BASED_VM_EXEC_CONTROL), kCpuActivateSecondary), "SEC_CONTROLS");
    EXPECT_EQ(join_bits(bits_of(Field::SECONDARY_VM_EXEC_CONTROL), kSecondaryEnableEpt), "EPT");
    EXPECT_EQ(join_bits(bits_of(Field::VM_ENTRY_CONTROLS), kEntryIa32eMode), "IA32E_MODE");
    EXPECT_EQ(join_bits(cr0_bits(), kCr0Pg), "PG");
    EXPECT_EQ(join_bits(cr4_bits(), kCr4Pae), "PAE");
    EXPECT_EQ(join_bits(efer_bits(), kEferLma), "LMA");
}

TEST(Bits, SegmentsEventsAndPointers) {
    EXPECT_EQ(describe(Field::GUEST_CS_AR_BYTES, 0xa09b), "code RX DPL0 P L G");
    EXPECT_EQ(describe(Field::GUEST_SS_AR_BYTES, 0xc093), "data RW DPL0 P DB G");
    EXPECT_EQ(describe(Field::GUEST_TR_AR_BYTES, 0x8b), "busy TSS DPL0 P");
    EXPECT_EQ(describe(Field::GUEST_LDTR_AR_BYTES, 0x10000), "unusable");
    EXPECT_EQ(describe(Field::VM_ENTRY_INTR_INFO_FIELD, 0x80000b0e), "vector 14, hardware exception, with error code");
    EXPECT_EQ(describe(Field::VM_ENTRY_INTR_INFO_FIELD, 0x0000030e), "none");
    EXPECT_EQ(describe(Field::EPT_POINTER, 0x10305e), "4 levels, WB, A/D, table at 0x103000");
    EXPECT_EQ(describe(Field::GUEST_ACTIVITY_STATE, 1), "HLT");
    EXPECT_EQ(describe(Field::GUEST_ACTIVITY_STATE, 9), "?");
    EXPECT_EQ(describe(Field::VM_EXIT_REASON, 0x80000022), "MSR_LOAD_FAIL (VM-entry failed)");
    EXPECT_EQ(describe(Field::GUEST_RIP, 0x1000), "");
}

TEST(Bits, AnyValueOfAnyFieldCanBeDescribed) {
    for (const FieldInfo& f : all_fields())
        for (const std::uint64_t value : {0ULL, ~0ULL, 0x5555555555555555ULL, 1ULL << 31, 0xaaaaULL})
            EXPECT_LT(describe(f.field, value).size(), 700u) << f.name;
}

}  // namespace
}  // namespace vmxscope::vmx
