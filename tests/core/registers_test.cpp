#include "core/rsp/registers.h"

#include <gtest/gtest.h>

#include "core/rsp/codec.h"
#include "scripted_target.h"

namespace vmxscope::core::rsp {
namespace {

using nested::Kind;

/// With these members in the structures: what the example transition knows.
const Registers& example() {
    static const Registers made([] {
        MemberFields m;
        const auto t = test::example_transition(3, 0, Kind::L2Exit);
        for (std::size_t i = 0; i < vmx::kFieldCount; ++i) {
            m[ShownVmcs::Vmcs12][i] = t.vmcs12_after.at_index(i).known();
            m[ShownVmcs::Vmcs02][i] = t.vmcs02_after.at_index(i).known();
        }
        m[ShownVmcs::Vmcs01][*vmx::index_of(vmx::Field::MSR_BITMAP)] = true;
        m[ShownVmcs::Vmcs01][*vmx::index_of(vmx::Field::GUEST_CR4)] = true;
        return m;
    }());
    return made;
}

/// The number that the target description gives to a register: its place among all <reg> elements.
std::optional<std::size_t> number_of(const std::string& name) {
    const std::string& xml = example().target_xml();
    std::size_t number = 0;
    for (std::size_t at = xml.find("<reg "); at != std::string::npos; at = xml.find("<reg ", at + 1), ++number)
        if (xml.compare(at, 12 + name.size(), "<reg name=\"" + name + "\"") == 0) return number;
    return {};
}

std::string read(const std::string& name, const nested::Transition& t) {
    const auto number = number_of(name);
    return number ? example().hex(*number, &t).value_or("no such number") : "no such name";
}

TEST(Registers, AreNumberedAsGdbDemands) {
    EXPECT_EQ(number_of("rax"), 0u);
    EXPECT_EQ(number_of("rip"), 16u);
    EXPECT_EQ(number_of("eflags"), 17u);
    EXPECT_EQ(number_of("cs"), 18u);
    EXPECT_EQ(number_of("st0"), 24u);
    EXPECT_EQ(number_of("vmcs12_virtual_processor_id"), 40u);
}

TEST(Registers, ComeFromTheTransitionInTargetByteOrder) {
    auto t = test::example_transition(3, 0, Kind::L2Exit);
    t.regs[nested::RAX] = vmx::Value::of(0x1122334455667788);
    EXPECT_EQ(read("rax", t), "8877665544332211");
    EXPECT_EQ(read("eflags", t).size(), 8u);
    EXPECT_EQ(read("vmcs12_guest_cr3", t), "0330000000000000");
    EXPECT_EQ(read("vmcs02_guest_pdptr1", t), "0140100000000000");
}

TEST(Registers, WhatNobodyReadIsUnavailableAndNotZero) {
    const auto t = test::example_transition(3, 0, Kind::L2Exit);
    EXPECT_EQ(read("r15", t), std::string(16, 'x'));
    EXPECT_EQ(read("st0", t), std::string(20, 'x'));
    EXPECT_EQ(read("vmcs12_host_rip", t), std::string(16, 'x'));
    EXPECT_EQ(read("vmcs02_tsc_multiplier", t), std::string(16, 'x'));  // the processor has no such field
    EXPECT_EQ(example().general_hex(nullptr),
              std::string(2 * 8 * 16, 'x') + "0000000000000080" + std::string(2 * 7 * 4, 'x'));
}

TEST(Registers, SegmentsAreL2sOnlyWhereVmcs02WasReadThereAndThen) {
    auto t = test::example_transition(3, 0, Kind::L2Exit);
    EXPECT_EQ(read("cs", t), "10000000");
    EXPECT_EQ(read("ds", t), "xxxxxxxx");
    t.vmcs02_as_of = 2;
    EXPECT_EQ(read("cs", t), "xxxxxxxx");
    t.vmcs02_as_of = 3;
    t.kind = Kind::L1Exit;
    EXPECT_EQ(read("cs", t), "xxxxxxxx");
}

TEST(Registers, EveryFieldOfBothVmcsHasOne) {
    for (const auto& info : vmx::all_fields()) {
        std::string name(info.name);
        for (char& c : name) c = static_cast<char>(std::tolower(c));
        for (const char* vmcs : {"vmcs12_", "vmcs02_"}) {
            const auto number = number_of(vmcs + name);
            ASSERT_TRUE(number) << name;
            EXPECT_EQ(example().hex(*number, nullptr)->size(), 2 * vmx::bytes_of(info.field)) << name;
        }
    }
    EXPECT_FALSE(example().hex(40 + 2 * vmx::kFieldCount + 8, nullptr));
}

TEST(Registers, AnImagesValueGoesToItsOwnRegister) {
    auto t = test::example_transition(3, 0, Kind::L2Exit);
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) {
        t.vmcs12_after.at_index(i) = vmx::Value::of(i);
        t.vmcs02_after.at_index(i) = vmx::Value::of(i + 0x1000);
    }
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) {
        const auto low16 = [&](std::size_t number) {
            return parse_hex(example().hex(number, &t)->substr(2, 2) + example().hex(number, &t)->substr(0, 2));
        };
        EXPECT_EQ(low16(40 + i), i);
        EXPECT_EQ(low16(40 + vmx::kFieldCount + i), i + 0x1000);
    }
}

}  // namespace
}  // namespace vmxscope::core::rsp
