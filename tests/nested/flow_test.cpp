// The flow of all fields: the table against the counts of the reading of KVM's sources that it was made from, the merge
// formulas against values worked out by hand, and what is a finding and what is not.
#include "nested/flow.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "flow_samples.h"
#include "nested/badges.h"
#include "nested/flow_text.h"
#include "nested/vmcs12.h"
#include "random_transition.h"

namespace vmxscope::nested {
namespace {

using vmx::Field;
using vmx::Value;
using What = Finding::What;

const FieldRule& rule(Field f) {
    return flow_rules()[*vmx::index_of(f)];
}

Predicted entry(const Transition& t, Field f) {
    return predict_entry(rule(f), Situation(t), t);
}
Predicted exit_value(const Transition& t, Field f) {
    return predict_exit(rule(f), Situation(t), t);
}

std::multiset<std::pair<What, Field>> found(const Transition& t) {
    std::multiset<std::pair<What, Field>> all;
    for (const Finding& f : flow_of(t).findings) all.emplace(f.what, f.field);
    return all;
}

void forget_evidence(Transition& t, Field f) {
    std::erase_if(t.evidence, [f](const Evidence& e) { return e.encoding == static_cast<unsigned>(f); });
}

TEST(FlowTable, HasARuleForEachFieldOfVmcs12AndForNoOther) {
    std::size_t with_rule = 0;
    for (const FieldRule& r : flow_rules()) {
        with_rule += r.entry != EntryClass::OnlyL0;
        EXPECT_EQ(r.entry == EntryClass::OnlyL0, r.exit == ExitClass::OnlyL0) << vmx::name_of(r.field);
        EXPECT_EQ(r.entry != EntryClass::OnlyL0, vmcs12_offset(r.field).has_value()) << vmx::name_of(r.field);
    }
    EXPECT_EQ(with_rule, 141u);
}

TEST(FlowTable, HasAsManyFieldsOfEachClassAsTheSourcesHave) {
    std::map<EntryClass, int> entries;
    std::map<ExitClass, int> exits;
    int read_write = 0, read_only = 0, in_evmcs = 0;
    for (const FieldRule& r : flow_rules()) {
        ++entries[r.entry];
        ++exits[r.exit];
        read_write += r.shadowed == Shadowed::ReadWrite;
        read_only += r.shadowed == Shadowed::ReadOnly;
        in_evmcs += r.group != EvmcsGroup::None;
    }
    EXPECT_EQ(entries, (std::map<EntryClass, int>{{EntryClass::Copy, 3},
                                                  {EntryClass::Rare, 47},
                                                  {EntryClass::RareLate, 4},
                                                  {EntryClass::Conditional, 12},
                                                  {EntryClass::Merged, 16},
                                                  {EntryClass::Translated, 3},
                                                  {EntryClass::L0, 5},
                                                  {EntryClass::Emulated, 17},
                                                  {EntryClass::Host, 23},
                                                  {EntryClass::None, 11},
                                                  {EntryClass::OnlyL0, int(vmx::kFieldCount) - 141}}));
    EXPECT_EQ(exits, (std::map<ExitClass, int>{{ExitClass::Always, 9},
                                               {ExitClass::Lazy, 35},
                                               {ExitClass::Conditional, 10},
                                               {ExitClass::WrittenThrough, 6},
                                               {ExitClass::Synthesised, 13},
                                               {ExitClass::HostLoad, 23},
                                               {ExitClass::Emulated, 6},
                                               {ExitClass::Never, 39},
                                               {ExitClass::OnlyL0, int(vmx::kFieldCount) - 141}}));
    EXPECT_EQ(read_write, 24);
    EXPECT_EQ(read_only, 11);
    EXPECT_EQ(in_evmcs, 106);
}

TEST(FlowRule, CopiesRareFieldsOnlyWhenDirty) {
    Transition t = good_entry();
    EXPECT_EQ(entry_moves(rule(Field::GUEST_CS_BASE), Situation(t), t), true);
    t.context.dirty_vmcs12 = false;
    EXPECT_EQ(entry_moves(rule(Field::GUEST_CS_BASE), Situation(t), t), false);
    t.context.dirty_vmcs12.reset();
    EXPECT_EQ(entry_moves(rule(Field::GUEST_CS_BASE), Situation(t), t), std::nullopt);
}

TEST(FlowRule, HeedsTheCleanFieldsOfAnEnlightenedVmcs) {
    Transition t = good_entry();
    t.context.dirty_vmcs12 = false;
    t.context.evmcs = true;
    t.context.evmcs_clean_fields = 1u << 12;  // GUEST_GRP2
    EXPECT_EQ(entry_moves(rule(Field::GUEST_CS_BASE), Situation(t), t), false);
    EXPECT_EQ(entry_moves(rule(Field::GUEST_SYSENTER_CS), Situation(t), t), true) << "GUEST_GRP1";
    EXPECT_EQ(entry_moves(rule(Field::VMCS_LINK_POINTER), Situation(t), t), true) << "in no group that is asked for";
    t.context.evmcs_clean_fields.reset();
    EXPECT_EQ(entry_moves(rule(Field::GUEST_CS_BASE), Situation(t), t), std::nullopt);
}

TEST(FlowRule, DoesNotWriteWhatTheProcessorLacks) {
    Transition t = good_entry();
    t.vmcs02_after[Field::TSC_MULTIPLIER] = t.vmcs02_before[Field::TSC_MULTIPLIER] = Value::unsupported();
    EXPECT_EQ(entry_moves(rule(Field::TSC_MULTIPLIER), Situation(t), t), false);
    EXPECT_EQ(flow_of(t)[Field::TSC_MULTIPLIER].vmcs02, Origin::NoSuchField);
}

// ---- Formulas, with the values worked out by hand from prepare_vmcs02_early and prepare_vmcs02

TEST(FlowValue, MergesThePinBasedControls) {
    Transition t = good_entry();
    set(t.vmcs01, Field::PIN_BASED_VM_EXEC_CONTROL, 0x00bf);         // L0: posted interrupts
    set(t.vmcs12_before, Field::PIN_BASED_VM_EXEC_CONTROL, 0x0056);  // L1: its preemption timer
    EXPECT_EQ(entry(t, Field::PIN_BASED_VM_EXEC_CONTROL), (Predicted{0x003f, 0xffffffff}));
    set(t.vmcs12_before, Field::PIN_BASED_VM_EXEC_CONTROL, 0x0096);  // L1: posted interrupts, which L0 may have to drop
    EXPECT_EQ(entry(t, Field::PIN_BASED_VM_EXEC_CONTROL), (Predicted{0x003f, 0xffffff7f}));
}

TEST(FlowValue, MergesThePrimaryControls) {
    Transition t = good_entry();
    set(t.vmcs01, Field::CPU_BASED_VM_EXEC_CONTROL,
        0xb5a06dfa | 1u << 2 | 1u << 21);  // L0: windows, TPR shadow, bitmaps
    set(t.vmcs12_before, Field::CPU_BASED_VM_EXEC_CONTROL, 0x84006172 | 1u << 7);
    const Predicted p = entry(t, Field::CPU_BASED_VM_EXEC_CONTROL);
    const std::uint64_t windows_and_bitmaps = 1u << 2 | 1u << 22 | 1u << 28;
    EXPECT_EQ(p.mask, 0xffffffff & ~windows_and_bitmaps);
    EXPECT_TRUE(p.bits & 1u << 24) << "I/O always exits";
    EXPECT_FALSE(p.bits & 1u << 25) << "I/O bitmaps are never used";
    EXPECT_EQ(p.bits & (1u << 19 | 1u << 20), 1u << 19 | 1u << 20) << "without TPR shadow, CR8 exits";
    EXPECT_FALSE(p.bits & 1u << 21) << "L0's TPR shadow is not L2's";
    EXPECT_TRUE(p.bits & 1u << 7) << "L1 asked for HLT";
}

TEST(FlowValue, MergesTheSecondaryControls) {
    Transition t = good_entry();
    set(t.vmcs01, Field::SECONDARY_VM_EXEC_CONTROL, 0x1310aa);  // EPT RDTSCP VPID URG INVPCID RDSEED PML XSAVES
    set(t.vmcs12_before, Field::SECONDARY_VM_EXEC_CONTROL, 1u << 1 | 1u << 3);
    EXPECT_EQ(entry(t, Field::SECONDARY_VM_EXEC_CONTROL).bits, 0x1u << 1 | 1u << 3 | 1u << 5 | 1u << 16);
    set(t.vmcs12_before, Field::CPU_BASED_VM_EXEC_CONTROL, 0x0401e172);  // not activated: none of L1's
    EXPECT_EQ(entry(t, Field::SECONDARY_VM_EXEC_CONTROL).bits, 0x1u << 1 | 1u << 5 | 1u << 16);
}

TEST(FlowValue, SwitchesEferOnlyWhereItDiffersFromTheHosts) {
    Transition t = good_entry();  // L2's 0xd00 from vmcs12, the host's 0xd01
    EXPECT_EQ(efer_differs(Situation(t), t), true);
    EXPECT_EQ(entry(t, Field::GUEST_IA32_EFER).bits, 0xd00u);
    EXPECT_TRUE(entry(t, Field::VM_ENTRY_CONTROLS).bits & 1u << 15);
    EXPECT_TRUE(entry(t, Field::VM_EXIT_CONTROLS).bits & 1u << 21);
    set(t.vmcs12_before, Field::GUEST_IA32_EFER, 0xd01);
    EXPECT_EQ(entry_moves(rule(Field::GUEST_IA32_EFER), Situation(t), t), false);
    EXPECT_FALSE(entry(t, Field::VM_ENTRY_CONTROLS).bits & 1u << 15);
    EXPECT_FALSE(entry(t, Field::VM_EXIT_CONTROLS).bits & 1u << 21);
    set(t.vmcs12_before, Field::GUEST_IA32_EFER, 0x100);  // LME without LMA: the processor is given neither
    EXPECT_EQ(entry(t, Field::GUEST_IA32_EFER).bits, 0u);
    EXPECT_FALSE(entry(t, Field::VM_ENTRY_CONTROLS).bits & 1u << 9) << "not in IA-32e mode";
}

TEST(FlowValue, ComposesTheTsc) {
    Transition t = good_entry();
    t.context.l1_tsc_offset = static_cast<std::uint64_t>(-0x1000);
    set(t.vmcs12_before, Field::TSC_OFFSET, 0x300);
    EXPECT_EQ(entry(t, Field::TSC_OFFSET).bits, static_cast<std::uint64_t>(-0xd00));
    set(t.vmcs12_before, Field::SECONDARY_VM_EXEC_CONTROL, 1u << 25);
    set(t.vmcs12_before, Field::TSC_MULTIPLIER, 3ull << 47);  // 1.5
    EXPECT_EQ(entry(t, Field::TSC_OFFSET).bits, static_cast<std::uint64_t>(-0x1800 + 0x300));
    EXPECT_EQ(entry(t, Field::TSC_MULTIPLIER).bits, 3ull << 47);
    set(t.vmcs12_before, Field::CPU_BASED_VM_EXEC_CONTROL, 1u << 31);  // no offsetting: neither counts
    EXPECT_EQ(entry(t, Field::TSC_OFFSET).bits, static_cast<std::uint64_t>(-0x1000));
    EXPECT_EQ(entry(t, Field::TSC_MULTIPLIER).bits, 1ull << 48);
}

TEST(FlowValue, MasksAndShadowsOfCr0) {
    Transition t = good_entry();
    t.context.cr0_guest_owned_bits = 0x1000a;
    set(t.vmcs12_before, Field::CR0_GUEST_HOST_MASK, 0x8);
    set(t.vmcs12_before, Field::GUEST_CR0, 0x80050033);
    set(t.vmcs12_before, Field::CR0_READ_SHADOW, 0x8);
    EXPECT_EQ(entry(t, Field::CR0_GUEST_HOST_MASK), (Predicted{~0x10002ull, ~0ull}));
    EXPECT_EQ(entry(t, Field::CR0_READ_SHADOW).bits, 0x8005003bu);
    EXPECT_EQ(entry(t, Field::GUEST_CR0).bits, 0x80050033u);
    set(t.vmcs12_before, Field::GUEST_CR0, 0x60000010);  // CD and NW are taken off, NE is put on
    EXPECT_EQ(entry(t, Field::GUEST_CR0).bits, 0x30u);
    t.context.enable_unrestricted_guest = false;
    EXPECT_EQ(entry(t, Field::GUEST_CR0).bits, 0x80000031u) << "without unrestricted guest: PE and PG, too";
}

TEST(FlowValue, WithoutEptL0NeedsEveryPageFault) {
    Transition t = good_entry();
    t.context.enable_ept = false;
    set(t.vmcs12_before, Field::PAGE_FAULT_ERROR_CODE_MASK, 7);
    EXPECT_EQ(entry(t, Field::PAGE_FAULT_ERROR_CODE_MASK), (Predicted{0, 0xffffffff}));
    t.context.enable_ept = true;
    EXPECT_EQ(entry(t, Field::PAGE_FAULT_ERROR_CODE_MASK), (Predicted{7, 0xffffffff}));
}

TEST(FlowValue, GivesCr0BackFromThreePlaces) {
    Transition t = good_exit();
    t.context.cr0_guest_owned_bits = 0x2;
    set(t.vmcs12_before, Field::CR0_GUEST_HOST_MASK, 0x8);
    set(t.vmcs12_before, Field::GUEST_CR0, 0x8);
    set(t.vmcs02_before, Field::GUEST_CR0, 0x80000032);
    set(t.vmcs02_before, Field::CR0_READ_SHADOW, 0x10001);
    EXPECT_EQ(exit_value(t, Field::GUEST_CR0).bits, 0x1000bu);
}

TEST(FlowValue, SaysNothingOfARegisterThatKvmHasChanged) {
    Transition t = good_exit();
    EXPECT_TRUE(exit_value(t, Field::GUEST_RIP).known());
    t.context.regs_dirty = 1u << 16;  // VCPU_REGS_RIP
    EXPECT_FALSE(exit_value(t, Field::GUEST_RIP).known());
    EXPECT_TRUE(exit_value(t, Field::GUEST_RSP).known());
}

TEST(FlowValue, AMergedValueNamesItsParts) {
    const Transition t = good_entry();
    for (const FieldRule& r : flow_rules()) {
        if (r.entry != EntryClass::Merged || r.entry_value == EntryValue::None || r.entry_value == EntryValue::Cr3)
            continue;
        EXPECT_FALSE(parts_of(r, Situation(t), t)[0].name.empty()) << vmx::name_of(r.field);
    }
}

// ---- Findings

TEST(Flow, AGoodEntryAndAGoodExitHaveNoFindings) {
    for (const Transition& t : {good_entry(), good_exit()}) {
        const Flow flow = flow_of(t);
        EXPECT_TRUE(flow.complete);
        for (const Finding& f : flow.findings) ADD_FAILURE() << finding_text(t, flow, f);
    }
}

TEST(Flow, AWriteThatTheRuleHasNotIsAFinding) {
    Transition t = good_entry();
    t.evidence.push_back({Evidence::Op::Vmwrite, static_cast<std::uint16_t>(Field::IO_BITMAP_A),
                          t.vmcs02_after[Field::IO_BITMAP_A], "prepare_vmcs02_rare+0x1"});
    EXPECT_EQ(found(t).count({What::WrittenAgainstRule, Field::IO_BITMAP_A}), 1u);
}

TEST(Flow, ACopyOfACleanVmcs12IsAFinding) {
    Transition t = good_entry();
    t.context.dirty_vmcs12 = false;
    EXPECT_EQ(found(t).count({What::WrittenAgainstRule, Field::GUEST_CS_BASE}), 1u);
}

TEST(Flow, AWriteThatIsMissingIsAFindingIfEverythingWasWatched) {
    Transition t = good_entry();
    forget_evidence(t, Field::GUEST_CS_BASE);
    t.vmcs02_before[Field::GUEST_CS_BASE] = t.vmcs02_after[Field::GUEST_CS_BASE];
    EXPECT_EQ(found(t).count({What::NotWritten, Field::GUEST_CS_BASE}), 1u);
    t.evidence_scope = EvidenceScope::Pdptrs;
    EXPECT_EQ(found(t).count({What::NotWritten, Field::GUEST_CS_BASE}), 0u);
    t.evidence_scope = EvidenceScope::All;
    t.lost_before = 1;
    EXPECT_EQ(found(t).count({What::NotWritten, Field::GUEST_CS_BASE}), 0u);
}

TEST(Flow, AControlWordThatIsAsItShouldBeNeedsNoWrite) {
    Transition t = good_entry();
    forget_evidence(t, Field::PIN_BASED_VM_EXEC_CONTROL);
    t.vmcs02_before[Field::PIN_BASED_VM_EXEC_CONTROL] = t.vmcs02_after[Field::PIN_BASED_VM_EXEC_CONTROL];
    EXPECT_TRUE(found(t).empty());
}

TEST(Flow, AChangeWithoutAWriteIsAFinding) {
    Transition t = good_entry();
    forget_evidence(t, Field::PLE_GAP);
    t.vmcs02_after[Field::PLE_GAP] = Value::of(t.vmcs02_before[Field::PLE_GAP].bits ^ 1);
    EXPECT_EQ(found(t).count({What::ChangedUnseen, Field::PLE_GAP}), 1u);
}

TEST(Flow, AValueThatIsNotTheRulesIsAFinding) {
    Transition t = good_entry();
    for (Evidence& e : t.evidence)
        if (e.encoding == static_cast<unsigned>(Field::EXCEPTION_BITMAP)) e.value.bits ^= 1u << 13;
    t.vmcs02_after[Field::EXCEPTION_BITMAP].bits ^= 1u << 13;
    EXPECT_EQ(found(t), (std::multiset<std::pair<What, Field>>{{What::ValueDiffers, Field::EXCEPTION_BITMAP}}));
}

TEST(Flow, WhatL0WritesAfterwardsIsNoFindingAndIsSaid) {
    Transition t = good_entry();
    set(t.vmcs02_after, Field::VM_ENTRY_INTR_INFO_FIELD, 0x800000ef);
    t.evidence.push_back({Evidence::Op::Vmwrite, static_cast<std::uint16_t>(Field::VM_ENTRY_INTR_INFO_FIELD),
                          Value::of(0x800000ef), "vmx_inject_irq+0x30"});
    const Flow flow = flow_of(t);
    EXPECT_TRUE(flow.findings.empty());
    EXPECT_TRUE(flow[Field::VM_ENTRY_INTR_INFO_FIELD].later);
    EXPECT_EQ(flow[Field::VM_ENTRY_INTR_INFO_FIELD].vmcs02, Origin::L0Own);
}

TEST(Flow, AVmwriteOfVmcs01IsNotVmcs02s) {
    Transition t = good_entry();
    t.evidence.push_back({Evidence::Op::Vmwrite, static_cast<std::uint16_t>(Field::IO_BITMAP_A), Value::of(1),
                          "prepare_vmcs02_rare+0x1", false});
    EXPECT_TRUE(found(t).empty());
}

TEST(Flow, AtAnExitVmcs12MayChangeOnlyByTheRule) {
    Transition t = good_exit();
    t.vmcs12_after[Field::TSC_OFFSET].bits ^= 1;
    EXPECT_EQ(found(t), (std::multiset<std::pair<What, Field>>{{What::ChangedAgainstRule, Field::TSC_OFFSET}}));
    t = good_exit();
    t.vmcs12_after[Field::GUEST_RFLAGS].bits ^= 1;
    EXPECT_EQ(found(t), (std::multiset<std::pair<What, Field>>{{What::ValueDiffers, Field::GUEST_RFLAGS}}));
    t = good_exit();
    forget_evidence(t, Field::GUEST_RFLAGS);
    EXPECT_EQ(found(t), (std::multiset<std::pair<What, Field>>{{What::NotRead, Field::GUEST_RFLAGS}}));
    t = good_exit();
    t.evidence.push_back({Evidence::Op::Vmread, static_cast<std::uint16_t>(Field::GUEST_CS_BASE), Value::of(0),
                          "sync_vmcs02_to_vmcs12_rare+0x1"});
    EXPECT_EQ(found(t), (std::multiset<std::pair<What, Field>>{{What::ReadAgainstRule, Field::GUEST_CS_BASE}}));
}

TEST(Flow, SaysWhereValuesCameFrom) {
    const Flow in = flow_of(good_entry()), out = flow_of(good_exit());
    EXPECT_EQ(in[Field::GUEST_CS_BASE].vmcs02, Origin::Copied);
    EXPECT_EQ(in[Field::EXCEPTION_BITMAP].vmcs02, Origin::Merged);
    EXPECT_EQ(in[Field::HOST_CR3].vmcs02, Origin::L0Own);
    EXPECT_EQ(in[Field::EPT_POINTER].vmcs02, Origin::L0Own);
    EXPECT_EQ(in[Field::VM_EXIT_REASON].vmcs02, Origin::CpuSaved);
    EXPECT_EQ(in[Field::GUEST_CS_BASE].vmcs12, Origin::L1Wrote);
    EXPECT_EQ(out[Field::GUEST_RFLAGS].vmcs12, Origin::SavedFromVmcs02);
    EXPECT_EQ(out[Field::GUEST_CS_BASE].vmcs12, Origin::Lazy);
    EXPECT_EQ(out[Field::GUEST_CR0].vmcs12, Origin::Merged);
    EXPECT_EQ(out[Field::VM_EXIT_REASON].vmcs12, Origin::Synthesised);
    EXPECT_EQ(out[Field::GUEST_CS_BASE].vmcs02, Origin::CpuSaved);
    Transition l1 = good_exit();
    l1.kind = Kind::L1Entry;
    EXPECT_EQ(flow_of(l1)[Field::GUEST_RIP].vmcs12, Origin::InShadow);
}

TEST(Lineage, KnowsSinceWhenAValueIsTheSame) {
    Lineage lineage;
    Transition in = good_entry();
    lineage.take(in);
    Transition later = good_entry();
    later.seq = later.vmcs02_as_of = 20;
    later.context.dirty_vmcs12 = false;
    const Situation clean(later);
    std::erase_if(later.evidence, [&](const Evidence& e) {
        return entry_moves(rule(static_cast<Field>(e.encoding)), clean, later) == false;
    });
    later.vmcs02_before = later.vmcs02_after = in.vmcs02_after;
    const Flow flow = flow_of(later, &lineage);
    EXPECT_EQ(flow[Field::PAGE_FAULT_ERROR_CODE_MASK].vmcs02, Origin::Stale);
    EXPECT_EQ(flow[Field::PAGE_FAULT_ERROR_CODE_MASK].vmcs02_since, 12u);
    EXPECT_EQ(flow[Field::EXCEPTION_BITMAP].vmcs02_since, 20u);
    later.lost_before = 3;
    EXPECT_EQ(flow_of(later, &lineage)[Field::PAGE_FAULT_ERROR_CODE_MASK].vmcs02_since, 0u) << "something lies between";
}

TEST(Lineage, BeginsAnewWithAnotherVmcs12) {
    Lineage lineage;
    lineage.take(good_entry());
    Transition other = good_exit();
    other.context.current_vmptr = 0x9000;
    EXPECT_FALSE(lineage.leads_to(other));
    lineage.take(other);
    EXPECT_EQ(lineage.vmcs02_since(*vmx::index_of(Field::PAGE_FAULT_ERROR_CODE_MASK)), 0u);
}

TEST(Flow, TakesAnyTransition) {
    std::mt19937_64 random(3);
    Lineages lineages;
    for (int i = 0; i < 400; ++i) {
        const Transition t = random_transition(random);
        const Flow flow = flow_of(t, lineages.of(t.vcpu));
        for (const Finding& f : flow.findings) EXPECT_FALSE(finding_text(t, flow, f).empty());
        for (const Field f : {Field::GUEST_CR0, Field::PIN_BASED_VM_EXEC_CONTROL, Field::PLE_GAP}) {
            EXPECT_FALSE(rule_text(t, flow, f).empty());
            EXPECT_FALSE(provenance_text(t, flow, f).empty());
        }
        badges_of(t, flow);
        lineages.take(t);
    }
}

}  // namespace
}  // namespace vmxscope::nested
