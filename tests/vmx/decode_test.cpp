#include <gtest/gtest.h>

#include <random>
#include <set>

#include "vmx/bits.h"
#include "vmx/decode/details.h"
#include "vmx/decode/exit_layouts.h"
#include "vmx/decode/field_layouts.h"
#include "vmx/decode/words.h"
#include "vmx/exit_reason.h"

namespace vmxscope::vmx {
namespace {

constexpr std::uint64_t kPageFaultExit = 0x80000b0e, kDebugExit = 0x80000301;

/// Every layout that there is.
std::vector<const Layout*> all_layouts() {
    std::set<const Layout*> found;
    for (const FieldInfo& f : all_fields()) found.insert(layout_of(f.field));
    for (unsigned reason = 0; reason < 100; ++reason) {
        found.insert(qualification_layout(static_cast<std::uint16_t>(reason), kDebugExit));
        found.insert(instruction_layout(static_cast<std::uint16_t>(reason)));
    }
    for (unsigned vector = 0; vector < 32; ++vector) found.insert(error_code_layout(vector));
    for (unsigned msr = 0x480; msr < 0x494; ++msr) found.insert(layout_of(static_cast<CapabilityMsr>(msr)));
    found.erase(nullptr);
    return {found.begin(), found.end()};
}

TEST(Layouts, SubFieldsDoNotOverlap) {
    for (const Layout* layout : all_layouts()) {
        std::uint64_t seen = 0;
        for (const SubField& f : layout->fields) {
            ASSERT_LE(f.low + f.width, 64u) << f.name;
            for (unsigned bit = f.low; bit < f.low + f.width; ++bit) {
                EXPECT_FALSE((seen >> bit) & 1) << f.name;
                seen |= 1ULL << bit;
            }
        }
    }
}

TEST(Layouts, EncodeGivesBackWhatWasDecoded) {
    std::mt19937_64 random(3);
    const auto layouts = all_layouts();
    EXPECT_GT(layouts.size(), 35u);
    for (const Layout* layout : layouts)
        for (int i = 0; i < 2000; ++i) {
            const std::uint64_t bits = random() >> (random() % 64);
            ASSERT_EQ(encode(decode(*layout, bits)), bits);
        }
}

TEST(Details, AnyValueOfAnyFieldInAnyContextCanBeShown) {
    std::mt19937_64 random(4);
    Capabilities caps;
    for (Value& msr : caps.msrs) msr = Value::of(random());
    for (int round = 0; round < 40; ++round) {
        VmcsImage image;
        for (std::size_t i = 0; i < kFieldCount; ++i)
            if (random() % 8) image.at_index(i) = Value::of(random());
        if (image[Field::VM_EXIT_REASON].known()) image[Field::VM_EXIT_REASON].bits = random() % 90;
        for (const FieldInfo& f : all_fields()) {
            const std::uint64_t value = random();
            EXPECT_LE(details(f.field, value, &image, &caps).size(), 70u);
            EXPECT_LT(describe(f.field, value, image).size(), 900u);
            details(f.field, value, nullptr, nullptr);
        }
    }
    for (unsigned msr = 0x480; msr < 0x494; ++msr)
        for (int i = 0; i < 50; ++i) details(static_cast<CapabilityMsr>(msr), random());
}

TEST(Qualification, IsReadByItsReason) {
    EXPECT_EQ(describe_qualification(kExitCrAccess, 0x103), "MOV to CR, CR3, RCX");
    EXPECT_EQ(describe_qualification(kExitCrAccess, 0x314), "MOV from CR, CR4, RBX");
    EXPECT_EQ(describe_qualification(kExitCrAccess, 0x20), "CLTS, CR0");
    EXPECT_EQ(describe_qualification(kExitCrAccess, 0x00310030), "LMSW, CR0, register operand, source 0x31");
    EXPECT_EQ(describe_qualification(29, 0x717), "MOV from DR, DR7, RDI");
    EXPECT_EQ(describe_qualification(30, 0x03f80008), "IN, port 0x3f8, 1 byte, port in DX");
    EXPECT_EQ(describe_qualification(30, 0x00800073), "OUT, port 0x80, 4 bytes, string, REP, immediate port");
    EXPECT_EQ(describe_qualification(9, 0x80000028), "JMP, TSS selector 0x28");
    EXPECT_EQ(describe_qualification(kExitEptViolation, 0x182), "write, linear address valid, of the page");
    EXPECT_EQ(describe_qualification(kExitEptViolation, 0x181 | 0x38),
              "read, readable, writable, executable, linear address valid, of the page");
    EXPECT_EQ(describe_qualification(44, 0x1300), "data write, offset 0x300");
    EXPECT_EQ(describe_qualification(45, 0x41), "vector 0x41");
    EXPECT_EQ(describe_qualification(kExitInvalidState, 2), "PDPTEs could not be loaded");
    EXPECT_EQ(describe_qualification(34, 3), "entry of the MSR-load list 0x3");
    EXPECT_EQ(describe_qualification(75, 1), "context invalid");
    EXPECT_EQ(describe_qualification(66, 0x800), "SPPT miss");
    EXPECT_EQ(describe_qualification(50, 0xfffffffffffffff0), "displacement -0x10");
    EXPECT_EQ(describe_qualification(kExitCpuid, 0), "");
}

TEST(Qualification, OfAnExceptionDependsOnTheVector) {
    EXPECT_EQ(describe_qualification(0, 0x4001, kDebugExit), "B0, BS");
    EXPECT_EQ(describe_qualification(0, 0x1234, kPageFaultExit), "linear address 0x1234");
    EXPECT_EQ(describe_qualification(0, 0x1234), "");
}

TEST(Qualification, OnlySomeReasonsHaveOne) {
    EXPECT_TRUE(has_qualification(kExitCrAccess));
    EXPECT_TRUE(has_qualification(14));
    EXPECT_FALSE(has_qualification(kExitCpuid));
    EXPECT_FALSE(has_qualification(kExitHlt));
    EXPECT_TRUE(has_qualification(200)) << "an unknown reason may have one";
}

TEST(InstructionInfo, IsReadByItsReason) {
    const auto says = [](std::uint16_t reason, std::uint64_t info) { return text(*instruction_layout(reason), info); };
    // VMREAD RAX, [RBX+RCX*4] in 64-bit mode through DS; encoding in RDX.
    EXPECT_EQ(says(23, 2 | 2 << 7 | 3 << 15 | 1 << 18 | 3 << 23 | 2u << 28),
              "memory, RDX, 64-bit address, DS, RBX, RCX, scale 4");
    EXPECT_EQ(says(25, 1 << 10 | 5 << 3 | 2u << 28), "register, RBP, RDX");
    EXPECT_EQ(says(46, 2u << 28 | 2 << 7 | 1 << 11 | 3 << 15 | 1 << 22 | 6 << 23),
              "LGDT, 64-bit address, 32-bit operand, DS, RSI, no index");
    EXPECT_EQ(says(47, 3u << 28 | 1 << 10 | 0 << 3), "LTR, register, RAX");
    EXPECT_EQ(says(57, 2 << 3 | 2 << 11), "RDX, 64-bit operand");
    EXPECT_EQ(says(30, 1 << 7 | 0 << 15), "32-bit address, ES");
    EXPECT_EQ(says(69, 1 << 3 | 2u << 28), "XMM1, XMM2");
    EXPECT_EQ(instruction_layout(kExitCpuid), nullptr);
}

TEST(Details, ControlsSayWhatTheProcessorAllows) {
    Capabilities caps;
    caps[CapabilityMsr::PinbasedCtls] = Value::of(0x3f'00000016ULL);
    const auto rows = details(Field::PIN_BASED_VM_EXEC_CONTROL, 0x40 | 0x14, nullptr, &caps);
    const auto row = [&rows](const std::string& name) {
        for (const Detail& d : rows)
            if (d.name == name) return d;
        return Detail{};
    };
    EXPECT_EQ(row("INTR_EXITING [0]"), (Detail{"INTR_EXITING [0]", "0", "external-interrupt exiting; may be either"}));
    EXPECT_EQ(row("PREEMPTION_TIMER [6]").meaning,
              "activate VMX-preemption timer; must be 0; NOT as the processor wants it");
    EXPECT_EQ(row("[2]").value, "1");
}

TEST(Details, AnUnrestrictedGuestMayBeWithoutPaging) {
    Capabilities caps;
    caps[CapabilityMsr::Cr0Fixed0] = Value::of(0x80000021);
    caps[CapabilityMsr::Cr0Fixed1] = Value::of(0xffffffff);
    VmcsImage image;
    const auto pg = [&] {
        for (const Detail& d : details(Field::GUEST_CR0, 0x20, &image, &caps))
            if (d.name == "PG [31]") return d.meaning;
        return std::string();
    };
    EXPECT_EQ(pg(), "paging; must be 1; NOT as the processor wants it");
    image[Field::CPU_BASED_VM_EXEC_CONTROL] = Value::of(1u << 31);
    image[Field::SECONDARY_VM_EXEC_CONTROL] = Value::of(1u << 7 | 2);
    EXPECT_EQ(pg(), "paging; may be either");
}

TEST(Details, ThePreemptionTimerIsInTscCycles) {
    Capabilities caps;
    EXPECT_TRUE(details(Field::VMX_PREEMPTION_TIMER_VALUE, 3, nullptr, &caps).empty());
    caps[CapabilityMsr::Misc] = Value::of(5);
    EXPECT_EQ(details(Field::VMX_PREEMPTION_TIMER_VALUE, 3, nullptr, &caps)[1],
              (Detail{"TSC cycles", "96", "until the exit"}));
}

TEST(Details, ErrorCodesAreReadByTheirEvent) {
    VmcsImage image;
    EXPECT_TRUE(details(Field::VM_EXIT_INTR_ERROR_CODE, 2, &image, nullptr).empty());
    image[Field::VM_EXIT_INTR_INFO] = Value::of(kPageFaultExit);
    EXPECT_EQ(describe(Field::VM_EXIT_INTR_ERROR_CODE, 7, image), "P, W, U");
    image[Field::VM_EXIT_INTR_INFO] = Value::of(0x80000b0d);
    EXPECT_EQ(describe(Field::VM_EXIT_INTR_ERROR_CODE, 0x1a, image), "IDT, index 3");
    image[Field::VM_EXIT_REASON] = Value::of(28);
    EXPECT_EQ(describe(Field::EXIT_QUALIFICATION, 0x3, image), "MOV to CR, CR3, RAX");
    EXPECT_EQ(describe(Field::GUEST_CR0, 0x80000021, image), "PE NE PG");
}

TEST(Details, CapabilityMsrsSpeak) {
    const auto rows = details(CapabilityMsr::ProcbasedCtls2, 0x2ULL << 32);
    ASSERT_FALSE(rows.empty());
    EXPECT_EQ(rows[1], (Detail{"EPT [1]", "may be either", "enable EPT"}));
    EXPECT_EQ(rows[5].value, "must be 0");
    EXPECT_EQ(text(*layout_of(CapabilityMsr::Basic), 0x00d810000000'0012ULL),
              "VMCS revision 0x12, VMCS bytes 4096, WB, INS/OUTS information, TRUE controls");
    EXPECT_EQ(details(CapabilityMsr::Cr4Fixed0, 0x2000)[13].value, "must be 1");
}

TEST(Words, OfNumbersWithNames) {
    EXPECT_EQ(describe(Field::VM_INSTRUCTION_ERROR, 7), "VM entry with invalid control fields");
    EXPECT_EQ(describe(Field::VM_INSTRUCTION_ERROR, 0), "");
    EXPECT_EQ(describe(Field::VM_INSTRUCTION_ERROR, 27), "?");
    EXPECT_EQ(describe(Field::TSC_MULTIPLIER, 3ULL << 47), "times 1.5");
    EXPECT_EQ(describe(Field::TSC_OFFSET, ~0ULL), "1 cycles behind");
    EXPECT_EQ(describe(Field::GUEST_PML_INDEX, 510), "1 of 512 entries logged");
    EXPECT_EQ(describe(Field::GUEST_PML_INDEX, 0xffff), "the log is full");
    EXPECT_EQ(describe(Field::VMCS_LINK_POINTER, ~0ULL), "none");
    EXPECT_EQ(describe(Field::EOI_EXIT_BITMAP1, 3), "vectors 0x40 0x41");
    EXPECT_EQ(describe(Field::GUEST_IA32_PAT, 0x0007040600070406), "WB, WT, UC-, UC, WB, WT, UC-, UC");
    EXPECT_EQ(describe(Field::GUEST_INTR_STATUS, 0x4130), "RVI 0x30, SVI 0x41");
    EXPECT_EQ(describe(Field::GUEST_CS_SELECTOR, 0x10), "GDT 2, RPL 0");
    EXPECT_EQ(describe(Field::HOST_FS_SELECTOR, 0), "null");
    EXPECT_EQ(describe(Field::GUEST_DR7, 0x400), "");
    EXPECT_EQ(describe(Field::GUEST_DR7, 0xd0402), "G0, R/W0 1, LEN0 3");
    EXPECT_EQ(exception_name(14), "#PF");
    EXPECT_EQ(describe(Field::PAGE_FAULT_ERROR_CODE_MASK, 4), "U");
}

}  // namespace
}  // namespace vmxscope::vmx
