// The verdict by evidence: what the VMREADs and VMWRITEs seen, the values and vmcs02's own bits say.
#include <gtest/gtest.h>

#include "nested/pdptr.h"
#include "nested/pdptr_evidence.h"
#include "vmx/bits.h"
#include "vmx/pdpte.h"

namespace vmxscope::nested {
namespace {

using vmx::Field;
using vmx::kPdptrFields;
using vmx::Value;

constexpr std::string_view kEarly = "prepare_vmcs02_rare.constprop.0+0x4a0";
constexpr std::string_view kLate = "nested_vmx_enter_non_root_mode+0xef0";
constexpr std::string_view kFlush = "vmx_ept_load_pdptrs+0x4d";

void set_pdptrs(vmx::VmcsImage& image, std::uint64_t first) {
    for (std::size_t i = 0; i < 4; ++i) image[kPdptrFields[i]] = Value::of(first + 0x1000 * i);
}

/// The four accesses of one place in KVM's text.
void add(Transition& t, Evidence::Op op, std::string_view at, std::uint64_t first) {
    for (std::size_t i = 0; i < 4; ++i)
        t.evidence.push_back(
            {op, static_cast<std::uint16_t>(kPdptrFields[i]), Value::of(first + 0x1000 * i), std::string(at)});
}
void add_writes(Transition& t, std::string_view at, std::uint64_t first) {
    add(t, Evidence::Op::Vmwrite, at, first);
}

/// vmcs02 as read at this entry: EPT on, L2 in PAE paging.
Transition pae_entry(std::uint64_t first = 0x103001) {
    Transition t;
    t.seq = t.vmcs02_as_of = 9;
    t.kind = Kind::NestedEntry;
    t.context.from_vmentry = true;
    t.vmcs02_after[Field::CPU_BASED_VM_EXEC_CONTROL] = Value::of(vmx::kCpuActivateSecondary);
    t.vmcs02_after[Field::SECONDARY_VM_EXEC_CONTROL] = Value::of(vmx::kSecondaryEnableEpt);
    t.vmcs02_after[Field::GUEST_CR0] = Value::of(vmx::kCr0Pg | 1);
    t.vmcs02_after[Field::GUEST_CR4] = Value::of(vmx::kCr4Pae);
    t.vmcs02_after[Field::VM_ENTRY_CONTROLS] = Value::of(0);
    set_pdptrs(t.vmcs02_after, first);
    return t;
}

Did seen(const Transition& t) {
    return pdptr_verdict(t)->by_evidence;
}

TEST(PdptrEvidence, EarlyAndLateWritesThatTheProcessorUsesAreACopy) {
    Transition t = pae_entry();
    add_writes(t, kEarly, 0x103001);
    add_writes(t, kLate, 0x103001);
    EXPECT_EQ(seen(t), Did::Copied);
    const Observed o = observe_pdptrs(t, Direction::Entry);
    EXPECT_TRUE(o.early && o.late && !o.flush);
    EXPECT_EQ(o.hw_uses, true);
}

TEST(PdptrEvidence, TheFirstKernelsNameOfTheEarlyCopyIsKnown) {
    Transition t = pae_entry();
    add_writes(t, "prepare_vmcs02_full+0x10", 0x103001);
    EXPECT_TRUE(observe_pdptrs(t, Direction::Entry).early);
    EXPECT_EQ(seen(t), Did::Copied);
}

TEST(PdptrEvidence, WritesThatTheProcessorIgnoresAreCopiedUnused) {
    const std::pair<Field, std::uint64_t> breaks[] = {
        {Field::CPU_BASED_VM_EXEC_CONTROL, 0},
        {Field::SECONDARY_VM_EXEC_CONTROL, 0},
        {Field::GUEST_CR0, 1},
        {Field::GUEST_CR4, 0},
        {Field::VM_ENTRY_CONTROLS, vmx::kEntryIa32eMode},
    };
    for (const auto& [field, bits] : breaks) {
        Transition t = pae_entry();
        t.vmcs02_after[field] = Value::of(bits);
        add_writes(t, kEarly, 0x103001);
        EXPECT_EQ(seen(t), Did::CopiedUnused) << vmx::name_of(field);
        EXPECT_EQ(pdptr_verdict(t)->used, false);
    }
}

TEST(PdptrEvidence, WithoutVmcs02sControlsACopyCannotBeToldFromAnUnusedOne) {
    Transition t = pae_entry();
    t.vmcs02_after[Field::GUEST_CR4] = {};
    add_writes(t, kEarly, 0x103001);
    EXPECT_EQ(seen(t), Did::Unknown);
    EXPECT_FALSE(pdptr_verdict(t)->evidence_gap.empty());
}

TEST(PdptrEvidence, AnImageOfAnEarlierTransitionSaysNothingAboutThisEntry) {
    Transition t = pae_entry();
    t.vmcs02_as_of = 8;
    add_writes(t, kEarly, 0x103001);
    EXPECT_EQ(seen(t), Did::Unknown);
}

TEST(PdptrEvidence, TheFlushOfTheCacheIsFromMemoryOverAnyEarlyCopy) {
    Transition t = pae_entry(0x7001);
    add_writes(t, kEarly, 0);
    add_writes(t, kFlush, 0x7001);
    EXPECT_EQ(seen(t), Did::FromMemory);
    t.evidence.erase(t.evidence.begin(), t.evidence.begin() + 4);
    EXPECT_EQ(seen(t), Did::FromMemory);
    for (Evidence& e : t.evidence) e.at = "ept_load_pdptrs+0x33";
    EXPECT_EQ(seen(t), Did::FromMemory);
}

TEST(PdptrEvidence, TheFlushOfWhatUserspaceSetIsFromUserspace) {
    Transition t = pae_entry(0x7001);
    t.context.from_vmentry = false;
    t.context.pdptrs_from_userspace = true;
    add_writes(t, kFlush, 0x7001);
    EXPECT_EQ(seen(t), Did::FromUserspace);
}

TEST(PdptrEvidence, NoWriteIsSkipped) {
    Transition t = pae_entry();
    EXPECT_EQ(seen(t), Did::Skipped);
    set_pdptrs(t.vmcs02_before, 0x103001);
    EXPECT_EQ(seen(t), Did::Skipped);
}

TEST(PdptrEvidence, AChangeThatNobodyWroteShowsThatSomethingWentUnseen) {
    Transition t = pae_entry();
    set_pdptrs(t.vmcs02_before, 0x999001);
    EXPECT_EQ(seen(t), Did::Unknown);
    EXPECT_NE(pdptr_verdict(t)->evidence_gap.find("GUEST_PDPTR0"), std::string::npos);
}

TEST(PdptrEvidence, WritesOfFewerThanFourFieldsShowThatSomethingWentUnseen) {
    Transition t = pae_entry();
    add_writes(t, kEarly, 0x103001);
    t.evidence.pop_back();
    EXPECT_EQ(seen(t), Did::Unknown);
}

TEST(PdptrEvidence, ValuesThatWereNotWrittenShowThatSomethingWentUnseen) {
    Transition t = pae_entry(0x103001);
    add_writes(t, kEarly, 0x555001);
    EXPECT_EQ(seen(t), Did::Unknown);
}

TEST(PdptrEvidence, OtherFieldsAndReadsAreNoWrites) {
    Transition t = pae_entry();
    t.evidence.push_back(
        {Evidence::Op::Vmwrite, static_cast<std::uint16_t>(Field::GUEST_CR3), Value::of(1), std::string(kLate)});
    add(t, Evidence::Op::Vmread, "ept_save_pdptrs+0x20", 0x103001);
    EXPECT_EQ(seen(t), Did::Skipped);
}

TEST(PdptrEvidence, LostRecordsAndMissingProbesForbidConclusions) {
    Transition t = pae_entry();
    t.lost_before = 3;
    EXPECT_EQ(seen(t), Did::Unknown);
    t.lost_before = 0;
    t.notes = {"Evidence is incomplete: vmx_ept_load_pdptrs could not be probed."};
    EXPECT_EQ(seen(t), Did::Unknown);
    t.notes = {"vmcs02 was not current."};
    EXPECT_EQ(seen(t), Did::Skipped);
}

Transition pae_exit() {
    Transition t;
    t.seq = t.vmcs02_as_of = 10;
    t.kind = Kind::NestedExit;
    set_pdptrs(t.vmcs12_before, 0);
    set_pdptrs(t.vmcs12_after, 0x103001);
    set_pdptrs(t.vmcs02_after, 0x103001);
    return t;
}

TEST(PdptrEvidence, ReadsWhereTheExitSavesGuestStateAreACopy) {
    for (const char* at : {"sync_vmcs02_to_vmcs12+0x81d", "sync_vmcs12+0x5", "nested_vmx_vmexit+0x300",
                           "__nested_vmx_vmexit+0x300", "prepare_vmcs12.isra.0+0x9"}) {
        Transition t = pae_exit();
        add(t, Evidence::Op::Vmread, at, 0x103001);
        EXPECT_EQ(seen(t), Did::Copied) << at;
    }
}

TEST(PdptrEvidence, ReadsElsewhereAreNoCopy) {
    Transition t = pae_exit();
    t.vmcs12_after = t.vmcs12_before;
    add(t, Evidence::Op::Vmread, "ept_save_pdptrs+0x20", 0x103001);
    add_writes(t, kFlush, 0x103001);
    EXPECT_EQ(seen(t), Did::Skipped);
}

TEST(PdptrEvidence, AnExitThatChangesVmcs12UnseenIsUnknown) {
    EXPECT_EQ(seen(pae_exit()), Did::Unknown);
}

TEST(PdptrEvidence, Vmcs12MustHoldWhatWasRead) {
    Transition t = pae_exit();
    add(t, Evidence::Op::Vmread, "sync_vmcs02_to_vmcs12+0x81d", 0x555001);
    EXPECT_EQ(seen(t), Did::Unknown);
}

// ---- Rule and evidence together

void set_context(Transition& t, bool e, bool n, bool p, bool d) {
    t.context.enable_ept = e;
    t.context.nested_ept = n;
    t.context.pae = p;
    t.context.dirty_vmcs12 = d;
    t.context.evmcs = false;
    t.context.pdptrs_from_userspace = false;
    t.context.last_hw_exit_pae = true;
    t.context.vmx_fail = false;
}

TEST(PdptrVerdict, RuleAndEvidenceAgreeOnADirtyEntry) {
    Transition t = pae_entry();
    set_context(t, true, true, true, true);
    add_writes(t, kEarly, 0x103001);
    add_writes(t, kLate, 0x103001);
    const auto v = pdptr_verdict(t);
    EXPECT_EQ(v->did, Did::Copied);
    EXPECT_EQ(v->by_rule, Did::Copied);
    EXPECT_TRUE(v->agree);
    EXPECT_EQ(v->vmcs02, Is::Defined);
    EXPECT_EQ(v->row, "COPIED");
}

TEST(PdptrVerdict, DisagreementIsAFindingAndTheEvidencePrevails) {
    Transition t = pae_entry();
    set_context(t, true, true, true, false);
    t.context.last_hw_exit_pae = false;
    add_writes(t, kFlush, 0x103001);
    const auto v = pdptr_verdict(t);
    EXPECT_EQ(v->by_rule, Did::Skipped);
    EXPECT_EQ(v->by_evidence, Did::FromMemory);
    EXPECT_FALSE(v->agree);
    EXPECT_EQ(v->did, Did::FromMemory);
    EXPECT_EQ(v->vmcs02, Is::Defined) << "what was written is not what the last exit left undefined";
    EXPECT_FALSE(v->alarm);
    EXPECT_NE(v->reason.find("from-memory"), std::string::npos) << v->reason;
}

TEST(PdptrVerdict, EvidenceStandsWhereTheRuleCannotTell) {
    Transition t = pae_entry();
    add_writes(t, kEarly, 0x103001);
    const auto v = pdptr_verdict(t);
    EXPECT_EQ(v->by_rule, Did::Unknown);
    EXPECT_EQ(v->did, Did::Copied);
    EXPECT_TRUE(v->agree);
}

TEST(PdptrVerdict, AnExitThatShouldHaveCopiedAndDidNotLeavesL1Guessing) {
    Transition t = pae_exit();
    set_context(t, true, true, true, false);
    t.vmcs12_after = t.vmcs12_before;
    const auto v = pdptr_verdict(t);
    EXPECT_FALSE(v->agree);
    EXPECT_EQ(v->did, Did::Skipped);
    EXPECT_EQ(v->vmcs12, Is::Unknown);
}

TEST(PdptrVerdict, ANotPaeEntrySaysWhyItIsNotPae) {
    Transition t = pae_entry();
    t.vmcs02_after[Field::VM_ENTRY_CONTROLS] = Value::of(vmx::kEntryIa32eMode);
    set_context(t, true, true, false, true);
    add_writes(t, kEarly, 0x103001);
    const auto v = pdptr_verdict(t);
    EXPECT_EQ(v->row, "COPIED_UNUSED");
    EXPECT_NE(v->reason.find("EFER.LMA=1"), std::string::npos) << v->reason;
}

TEST(PdptrVerdict, ARefusedEntryIsJudgedByEvidenceAlone) {
    Transition t = pae_entry();
    t.kind = Kind::NestedEntryFailed;
    t.status = 2;
    set_context(t, true, true, true, true);
    auto v = pdptr_verdict(t);
    EXPECT_EQ(v->row, "ENTRY_FAILED");
    EXPECT_EQ(v->did, Did::Skipped);
    EXPECT_EQ(v->by_rule, Did::Unknown);
    EXPECT_EQ(v->used, false);
    EXPECT_FALSE(v->alarm);
    add_writes(t, kEarly, 0x103001);
    v = pdptr_verdict(t);
    EXPECT_EQ(v->did, Did::CopiedUnused);
    EXPECT_NE(v->reason.find("status 2"), std::string::npos);
}

}  // namespace
}  // namespace vmxscope::nested
