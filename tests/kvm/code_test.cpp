#include "plugins/kvm/code.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace vmxscope::kvm {
namespace {

enum : std::uint8_t { kRax = 0, kRsi = 6, kRdi = 7, kR9 = 9, kR15 = 15 };

template <typename... T>
std::vector<std::byte> bytes(T... b) {
    return {static_cast<std::byte>(b)...};
}

// Code that the assembler made, as KVM's accessors look: never run, only read.
#define VMXSCOPE_CODE(name, text)                                                                        \
    extern "C" const std::byte name[], name##_end[];                                                     \
    asm(".pushsection .rodata\n.globl " #name ", " #name "_end\n" #name ":\n" text "\n" #name "_end:\n.popsection")

VMXSCOPE_CODE(two_accesses, "push %rbp\n mov $0x280a, %eax\n vmwrite %rsi, %rax\n mov $0x2800, %esi\n vmread %rsi, %rsi\n ret");
VMXSCOPE_CODE(high_registers, "mov $0x2810, %r9d\n vmwrite %r15, %r9\n mov $0x280c, %r15\n vmread %r15, %r9");
VMXSCOPE_CODE(memory_operands, "mov $0x280a, %eax\n vmread %rax, 8(%rdi)\n vmwrite (%rsp), %rax");
VMXSCOPE_CODE(after_call, "mov $0x280a, %ebx\n call after_call\n vmwrite %rsi, %rbx");
VMXSCOPE_CODE(after_indirect_call, "mov $0x280a, %ebx\n call *%rax\n vmwrite %rsi, %rbx");
VMXSCOPE_CODE(after_other_writes,
              "mov $0x280a, %eax\n add $2, %eax\n vmwrite %rsi, %rax\n"
              "mov $0x280a, %eax\n mov $1, %al\n vmwrite %rsi, %rax\n"
              "mov $0x280a, %eax\n mov %edi, %eax\n vmwrite %rsi, %rax\n"
              "mov $0x280a, %eax\n cpuid\n vmwrite %rsi, %rax\n"
              "mov $0x280a, %eax\n cmove %edi, %eax\n vmwrite %rsi, %rax");
VMXSCOPE_CODE(after_harmless, "mov $0x280a, %eax\n mov %rax, %rdi\n cmp $1, %eax\n movl $3, (%rax)\n vmwrite %rsi, %rax");
VMXSCOPE_CODE(too_big, "mov $0x1280a, %eax\n vmwrite %rsi, %rax\n mov $-1, %rax\n vmwrite %rsi, %rax");
VMXSCOPE_CODE(joined, "mov $0x280a, %eax\n test %edi, %edi\n je 1f\n mov $0x2800, %eax\n 1: vmwrite %rsi, %rax");
VMXSCOPE_CODE(joined_backwards, "mov $0x2800, %eax\n 1: vmwrite %rsi, %rax\n mov $0x280a, %eax\n jne 1b");
VMXSCOPE_CODE(calls, "nop\n call *%rax\n call calls_end\n call calls\n call calls");

std::vector<VmcsAccess> found(const std::byte* from, const std::byte* to) { return find_vmcs_accesses({from, to}).found; }
#define FOUND(name) found(name, name##_end)

TEST(VmcsAccesses, HandAssembledInstructionsAreFoundWithOffsetOperandsAndConstant) {
    const auto code = bytes(0xB8, 0x0A, 0x28, 0x00, 0x00,  // mov $0x280a,%eax
                            0x0F, 0x79, 0xC6,              // vmwrite %rsi,%rax
                            0xBE, 0x0C, 0x28, 0x00, 0x00,  // mov $0x280c,%esi
                            0x0F, 0x78, 0xF6);             // vmread %rsi,%rsi
    const auto all = find_vmcs_accesses(code);
    ASSERT_EQ(all.found.size(), 2u);
    EXPECT_EQ(all.found[0].offset, 5u);
    EXPECT_TRUE(all.found[0].write);
    EXPECT_EQ(all.found[0].field_register, kRax);
    EXPECT_EQ(all.found[0].value_register, kRsi);
    EXPECT_EQ(all.found[0].encoding, 0x280a);
    EXPECT_EQ(all.found[1].offset, 13u);
    EXPECT_FALSE(all.found[1].write);
    EXPECT_EQ(all.found[1].field_register, kRsi);
    EXPECT_EQ(all.found[1].value_register, kRsi);
    EXPECT_EQ(all.found[1].encoding, 0x280c);
    EXPECT_EQ(all.undecodable, 0u);
    EXPECT_FALSE(all.found[0].in_memory);
}

TEST(VmcsAccesses, TheAssemblersOwnBytesReadTheSame) {
    const auto all = FOUND(two_accesses);
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0].encoding, 0x280a);
    EXPECT_TRUE(all[0].write);
    EXPECT_EQ(all[1].encoding, 0x2800);
    EXPECT_FALSE(all[1].write);
}

TEST(VmcsAccesses, RegistersR8ToR15AreNumberedAsTheProcessorDoes) {
    const auto all = FOUND(high_registers);
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0].field_register, kR9);
    EXPECT_EQ(all[0].value_register, kR15);
    EXPECT_EQ(all[0].encoding, 0x2810);
    EXPECT_EQ(all[1].field_register, kR15);
    EXPECT_EQ(all[1].value_register, kR9);
    EXPECT_EQ(all[1].encoding, 0x280c);
}

TEST(VmcsAccesses, AMemoryOperandIsToldWithTheField) {
    const auto all = FOUND(memory_operands);
    ASSERT_EQ(all.size(), 2u);
    for (const VmcsAccess& a : all) {
        EXPECT_TRUE(a.in_memory);
        EXPECT_EQ(a.encoding, 0x280a);
    }
    EXPECT_FALSE(all[0].write);
    EXPECT_TRUE(all[1].write);
}

TEST(VmcsAccesses, AVmreadIntoItsOwnFieldRegisterForgetsTheConstant) {
    const auto code = bytes(0xBE, 0x0C, 0x28, 0, 0, 0x0F, 0x78, 0xF6, 0x0F, 0x78, 0xF6);
    const auto all = find_vmcs_accesses(code).found;
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0].encoding, 0x280c);
    EXPECT_FALSE(all[1].encoding);
}

TEST(VmcsAccesses, ACallForgetsConstants) {
    for (const auto& all : {FOUND(after_call), FOUND(after_indirect_call)}) {
        ASSERT_EQ(all.size(), 1u);
        EXPECT_FALSE(all[0].encoding);
    }
}

TEST(VmcsAccesses, AnyOtherWriteToTheRegisterForgetsItsConstant) {
    const auto all = FOUND(after_other_writes);
    ASSERT_EQ(all.size(), 5u);
    for (std::size_t i = 0; i < all.size(); ++i) EXPECT_FALSE(all[i].encoding) << i;
}

TEST(VmcsAccesses, ReadingTheRegisterKeepsItsConstant) {
    const auto all = FOUND(after_harmless);
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].encoding, 0x280a);
}

TEST(VmcsAccesses, AConstantThatIsNoEncodingIsNone) {
    const auto all = FOUND(too_big);
    ASSERT_EQ(all.size(), 2u);
    EXPECT_FALSE(all[0].encoding);
    EXPECT_FALSE(all[1].encoding);
}

TEST(VmcsAccesses, WhereTwoPathsMeetAConstantOfOneIsNone) {
    for (const auto& all : {FOUND(joined), FOUND(joined_backwards)}) {
        ASSERT_EQ(all.size(), 1u);
        EXPECT_FALSE(all[0].encoding);
    }
}

TEST(VmcsAccesses, BytesThatAreNoInstructionAreCountedAndPassedBy) {
    const auto code = bytes(0x06, 0x06, 0x0F, 0x79, 0xC6);  // PUSH ES does not exist in 64-bit mode
    const auto all = find_vmcs_accesses(code);
    EXPECT_EQ(all.undecodable, 2u);
    ASSERT_EQ(all.found.size(), 1u);
    EXPECT_EQ(all.found[0].offset, 2u);
    EXPECT_FALSE(all.found[0].encoding);
}

TEST(VmcsAccesses, CodeCutShortAnywhereNamesNoAccessBeyondItsEnd) {
    const std::vector<std::byte> whole(two_accesses, two_accesses_end);
    const auto all = find_vmcs_accesses(whole).found;
    for (std::size_t n = 0; n <= whole.size(); ++n) {
        const std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));  // exact: for asan
        const auto seen = find_vmcs_accesses(cut).found;
        EXPECT_EQ(seen.size(), static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](auto& a) { return a.offset + 3 <= n; }))) << n;
    }
}

TEST(VmcsAccesses, GarbageIsSurvivedAndEveryAccessLiesWithin) {
    std::mt19937 random(1);
    for (int round = 0; round < 300; ++round) {
        std::vector<std::byte> code(random() % 200);
        for (auto& b : code) b = static_cast<std::byte>(random() % 4 ? random() : 0x0F);
        for (const VmcsAccess& a : find_vmcs_accesses(code).found) {
            EXPECT_LE(a.offset + 3, code.size());
            EXPECT_LT(a.field_register, 16);
            EXPECT_LT(a.value_register, 16);
        }
        find_call(code, random(), random());
    }
}

TEST(VmcsAccesses, CodeWithoutTheirOpcodesNeedsNoDecoding) {
    std::vector<std::byte> code(64, std::byte{0x90});
    EXPECT_FALSE(may_access_vmcs(code));
    EXPECT_FALSE(may_access_vmcs({}));
    code[62] = std::byte{0x0f};
    EXPECT_FALSE(may_access_vmcs(code));
    for (const auto opcode : {std::byte{0x78}, std::byte{0x79}}) {
        code[63] = opcode;
        EXPECT_TRUE(may_access_vmcs(code));
    }
}

TEST(FindCall, TheFirstDirectCallOfTheTargetIsFound) {
    const std::span<const std::byte> code(calls, calls_end);
    constexpr std::uint64_t kAt = 0xffffffffc0a3b000;
    EXPECT_EQ(find_call(code, kAt, kAt + code.size()), 3u);
    EXPECT_EQ(find_call(code, kAt, kAt), 8u);
}

TEST(FindCall, ACallOfSomethingElseIsNotIt) {
    const std::span<const std::byte> code(calls, calls_end);
    EXPECT_FALSE(find_call(code, 0x1000, 0x1001));
    EXPECT_FALSE(find_call(code.first(5), 0x1000, 0x1000 + code.size()));
    EXPECT_FALSE(find_call({}, 0x1000, 0x1000));
}

TEST(FindCall, AJumpIsNoCall) {
    const auto code = bytes(0xE9, 0, 0, 0, 0);
    EXPECT_FALSE(find_call(code, 0x1000, 0x1005));
}

}  // namespace
}  // namespace vmxscope::kvm
