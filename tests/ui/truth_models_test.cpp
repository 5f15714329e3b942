// The models behind the panels that say the whole truth of a transition: origins, bits, findings, entry checks, memory.
#include <gtest/gtest.h>

#include <QAbstractItemModelTester>
#include <QSignalSpy>

#include "tests/ui/dump.h"
#include "tests/ui/samples.h"
#include "tests/ui/story_past.h"
#include "ui/detail_model.h"
#include "ui/entry_check_model.h"
#include "ui/findings_model.h"
#include "ui/memory_model.h"
#include "ui/pdptr_model.h"
#include "ui/roles.h"
#include "ui/text.h"
#include "ui/vmcs_model.h"

namespace vmxscope::ui {
namespace {

using test::dump;
using test::row_text;
using Tester = QAbstractItemModelTester;
constexpr auto kFatal = Tester::FailureReportingMode::Fatal;
using enum vmx::Field;

bool has(const QString& text, const char* part) {
    return text.contains(QString::fromUtf8(part));
}

ShownPtr last_of(const std::vector<TransitionPtr>& story) {
    return test::shown_in(story, story.size());
}

vmx::Capabilities anything_goes() {
    vmx::Capabilities caps;
    using enum vmx::CapabilityMsr;
    for (const auto msr : {PinbasedCtls, ProcbasedCtls, ExitCtls, EntryCtls, ProcbasedCtls2})
        caps[msr] = vmx::Value::of(0xffffffff00000000);
    for (const auto msr : {Cr0Fixed0, Cr4Fixed0, Basic}) caps[msr] = vmx::Value::of(0);
    for (const auto msr : {Cr0Fixed1, Cr4Fixed1, Misc, EptVpidCap, Vmfunc}) caps[msr] = vmx::Value::of(~0ULL);
    return caps;
}

struct Vmcs {
    explicit Vmcs(const ShownPtr& shown) : tester(&model, kFatal) {
        filter.setSourceModel(&model);
        model.show(shown);
    }
    QString text(vmx::Field field, int column, int role = Qt::DisplayRole) const {
        return model.index_of(field).siblingAtColumn(column).data(role).toString();
    }
    VmcsModel model;
    VmcsFilter filter;
    Tester tester;
};

TEST(VmcsTruth, each_value_says_where_it_came_from_and_whether_the_rule_computes_it) {
    const Vmcs vmcs(last_of(samples::copied()));
    EXPECT_EQ(vmcs.text(GUEST_PDPTR0, VmcsModel::Rule).toStdString(), "✓");
    EXPECT_EQ(vmcs.text(GUEST_PDPTR0, VmcsModel::CameFrom).toStdString(), "L1 · copied");
    EXPECT_EQ(vmcs.text(PLE_WINDOW, VmcsModel::CameFrom).toStdString(), "– · L0's own");
    EXPECT_TRUE(has(vmcs.text(GUEST_PDPTR0, VmcsModel::CameFrom, Qt::ToolTipRole), "vmcs12: L1 wrote it"));
    EXPECT_TRUE(has(vmcs.text(GUEST_PDPTR0, VmcsModel::Rule, Qt::ToolTipRole), "as predicted"));
}

TEST(VmcsTruth, a_crossing_that_moves_no_fields_claims_no_rule) {
    auto story = samples::skipped();
    story.pop_back();
    const Vmcs vmcs(last_of(story));
    EXPECT_EQ(vmcs.text(GUEST_PDPTR0, VmcsModel::Rule).toStdString(), "");
    EXPECT_FALSE(vmcs.text(GUEST_PDPTR0, VmcsModel::CameFrom).isEmpty());
}

TEST(VmcsTruth, a_finding_is_marked_with_a_sign_said_in_the_tool_tip_and_can_be_filtered) {
    Vmcs vmcs(last_of(samples::disagreeing()));
    EXPECT_TRUE(has(vmcs.text(GUEST_CR3, VmcsModel::Rule), "✗⚑"))
        << vmcs.text(GUEST_CR3, VmcsModel::Rule).toStdString();
    EXPECT_TRUE(has(vmcs.text(GUEST_CR3, VmcsModel::Rule, Qt::ToolTipRole), "0x666000"));
    EXPECT_GT(vmcs.model.with_findings(), 0);
    vmcs.filter.set_only_findings(true);
    EXPECT_EQ(vmcs.filter.matches(), vmcs.model.with_findings());
}

TEST(VmcsTruth, what_says_nothing_is_marked_with_why_and_can_be_hidden) {
    Vmcs vmcs(last_of(samples::copied()));
    ASSERT_GT(vmcs.model.meaningless(), 0);
    const int all = vmcs.filter.matches();
    vmcs.filter.set_hide_meaningless(true);
    EXPECT_EQ(vmcs.filter.matches(), all - vmcs.model.meaningless());
    // Pin-based controls of the sample have no posted interrupts.
    EXPECT_TRUE(vmcs.model.index_of(POSTED_INTR_NV).data(MeaninglessRole).toBool());
    EXPECT_TRUE(vmcs.text(POSTED_INTR_NV, VmcsModel::Meaning).startsWith(QStringLiteral("∅ ")));
    EXPECT_FALSE(vmcs.model.index_of(GUEST_CR3).data(MeaninglessRole).toBool());
}

TEST(VmcsTruth, a_dump_is_one_column_of_values_without_origins) {
    core::Imported imported;
    imported.vmcses.resize(1);
    imported.vmcses[0].image[GUEST_CR3] = vmx::Value::of(0x1000);
    const Vmcs vmcs(shown_dump(QStringLiteral("dmesg.txt"), imported, 0));
    EXPECT_EQ(vmcs.text(GUEST_CR3, VmcsModel::Vmcs02).toStdString(), "0x1000");
    EXPECT_EQ(vmcs.text(GUEST_CR3, VmcsModel::CameFrom).toStdString(), "");
    EXPECT_EQ(vmcs.text(GUEST_CR3, VmcsModel::Rule).toStdString(), "");
    EXPECT_EQ(vmcs.model.headerData(VmcsModel::Vmcs02, Qt::Horizontal, Qt::DisplayRole).toString(),
              u"vmcs01 or vmcs02");
    EXPECT_EQ(vmcs.model.present(), 1) << "what the dump does not say is not there";
    EXPECT_EQ(vmcs.model.changed(), 0);
}

TEST(DetailModel, bits_of_both_vmcss_stand_in_one_row) {
    DetailModel model;
    const Tester tester(&model, kFatal);
    model.show(last_of(samples::copied()), PIN_BASED_VM_EXEC_CONTROL, nullptr);
    ASSERT_GT(model.rowCount(), 0);
    bool found = false;
    for (int row = 0; row < model.rowCount(); ++row) {
        const QModelIndex in12 = model.index(row, DetailModel::Vmcs12);
        found |= in12.data(DiffersRole).toBool();
        EXPECT_FALSE(in12.data().toString().isEmpty()) << row_text(model, row);
    }
    EXPECT_TRUE(found) << dump(model);
    model.show(last_of(samples::copied()), GUEST_RIP, nullptr);
    EXPECT_EQ(model.rowCount(), 0) << "a plain number has no bits to tell";
}

TEST(PartsModel, a_merge_is_shown_with_its_parts_and_what_came_of_it) {
    PartsModel model;
    const Tester tester(&model, kFatal);
    model.show(last_of(samples::copied()), EXCEPTION_BITMAP);
    ASSERT_GE(model.rowCount(), 3) << dump(model);
    EXPECT_TRUE(has(model.index(model.rowCount() - 2, 0).data().toString(), "= by the rule"));
    EXPECT_EQ(row_text(model, model.rowCount() - 1).substr(0, 25), "vmcs02 has | 0x60042 | #D") << dump(model);
    model.show(last_of(samples::copied()), GUEST_RIP);
    EXPECT_EQ(model.rowCount(), 0) << "nothing is merged";
}

TEST(FindingsModel, counts_the_session_and_finds_the_place_of_late_ones) {
    FindingsModel model;
    const Tester tester(&model, kFatal);
    const auto story = samples::disagreeing();
    const auto good = samples::copied();
    QSignalSpy counts(&model, &FindingsModel::counts_changed);
    model.add({story.back()});
    const int rows = model.rowCount();
    ASSERT_GT(rows, 0);
    model.add({story.back(), good.back()});
    EXPECT_EQ(model.rowCount(), rows) << "seen before, and without findings";
    EXPECT_EQ(model.examined(), 2U);
    EXPECT_EQ(counts.count(), 2);
    bool cr3 = false;
    for (int row = 0; row < rows; ++row) {
        EXPECT_EQ(model.transition_at(row), story.back());
        cr3 |= model.finding_at(row).field == GUEST_CR3;
        EXPECT_FALSE(model.index(row, FindingsModel::Sentence).data().toString().isEmpty());
    }
    EXPECT_TRUE(cr3) << dump(model);
    model.add({}, 40);
    EXPECT_EQ(model.examined(), 42U) << "those without findings need not come";
    model.clear();
    EXPECT_EQ(model.found(), 0U);
}

struct Checks {
    Checks() : tester(&model, kFatal), edits_tester(&edits, kFatal) {
        model.set_vmcs(samples::refused().back()->vmcs12_before);
        model.set_capabilities(anything_goes());
    }
    std::string listed() const { return dump(model); }
    EntryCheckModel model;
    EditsModel edits{model};
    Tester tester, edits_tester;
};

TEST(EntryChecks, the_first_failing_rule_is_named_with_section_values_and_answer) {
    const Checks checks;
    ASSERT_GT(checks.model.failed(), 0U) << checks.model.verdict().toStdString();
    EXPECT_TRUE(has(checks.model.verdict(), "VM-entry fails: ")) << checks.model.verdict().toStdString();
    EXPECT_EQ(checks.model.rowCount(), static_cast<int>(checks.model.failed()));
    EXPECT_NE(checks.listed().find("(first)"), std::string::npos) << checks.listed();
    EXPECT_NE(checks.listed().find("guest.cr0"), std::string::npos) << checks.listed();
    const QModelIndex first = checks.model.index(0, 0);
    EXPECT_TRUE(has(first.data(DetailRole).toString(), " → VM")) << first.data(DetailRole).toString().toStdString();
    EXPECT_TRUE(first.siblingAtColumn(EntryCheckModel::Section).data().toString().startsWith(u"2"));
}

TEST(EntryChecks, an_edit_is_marked_rechecks_and_can_be_taken_back) {
    Checks checks;
    const std::size_t before = checks.model.failed();
    QSignalSpy rechecked(&checks.model, &EntryCheckModel::rechecked);
    checks.model.edit(GUEST_CR0, 0x80000031);
    EXPECT_EQ(rechecked.count(), 1);
    EXPECT_LT(checks.model.failed(), before);
    EXPECT_EQ(row_text(checks.edits, 0, {}, EditedRole), "GUEST_CR0 | 0x80000030 | ~0x80000031");
    checks.model.edit(GUEST_CR0, 0x80000030);
    EXPECT_EQ(checks.edits.rowCount(), 0) << "what was read is no edit";
    checks.model.edit(GUEST_CR4, 0);
    checks.model.reset_edits();
    EXPECT_EQ(checks.edits.rowCount(), 0);
    EXPECT_EQ(checks.model.failed(), before);
}

TEST(EntryChecks, undecided_rules_say_what_is_missing) {
    Checks checks;
    vmx::VmcsImage image = samples::refused().back()->vmcs12_before;
    image[GUEST_CR0] = {};
    checks.model.set_vmcs(image);
    ASSERT_GT(checks.model.undecided(), 0U);
    checks.model.set_show(EntryCheckModel::Show::Undecided);
    bool said = false;
    for (int row = 0; row < checks.model.rowCount(); ++row)
        said |= has(checks.model.index(row, 0).data(DetailRole).toString(), "GUEST_CR0 was not read");
    EXPECT_TRUE(said);
    checks.model.set_show(EntryCheckModel::Show::All);
    EXPECT_EQ(checks.model.rowCount(), static_cast<int>(vmx::entry_rules().size()));
}

TEST(EntryChecks, without_capabilities_or_a_vmcs_nothing_is_claimed) {
    EntryCheckModel model;
    EXPECT_EQ(model.verdict_mark(), Mark::Unknown);
    model.set_vmcs(vmx::VmcsImage{});
    EXPECT_TRUE(has(model.verdict(), "capabilities are not known"));
    EXPECT_EQ(model.rowCount(), 0);
}

TEST(EntryChecks, a_value_must_be_a_number_that_fits_the_field) {
    EXPECT_EQ(parse_value(QStringLiteral(" 0x10 "), GUEST_CR0), 0x10U);
    EXPECT_EQ(parse_value(QStringLiteral("16"), GUEST_CR0), 16U);
    EXPECT_FALSE(parse_value(QStringLiteral("0x10000"), GUEST_CS_SELECTOR));
    EXPECT_FALSE(parse_value(QStringLiteral("CR0"), GUEST_CR0));
    EXPECT_FALSE(parse_value({}, GUEST_CR0));
}

TEST(HexModel, eight_bytes_a_row_as_numbers_and_as_text) {
    HexModel model;
    const Tester tester(&model, kFatal);
    std::vector<std::byte> bytes(10, std::byte{0x41});
    bytes[1] = std::byte{0};
    model.show(0x1000, bytes);
    EXPECT_EQ(dump(model),
              "0x1000 | 41 00 41 41 41 41 41 41 | A.AAAAAA\n"
              "0x1008 | 41 41 | AA\n");
}

TEST(WalkModel, both_walks_stand_level_by_level_with_where_each_ends) {
    WalkAnswer answer;
    answer.ept12 = vmx::Walk{{{4, 0x10a000, 0x10b007}, {3, 0x10b000, 0}}, {}, 0, vmx::WalkFault::NotPresent};
    answer.ept02 = vmx::Walk{
        {{4, 0x1000, 0x2007}, {3, 0x2000, 0x3007}, {2, 0x3000, 0xb7}}, 0x102000, 0x200000, vmx::WalkFault::None};
    WalkModel model;
    const Tester tester(&model, kFatal);
    model.show(answer);
    EXPECT_EQ(dump(model),
              "PML4E | 0x10b007 | 0x2007\n"
              "PDPTE | 0x0 | 0x3007\n"
              "PDE | – | 0xb7\n"
              "ends | not present | 0x102000\n");
    EXPECT_TRUE(has(model.index(0, WalkModel::Ept12).data(DetailRole).toString(), "table at 0x10b000"));
    model.clear();
    EXPECT_EQ(model.rowCount(), 0);
}

TEST(PdptrModel, what_is_not_as_in_memory_is_called_stale) {
    const auto story = samples::skipped();
    PdptrModel model;
    const Tester tester(&model, kFatal);
    model.show(story.back(), nested::pdptr_verdict(*story.back()));
    EXPECT_EQ(model.stale(), 0) << "nothing was read from memory";
    model.set_memory({0x103001, 0x104001, 0x105001, 0x999001});
    EXPECT_EQ(model.stale(), 2);
    EXPECT_TRUE(has(model.index(3, PdptrModel::Vmcs02).data(DetailRole).toString(), "stale"));
    EXPECT_FALSE(has(model.index(0, PdptrModel::Vmcs02).data(DetailRole).toString(), "stale"));
    EXPECT_EQ(model.index(3, PdptrModel::Memory).data().toString().toStdString(), "0x999001");
}

}  // namespace
}  // namespace vmxscope::ui
