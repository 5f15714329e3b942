#include "plugins/kvm/sample.h"

#include <gtest/gtest.h>

#include <random>

#include "records.h"

namespace vmxscope::kvm {
namespace {

using vmx::Field;
using vmx::Value;

bool decodes(const vmxscope_record& header, std::span<const std::byte> payload) {
    return decode_sample({header, payload}, small_plan()).has_value();
}

TEST(DecodeSample, TheHeaderIsTakenOver) {
    Record r{.role = Role::BeforeEntry, .level2 = true, .lost = 9, .tsc = 77};
    r.registers = {1, 2, 3, 4, 5, 6};
    const Sample s = sample_of(r);
    EXPECT_EQ(s.role, Role::BeforeEntry);
    EXPECT_EQ(s.slot, 2u);
    EXPECT_EQ(s.tid, 4711u);
    EXPECT_EQ(s.tsc, 77u);
    EXPECT_EQ(s.lost, 9u);
    EXPECT_TRUE(s.level2);
    EXPECT_TRUE(s.identified);
    EXPECT_EQ(s.registers, r.registers);
}

TEST(DecodeSample, MembersOfEverySizeAreZeroExtended) {
    const Sample s = sample_of({.role = Role::HardwareExit,
                                .state = {{StateMember::VcpuId, 3},
                                          {StateMember::Hflags, 0xffffffff},
                                          {StateMember::DirtyVmcs12, 1},
                                          {StateMember::Cr3, 0x123456789abcdef0}}});
    EXPECT_EQ(s.number(StateMember::VcpuId), 3u);
    EXPECT_EQ(s.number(StateMember::Hflags), 0xffffffffu);
    EXPECT_EQ(s.number(StateMember::Cr3), 0x123456789abcdef0u);
    EXPECT_EQ(s.flag(StateMember::DirtyVmcs12), true);
    EXPECT_EQ(s.flag(StateMember::Fail), false);
    EXPECT_FALSE(s.number(StateMember::Regs)) << "longer than a number";
}

TEST(DecodeSample, GeneralRegistersAreInKvmsOrder) {
    const Sample s = sample_of({.role = Role::HardwareExit});
    for (unsigned i = 0; i < 17; ++i) EXPECT_EQ(s.gpr(i), Value::of(gpr_in_records(i)));
    EXPECT_EQ(s.gpr(17), Value{});
}

TEST(DecodeSample, AMemberThatWasNotReadableIsAbsentAndTheRestIsNotShifted) {
    const Sample s = sample_of({.role = Role::HardwareExit,
                                .state = {{StateMember::VcpuId, 3}, {StateMember::Cr0, 0x80000011}, {StateMember::Cr4, 0x20}},
                                .unread = {StateMember::Cr0, StateMember::Regs, StateMember::Vmcs12}});
    EXPECT_FALSE(s.number(StateMember::Cr0));
    EXPECT_FALSE(s.flag(StateMember::Cr0));
    EXPECT_EQ(s.number(StateMember::Cr4), 0x20u);
    EXPECT_EQ(s.gpr(0), Value{});
    EXPECT_FALSE(s.vmcs12);
}

TEST(DecodeSample, AMemberOfAnotherGroupIsNotInTheRecord) {
    ProbePlan plan = small_plan();
    plan.mems[static_cast<std::size_t>(StateMember::Cr3)].groups = 2;
    const Record r{.role = Role::HardwareExit, .state = {{StateMember::Cr3, 5}, {StateMember::Cr4, 6}}};
    auto payload = payload_of(r);
    const auto cr3 = payload.begin() + 16 + (8 + 17 * 8) + 16;  // VcpuId, Regs, Cr0 come before
    payload.erase(cr3, cr3 + 16);
    const auto s = decode_sample({header_of(r), payload}, plan);
    ASSERT_TRUE(s) << s.error().text();
    EXPECT_FALSE(s->number(StateMember::Cr3));
    EXPECT_EQ(s->number(StateMember::Cr4), 6u);
}

TEST(DecodeSample, StatusesBecomeWhatIsKnownOfAField) {
    const Sample s = sample_of({.role = Role::HardwareExit,
                                .level2 = true,
                                .vmcs = {{Field::GUEST_RIP, Value::of(0x7c00)},
                                         {Field::GUEST_CR0, Value::faulted()},
                                         {Field::TSC_MULTIPLIER, Value::unsupported()}}});
    ASSERT_TRUE(s.vmcs);
    EXPECT_EQ((*s.vmcs)[Field::GUEST_RIP], Value::of(0x7c00));
    EXPECT_EQ((*s.vmcs)[Field::GUEST_CR0], Value::faulted());
    EXPECT_EQ((*s.vmcs)[Field::TSC_MULTIPLIER], Value::unsupported());
    EXPECT_EQ((*s.vmcs)[Field::GUEST_CR4], Value{}) << "asked for, not read";
    EXPECT_EQ((*s.vmcs)[Field::HOST_CR0], Value{}) << "not asked for";
}

TEST(DecodeSample, AStatusThatIsNoneIsNotRead) {
    const Record r{.role = Role::HardwareExit, .vmcs = {{Field::VM_EXIT_REASON, Value::of(10)}}};
    auto payload = payload_of(r);
    payload[payload.size() - 8] = std::byte{200};
    const auto s = decode_sample({header_of(r), payload}, small_plan());
    ASSERT_TRUE(s && s->vmcs);
    EXPECT_EQ((*s->vmcs)[Field::VM_EXIT_REASON], Value{});
}

TEST(DecodeSample, TheImageOfL1IsTheFirstFieldsOnly) {
    const Sample s = sample_of({.role = Role::HardwareExit,
                                .vmcs = {{Field::VM_EXIT_REASON, Value::of(10)}, {Field::GUEST_CR3, Value::of(5)}}});
    ASSERT_TRUE(s.vmcs);
    EXPECT_EQ((*s.vmcs)[Field::VM_EXIT_REASON], Value::of(10));
    EXPECT_EQ((*s.vmcs)[Field::GUEST_CR3], Value{});
}

TEST(DecodeSample, AnImageOfAnUnidentifiedVmcsIsNone) {
    EXPECT_FALSE(sample_of({.role = Role::HardwareExit, .identified = false, .vmcs = {{Field::GUEST_RIP, Value::of(1)}}}).vmcs);
}

TEST(DecodeSample, Vmcs12IsDecodedByItsLayout) {
    const Sample s = sample_of({.role = Role::NestedExitEnd, .vmcs12 = {{Field::GUEST_PDPTR0, 0x1001}, {Field::VM_EXIT_REASON, 48}}});
    ASSERT_TRUE(s.vmcs12);
    EXPECT_EQ((*s.vmcs12)[Field::GUEST_PDPTR0], Value::of(0x1001));
    EXPECT_EQ((*s.vmcs12)[Field::VM_EXIT_REASON], Value::of(48));
    EXPECT_FALSE(s.vmcs) << "this hook has no image";
}

TEST(DecodeSample, CachedPdptrsAreReadOnlyWhileKvmHoldsThemForValid) {
    ProbePlan plan = small_plan();
    plan.pdptr_cache_bit = 3;
    for (const bool available : {false, true}) {
        const Record r{.role = Role::HardwareExit, .state = {{StateMember::RegsAvail, available ? 0x8u : 0xfff7u}}};
        const auto payload = payload_of(r);
        const auto s = decode_sample({header_of(r), payload}, plan);
        ASSERT_TRUE(s);
        for (unsigned i = 0; i < 4; ++i) EXPECT_EQ(s->cached_pdptrs()[i], available ? Value::of(pdptr_in_records(i)) : Value{});
    }
}

TEST(DecodeSample, ARecordOfAnyOtherLengthIsAnError) {
    const Record r{.role = Role::HardwareExit, .level2 = true};
    const auto whole = payload_of(r);
    ASSERT_TRUE(decodes(header_of(r), whole));
    for (std::size_t n = 0; n < whole.size(); n += 8) EXPECT_FALSE(decodes(header_of(r), std::span(whole).first(n))) << n;
    auto longer = whole;
    longer.resize(whole.size() + 8);
    EXPECT_FALSE(decodes(header_of(r), longer));
    const auto s = decode_sample({header_of(r), longer}, small_plan());
    EXPECT_NE(s.error().what.find("shape"), std::string::npos) << s.error().what;
}

TEST(DecodeSample, AnImageOfMoreFieldsThanWereAskedForIsAnError) {
    const Record r{.role = Role::HardwareExit};
    auto h = header_of(r);
    auto payload = payload_of(r);
    payload.resize(payload.size() - 3 * 8 - 8);  // without the image
    const std::uint32_t more = 16;
    h.nr = static_cast<std::uint16_t>(more);
    payload.resize(payload.size() + more * 9);
    EXPECT_FALSE(decodes(h, payload));
    h.nr = 0xffff;
    EXPECT_FALSE(decodes(h, payload));
}

TEST(DecodeSample, AHookThatWasNeverPlacedIsAnError) {
    const Record r{.role = Role::HardwareExit};
    auto h = header_of(r);
    h.hook = static_cast<std::uint16_t>(small_plan().hooks.size());
    const auto s = decode_sample({h, payload_of(r)}, small_plan());
    ASSERT_FALSE(s);
    EXPECT_NE(s.error().what.find("never placed"), std::string::npos);
}

TEST(DecodeSample, RandomPayloadsAreSurvived) {
    std::mt19937_64 random(5);
    const Record r{.role = Role::HardwareExit, .level2 = true};
    for (int round = 0; round < 500; ++round) {
        auto payload = payload_of(r);
        for (int n = 0; n < 50; ++n) payload[random() % payload.size()] = static_cast<std::byte>(random());
        if (random() % 2) payload.resize(random() % payload.size());
        auto h = header_of(r);
        if (random() % 2) h.nr = static_cast<std::uint16_t>(random() % 20);
        const std::vector<std::byte> exact(payload);
        decodes(h, exact);
    }
}

}  // namespace
}  // namespace vmxscope::kvm
