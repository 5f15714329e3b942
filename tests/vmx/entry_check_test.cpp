#include "vmx/entry_check.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "core/cpu_catalog.h"
#include "entry_check_images.h"
#include "entry_check_mutations.h"
#include "vmx/controls.h"

namespace vmxscope::vmx::test {

std::uint64_t with(VmcsImage (*base)(), Field f, std::uint64_t set, std::uint64_t clear) {
    return (base()[f].bits | set) & ~clear;
}

namespace {

std::vector<Mutation> all_mutations() {
    std::vector<Mutation> all;
    for (auto mutations : {control_mutations, host_mutations, guest_register_mutations, guest_segment_mutations,
                           guest_state_mutations, msr_mutations})
        for (Mutation& m : mutations()) all.push_back(std::move(m));
    return all;
}

std::string failures(const EntryCheck& check, const VmcsImage& image, const Capabilities& cpu) {
    std::string text;
    for (std::size_t i = 0; i < entry_rules().size(); ++i)
        if (check.outcomes[i] == Outcome::Failed) text += explain(entry_rules()[i], image, cpu) + "\n";
    return text;
}

TEST(EntryCheck, GoodImagesPassEveryRule) {
    for (const Capabilities& cpu : {bochs_cpu(), modern_cpu(), *core::load_cpu("any")})
        for (auto image : {long_mode_image, pae_image, real_mode_image, virtual_8086_image}) {
            const EntryCheck check = check_entry(image(), cpu);
            EXPECT_FALSE(check.first()) << failures(check, image(), cpu);
            EXPECT_EQ(check.undecided(), 0u);
        }
}

TEST(EntryCheck, EveryMutationBreaksItsRule) {
    for (const Mutation& m : all_mutations()) {
        VmcsImage image = m.base();
        for (const Change& c : m.changes) image[c.field] = Value::of(c.bits);
        Capabilities cpu = modern_cpu();
        if (m.cpu) m.cpu(cpu);
        std::vector<MsrEntry> msrs = m.msrs;
        msrs.resize(std::max<std::size_t>(msrs.size(), image[Field::VM_ENTRY_MSR_LOAD_COUNT].bits), {0x174, 0, 0x10});
        const MsrArea area{msrs, true};
        const EntryCheck check = check_entry(image, cpu, &area);
        const auto rule = entry_rule_by_id(m.rule);
        ASSERT_TRUE(rule) << m.rule;
        EXPECT_EQ(check.outcomes[*rule], Outcome::Failed) << m.rule << "\n" << failures(check, image, cpu);
        if (m.first) {
            EXPECT_EQ(check.first(), rule) << m.rule << "\n" << failures(check, image, cpu);
        }
        EXPECT_EQ(check.undecided(), 0u) << m.rule;
    }
}

TEST(EntryCheck, EveryRuleIsBrokenByAMutation) {
    std::set<std::string> broken;
    for (const Mutation& m : all_mutations()) broken.insert(m.rule);
    for (const EntryRule& rule : entry_rules()) EXPECT_TRUE(broken.contains(std::string(rule.id))) << rule.id;
}

TEST(EntryCheck, TheTableHasNamesSectionsAndFieldsForEverything) {
    std::set<std::string_view> ids;
    EXPECT_GE(entry_rules().size(), 200u);
    for (const EntryRule& rule : entry_rules()) {
        EXPECT_TRUE(ids.insert(rule.id).second) << rule.id;
        EXPECT_FALSE(rule.section.empty() || rule.title.empty()) << rule.id;
        EXPECT_NE(rule.title.back(), '.') << rule.id;
        ASSERT_FALSE(rule.fields.empty()) << rule.id;
        EXPECT_EQ(rule.fields.size(), rule.masks.size()) << rule.id;
        for (const Field f : rule.fields) EXPECT_TRUE(index_of(f)) << rule.id;
    }
}

TEST(EntryCheck, TheTableIsInTheProcessorsOrder) {
    EXPECT_TRUE(std::is_sorted(entry_rules().begin(), entry_rules().end(),
                               [](const EntryRule& a, const EntryRule& b) { return a.answer < b.answer; }));
    const auto prefix = [](Answer a) {
        return a == Answer::VmFailControls ? "control."
               : a == Answer::VmFailHost   ? "host."
               : a == Answer::MsrLoading   ? "msr."
                                           : "guest.";
    };
    for (const EntryRule& rule : entry_rules()) EXPECT_TRUE(rule.id.starts_with(prefix(rule.answer))) << rule.id;
}

TEST(EntryCheck, WhatIsNotKnownDecidesNothing) {
    const EntryCheck nothing = check_entry(VmcsImage{}, modern_cpu());
    EXPECT_EQ(nothing.failed(), 0u);
    EXPECT_GT(nothing.undecided(), 250u);
    const EntryCheck no_cpu = check_entry(long_mode_image(), Capabilities{});
    EXPECT_EQ(no_cpu.failed(), 0u);
    EXPECT_EQ(no_cpu.outcomes[*entry_rule_by_id("control.pin.required")], Outcome::Undecided);
    EXPECT_EQ(no_cpu.outcomes[*entry_rule_by_id("guest.rflags.bit-1")], Outcome::Passed);
}

TEST(EntryCheck, AFieldThatDoesNotApplyNeedNotBeKnown) {
    VmcsImage image = long_mode_image();
    image[Field::MSR_BITMAP] = Value{};
    EXPECT_EQ(check_entry(image, modern_cpu()).undecided(), 0u);
    image[Field::CPU_BASED_VM_EXEC_CONTROL].bits |= proc::kMsrBitmaps;
    const auto rule = *entry_rule_by_id("control.msr-bitmap.aligned");
    EXPECT_EQ(check_entry(image, modern_cpu()).outcomes[rule], Outcome::Undecided);
    EXPECT_EQ(why_undecided(entry_rules()[rule], image, modern_cpu()), "MSR_BITMAP was not read");
    image[Field::MSR_BITMAP] = Value::faulted();
    EXPECT_EQ(why_undecided(entry_rules()[rule], image, modern_cpu()), "MSR_BITMAP could not be read");
    EXPECT_EQ(why_undecided(entry_rules()[*entry_rule_by_id("control.pin.required")], image, Capabilities{}),
              "IA32_VMX_PINBASED_CTLS is not known");
}

TEST(EntryCheck, RulesAboutFieldsThatDoNotExistAreSkipped) {
    VmcsImage image = long_mode_image();
    image[Field::TERTIARY_VM_EXEC_CONTROL] = Value::unsupported();
    image[Field::GUEST_S_CET] = Value::unsupported();
    image[Field::VM_ENTRY_CONTROLS].bits |= entries::kLoadCet;
    const EntryCheck check = check_entry(image, modern_cpu());
    EXPECT_FALSE(check.first());
    EXPECT_EQ(check.undecided(), 0u);
}

TEST(EntryCheck, BasicMsrBit48LimitsPointersButNotTheRootOfEpt) {
    VmcsImage image = long_mode_image();
    image[Field::CPU_BASED_VM_EXEC_CONTROL].bits |= proc::kMsrBitmaps;
    image[Field::MSR_BITMAP] = Value::of(bit(33));
    image[Field::EPT_POINTER] = Value::of(bit(33) | 0x1e);
    Capabilities cpu = modern_cpu();
    EXPECT_FALSE(check_entry(image, cpu).first());
    cpu[CapabilityMsr::Basic].bits |= bit(48);
    const EntryCheck check = check_entry(image, cpu);
    EXPECT_EQ(check.first(), entry_rule_by_id("control.msr-bitmap.width"));
    EXPECT_EQ(check.failed(), 1u);
}

TEST(EntryCheck, WithoutTrueMsrsTheOthersCount) {
    Capabilities cpu = bochs_cpu();
    VmcsImage image = long_mode_image();
    image[Field::CPU_BASED_VM_EXEC_CONTROL].bits &= ~(3ULL << 15);  // CR3 exiting: required but for the TRUE MSR
    EXPECT_FALSE(check_entry(image, cpu).first());
    cpu[CapabilityMsr::Basic].bits &= ~bit(55);
    EXPECT_EQ(check_entry(image, cpu).first(), entry_rule_by_id("control.proc.required"));
}

TEST(EntryCheck, MsrsAreLoadedInTheirOrder) {
    VmcsImage image = long_mode_image();
    image[Field::VM_ENTRY_MSR_LOAD_COUNT] = Value::of(3);
    const MsrEntry entries[] = {{0x174, 0, 1}, {0x277, 0, 2}, {0xc0000100, 0, 0}};
    const MsrArea area{entries, std::nullopt};
    const EntryCheck check = check_entry(image, modern_cpu(), &area);
    EXPECT_EQ(check.first(), entry_rule_by_id("msr.pat")) << "the rule on FS is earlier in the table, its entry later";
    EXPECT_EQ(check.msr_entry, 2u);
    EXPECT_EQ(describe(Answer::MsrLoading, check.msr_entry),
              "VM-exit, reason 34 (VM-entry failure: MSR loading), qualification 2: the number of the entry");
}

TEST(EntryCheck, MsrsThatNobodyReadDecideNothing) {
    VmcsImage image = long_mode_image();
    image[Field::VM_ENTRY_MSR_LOAD_COUNT] = Value::of(2);
    const auto rule = *entry_rule_by_id("msr.pat"), x2apic = *entry_rule_by_id("msr.x2apic");
    EXPECT_EQ(check_entry(image, modern_cpu()).outcomes[rule], Outcome::Undecided);
    const MsrEntry entries[] = {{0x808, 0, 1}};
    const MsrArea area{entries, std::nullopt};
    EXPECT_EQ(check_entry(image, modern_cpu(), &area).outcomes[rule], Outcome::Undecided)
        << "the second entry is not known";
    EXPECT_EQ(why_undecided(entry_rules()[rule], image, modern_cpu(), &area),
              "the VM-entry MSR-load area was not read");
    EXPECT_EQ(why_undecided(entry_rules()[x2apic], image, modern_cpu(), &area),
              "the mode of the local APIC is not known");
}

TEST(EntryCheck, AnExplanationHasTheValues) {
    VmcsImage image = real_mode_image();
    image[Field::GUEST_CR0] = Value::of(0x80000030);
    const auto sentence = [&](std::string_view id) {
        return explain(entry_rules()[*entry_rule_by_id(id)], image, bochs_cpu());
    };
    EXPECT_EQ(sentence("guest.cr0.pg-needs-pe"), "CR0.PG needs CR0.PE: GUEST_CR0 is 0x80000030 (PE=0 PG=1).");
    image[Field::GUEST_CR4] = Value::of(0xa000);
    EXPECT_EQ(sentence("guest.cr4.allowed"),
              "GUEST_CR4 has only bits that IA32_VMX_CR4_FIXED1 allows: GUEST_CR4 is 0xa000 (VMXE +0x8000); at fault: "
              "0x8000.");
    image[Field::GUEST_CR4] = Value{};
    EXPECT_EQ(sentence("guest.cr4.required"),
              "GUEST_CR4 has every bit that IA32_VMX_CR4_FIXED0 requires: GUEST_CR4 is not known.");
}

TEST(EntryCheck, TheAnswersAreThoseOfTheSdm) {
    EXPECT_EQ(describe(Answer::VmFailInvalid), "VMfailInvalid");
    EXPECT_EQ(describe(Answer::VmFailControls),
              "VMfailValid, VM-instruction error 7 (VM entry with invalid control fields)");
    EXPECT_EQ(describe(Answer::VmFailHost),
              "VMfailValid, VM-instruction error 8 (VM entry with invalid host-state fields)");
    EXPECT_EQ(describe(Answer::InvalidGuestState, 4),
              "VM-exit, reason 33 (VM-entry failure: invalid guest state), qualification 4, VMCS link pointer");
    EXPECT_EQ(entry_rules()[*entry_rule_by_id("guest.pdpte0")].qualification, 2);
    EXPECT_EQ(entry_rules()[*entry_rule_by_id("guest.interruptibility.nmi-sti")].qualification, 3);
    EXPECT_EQ(entry_rules()[*entry_rule_by_id("guest.link-pointer.width")].qualification, 4);
    EXPECT_EQ(entry_rules()[*entry_rule_by_id("guest.cr0.required")].qualification, 0);
}

TEST(EntryCheck, RandomImagesAreCheckedWithoutTrouble) {
    std::mt19937_64 random(20240611);
    for (int round = 0; round < 100; ++round) {
        VmcsImage image;
        for (const FieldInfo& info : all_fields())
            image[info.field] =
                random() % 8 ? Value::of(random() & random()) : Value{0, static_cast<Known>(random() % 4)};
        Capabilities cpu;
        for (Value& msr : cpu.msrs)
            if (random() % 4) msr = Value::of(random());
        cpu.maxphyaddr = static_cast<std::uint8_t>(random());
        cpu.linear_bits = static_cast<std::uint8_t>(random());
        const EntryCheck check = check_entry(image, cpu);
        EXPECT_LE(check.failed() + check.undecided(), entry_rules().size());
        if (const auto first = check.first()) {
            EXPECT_EQ(check.outcomes[*first], Outcome::Failed);
        }
        for (const EntryRule& rule : entry_rules()) EXPECT_FALSE(explain(rule, image, cpu).empty());
    }
}

}  // namespace
}  // namespace vmxscope::vmx::test
