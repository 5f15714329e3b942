// What each model says for the stops that the tool is about. Models know no widgets: this program links none.
#include <gtest/gtest.h>

#include <QAbstractItemModelTester>
#include <QCoreApplication>
#include <QSignalSpy>

#include "tests/ui/dump.h"
#include "tests/ui/samples.h"
#include "tests/ui/story_past.h"
#include "ui/conditions_model.h"
#include "ui/pdptr_model.h"
#include "ui/roles.h"
#include "ui/text.h"
#include "ui/verdict_text.h"
#include "ui/vmcs_model.h"
#include "vmx/pdpte.h"

namespace vmxscope::ui {
namespace {

using test::dump;
using test::row_text;
using Tester = QAbstractItemModelTester;
constexpr auto kFatal = Tester::FailureReportingMode::Fatal;

/// A list with the story in it, checked all the while.
struct Seen {
    explicit Seen(const std::vector<TransitionPtr>& story) : past(story), tester(&list, kFatal) {
        list.reset(past.rows, false);
        list.take(past.digests);
    }
    int last() const { return list.rowCount() - 1; }
    test::StoryPast past;
    TransitionListModel list;
    Tester tester;
};

QModelIndex field(const QAbstractItemModel& model, const QString& name) {
    for (int g = 0; g < model.rowCount(); ++g) {
        const QModelIndex group = model.index(g, 0);
        for (int row = 0; row < model.rowCount(group); ++row)
            if (const QModelIndex at = model.index(row, 0, group); at.data().toString() == name) return at;
    }
    return {};
}

struct Panel {
    explicit Panel(const std::vector<TransitionPtr>& story)
        : pdptr_tester(&pdptrs, kFatal), conditions_tester(&conditions, kFatal), evidence_tester(&evidence, kFatal) {
        verdict = nested::pdptr_verdict(*story.back());
        pdptrs.show(story.back(), verdict);
        conditions.show(verdict->conditions);
        evidence.show(story.back(), vmx::kPdptrFields);
    }
    std::optional<nested::Verdict> verdict;
    PdptrModel pdptrs;
    ConditionsModel conditions;
    EvidenceModel evidence;
    Tester pdptr_tester, conditions_tester, evidence_tester;
};

TEST(PdptrModel, copied_shows_the_same_values_defined_in_both) {
    const Panel panel(samples::copied());
    EXPECT_EQ(verdict_line(*panel.verdict).toStdString(), "copied; vmcs12 defined, vmcs02 defined");
    EXPECT_EQ(dump(panel.pdptrs, UndefinedRole),
              "0x103001 | 0x103001 | not read | not read\n"
              "0x104001 | 0x104001 | not read | not read\n"
              "0x105001 | 0x105001 | not read | not read\n"
              "0x106001 | 0x106001 | not read | not read\n");
    const QModelIndex cell = panel.pdptrs.index(1, PdptrModel::Vmcs02);
    EXPECT_EQ(cell.data(DetailRole).toString().toStdString(), "page directory at 0x104000");
    EXPECT_EQ(panel.pdptrs.index(0, PdptrModel::Cached).data(StateRole).toInt(), static_cast<int>(vmx::Known::NotRead));
    EXPECT_EQ(panel.evidence.rowCount(), 8);
    EXPECT_EQ(row_text(panel.evidence, 0),
              "VMWRITE | vmcs02 | GUEST_PDPTR0 | 0x103001 | prepare_vmcs02_rare.constprop.0+0x4a0");
    EXPECT_EQ(row_text(panel.evidence, 7),
              "VMWRITE | vmcs02 | GUEST_PDPTR3 | 0x106001 | nested_vmx_enter_non_root_mode+0xef0");
}

TEST(PdptrModel, skipped_after_a_pae_exit_keeps_defined_values) {
    const Panel panel(samples::skipped());
    EXPECT_EQ(verdict_line(*panel.verdict).toStdString(), "skipped; vmcs12 defined, vmcs02 defined");
    EXPECT_FALSE(panel.verdict->alarm);
    EXPECT_EQ(dump(panel.pdptrs, UndefinedRole).find('~'), std::string::npos);
    EXPECT_EQ(panel.evidence.rowCount(), 0);
}

TEST(PdptrModel, undefined_and_used_marks_exactly_the_undefined_cells_and_alarms) {
    const Panel panel(samples::undefined());
    ASSERT_TRUE(panel.verdict->alarm);
    EXPECT_FALSE(alarm_text(*panel.verdict).isEmpty());
    for (int row = 0; row < 4; ++row) {
        const auto cell = [&](int column) { return panel.pdptrs.index(row, column); };
        EXPECT_TRUE(cell(PdptrModel::Vmcs02).data(UndefinedRole).toBool());
        EXPECT_EQ(cell(PdptrModel::Vmcs02).data(DetailRole).toString().toStdString(), "undefined");
        EXPECT_EQ(cell(PdptrModel::Vmcs12).data(UndefinedRole).toBool(),
                  panel.verdict->vmcs12 == nested::Is::Undefined);
        EXPECT_FALSE(cell(PdptrModel::Cached).data(UndefinedRole).toBool());
    }
}

TEST(PdptrModel, from_memory_shows_vmcs12_undefined_beside_what_was_loaded) {
    const Panel panel(samples::from_memory());
    EXPECT_EQ(verdict_line(*panel.verdict).toStdString(), "from-memory; vmcs12 undefined, vmcs02 defined");
    EXPECT_EQ(row_text(panel.pdptrs, 0, {}, UndefinedRole), "~0x0 | 0x104001 | 0x104001 | not read");
    EXPECT_EQ(row_text(panel.pdptrs, 3, {}, UndefinedRole), "~0x0 | 0x107001 | 0x107001 | not read");
}

TEST(PdptrModel, a_transition_without_values_says_not_read_and_never_zero) {
    auto bare = std::make_shared<nested::Transition>();
    bare->kind = nested::Kind::NestedExit;
    PdptrModel model;
    model.show(bare, std::nullopt);
    EXPECT_EQ(row_text(model, 0), "not read | not read | not read | not read");
}

TEST(ConditionsModel, each_condition_has_a_value_a_word_for_whether_it_held_and_a_meaning) {
    const Panel panel(samples::skipped());
    ASSERT_GT(panel.conditions.rowCount(), 0);
    bool one_did_not_hold = false;
    for (int row = 0; row < panel.conditions.rowCount(); ++row) {
        for (int column = 0; column < ConditionsModel::kColumnCount; ++column)
            EXPECT_FALSE(panel.conditions.index(row, column).data().toString().isEmpty()) << row << "," << column;
        one_did_not_hold |= panel.conditions.index(row, ConditionsModel::Held).data().toString() == u"✗ no";
    }
    EXPECT_TRUE(one_did_not_hold) << dump(panel.conditions);
}

TEST(TransitionList, one_row_a_transition_with_its_verdict_in_a_word) {
    const Seen seen(samples::skipped());
    EXPECT_EQ(dump(seen.list),
              "1 | 0 | l1-exit | L1 → L0 |  | VMLAUNCH\n"
              "2 | 0 | nested-entry | L1 → L2 | ● copied | –\n"
              "3 | 0 | l2-entry | L0 → L2 |  | –\n"
              "4 | 0 | l2-exit | L2 → L0 |  | CPUID\n"
              "5 | 0 | nested-exit | L2 → L1 | ● copied | CPUID\n"
              "6 | 0 | l1-entry | L0 → L1 |  | –\n"
              "7 | 0 | l1-exit | L1 → L0 |  | VMRESUME\n"
              "8 | 0 | nested-entry | L1 → L2 | ○ skipped | –\n");
}

TEST(TransitionList, undefined_and_alarm_show_in_the_list) {
    const Seen alarm(samples::undefined());
    EXPECT_EQ(alarm.list.index(alarm.last(), TransitionListModel::Pdptr).data().toString().toStdString(), "○⚠ skipped");
    const Seen memory(samples::from_memory());
    EXPECT_EQ(memory.list.index(memory.last(), TransitionListModel::Pdptr).data().toString().toStdString(),
              "◆▨ from-memory");
}

TEST(TransitionList, rows_are_asked_for_where_the_list_is_looked_at_and_nowhere_else) {
    TransitionListModel list;
    Runs all;
    all.add(1, 1'000'000);
    list.reset(all, false);
    QSignalSpy wanted(&list, &TransitionListModel::wanted);
    EXPECT_EQ(list.index(500'000, TransitionListModel::Kind).data().toString(), u"…");
    EXPECT_EQ(list.index(500'000, TransitionListModel::Seq).data().toString(), u"500001") << "known without asking";
    ASSERT_TRUE(wanted.wait());
    list.index(500'001, TransitionListModel::Kind).data();
    QCoreApplication::processEvents();
    ASSERT_EQ(wanted.count(), 1) << "asked for once";
    const auto asked = wanted[0][0].value<Runs>();
    EXPECT_EQ(asked.count(), static_cast<std::uint64_t>(TransitionListModel::kPage));
    EXPECT_TRUE(asked.row_of(500'001));
    core::trace::Digest d;
    d.seq = 500'001;
    d.kind = nested::Kind::L2Exit;
    list.take({d});
    EXPECT_EQ(list.index(500'000, TransitionListModel::Kind).data().toString(), u"l2-exit");
}

TEST(TransitionList, gaps_are_told_where_nothing_is_filtered_and_the_oldest_go) {
    const auto story = samples::skipped();
    test::StoryPast past({story[0], story[3], story[4]});
    TransitionListModel list;
    const Tester tester(&list, kFatal);
    list.reset(past.rows, false);
    list.take(past.digests);
    EXPECT_TRUE(list.index(1, 0).data(GapRole).toBool());
    EXPECT_TRUE(list.index(1, 0).data(Qt::ToolTipRole).toString().contains(QStringLiteral("Not kept: 2 transitions")));
    EXPECT_FALSE(list.index(2, 0).data(GapRole).toBool());
    EXPECT_EQ(list.row_of(2), -1);
    EXPECT_EQ(list.neighbour(2, +1), 1);
    EXPECT_EQ(list.neighbour(2, -1), 0);
    Runs more;
    more.add(6, 2);
    list.append(more);
    EXPECT_EQ(list.rowCount(), 5);
    list.drop_before(5);
    EXPECT_EQ(list.rowCount(), 3);
    EXPECT_EQ(list.seq_at(0), 5U);
    list.reset(past.rows, true);
    list.take(past.digests);
    EXPECT_FALSE(list.index(1, 0).data(GapRole).toBool()) << "what a filter leaves out is not missing";
}

TEST(Runs, rows_and_numbers_are_each_others_inverse_over_gaps) {
    Runs runs;
    runs.add(5);
    runs.add(6, 10);
    runs.add(100, 3);
    EXPECT_EQ(runs.runs().size(), 2U);
    ASSERT_EQ(runs.count(), 14U);
    for (std::uint64_t row = 0; row < runs.count(); ++row) EXPECT_EQ(runs.row_of(runs.at(row)), row);
    EXPECT_FALSE(runs.row_of(50));
    EXPECT_FALSE(runs.row_of(103));
    EXPECT_EQ(runs.rows_before(50), 11U);
    EXPECT_EQ(runs.slice(10, 3).runs().size(), 2U);
    EXPECT_EQ(runs.slice(10, 3).last(), 101U);
    EXPECT_EQ(runs.slice(13, 99).count(), 1U);
    EXPECT_EQ(runs.drop_before(10), 5U);
    EXPECT_EQ(runs.first(), 10U);
    EXPECT_EQ(runs.row_of(100), 6U);
    EXPECT_EQ(runs.drop_before(1'000), 9U);
    EXPECT_TRUE(runs.empty());
}

TEST(Shown, a_transition_without_verdict_borrows_the_newest_nested_one_of_its_vcpu) {
    const auto story = samples::skipped();
    auto other = std::make_shared<nested::Transition>(*story[4]);  // a nested exit, of another vCPU
    other->vcpu = 1;
    other->seq = 6;
    test::StoryPast past({story[0], story[1], story[2], story[3], story[4], other, story[6]});
    EXPECT_EQ(past.shown(1)->lender, nullptr);
    const ShownPtr shown = past.shown(7);
    EXPECT_EQ(shown->lender->seq, 5U);
    EXPECT_EQ(shown->previous->seq, 5U);
    EXPECT_EQ(shown->missing, 0U);
    EXPECT_EQ(past.shown(2)->lender->seq, 2U) << "backward, too";
    EXPECT_EQ(past.shown(9), nullptr);
    test::StoryPast gap({story[0], story[1], story[6]});
    EXPECT_EQ(gap.shown(7)->lender->seq, 2U);
    EXPECT_EQ(gap.shown(7)->missing, 4U);
}

struct Vmcs {
    explicit Vmcs(const std::vector<TransitionPtr>& story) : tester(&model, kFatal), seen(story) {
        filter.setSourceModel(&model);
        show(seen.last());
    }
    void show(int row) { model.show(seen.past.shown(seen.list.seq_at(row))); }
    /// Name, values and meaning.
    std::string row(const char* name) const {
        const QModelIndex at = field(model, QString::fromLatin1(name));
        QStringList cells;
        for (const int column : {VmcsModel::Name, VmcsModel::Vmcs12, VmcsModel::Vmcs02, VmcsModel::Meaning})
            cells << at.siblingAtColumn(column).data().toString();
        return cells.join(QStringLiteral(" | ")).toStdString();
    }
    QModelIndex cell(const char* name, int column) const {
        return field(model, QString::fromLatin1(name)).siblingAtColumn(column);
    }
    VmcsModel model;
    VmcsFilter filter;
    Tester tester;
    Seen seen;
};

TEST(VmcsModel, has_every_field_once_in_the_sdms_groups) {
    const Vmcs vmcs(samples::copied());
    std::string groups;
    int fields = 0;
    for (int g = 0; g < vmcs.model.rowCount(); ++g) {
        groups += vmcs.model.index(g, 0).data().toString().toStdString() + "\n";
        fields += vmcs.model.rowCount(vmcs.model.index(g, 0));
    }
    EXPECT_EQ(fields, static_cast<int>(vmx::kFieldCount));
    std::string expected;
    for (int g = 0; g < 6; ++g) expected += std::string(vmx::name_of(static_cast<vmx::Group>(g))) + "\n";
    EXPECT_EQ(groups, expected);
}

TEST(VmcsModel, a_copied_entry_marks_the_pdptrs_changed_in_vmcs02_and_equal) {
    const Vmcs vmcs(samples::copied());
    EXPECT_EQ(vmcs.row("GUEST_PDPTR0"), "GUEST_PDPTR0 | 0x103001 | 0x103001 | page directory at 0x103000");
    EXPECT_TRUE(vmcs.cell("GUEST_PDPTR0", VmcsModel::Vmcs02).data(ChangedRole).toBool());
    EXPECT_FALSE(vmcs.cell("GUEST_PDPTR0", VmcsModel::Vmcs12).data(ChangedRole).toBool());
    EXPECT_FALSE(vmcs.cell("GUEST_PDPTR0", VmcsModel::Vmcs02).data(DiffersRole).toBool());
    EXPECT_TRUE(vmcs.cell("HOST_CR3", VmcsModel::Vmcs02).data(DiffersRole).toBool());
    EXPECT_EQ(vmcs.model.changed(), 4);
}

TEST(VmcsModel, unknown_values_differ_from_nothing_and_say_why_they_are_not_there) {
    const Vmcs vmcs(samples::copied());
    EXPECT_EQ(vmcs.row("PLE_WINDOW"), "PLE_WINDOW | no such field | 0x1000 | ∅ PAUSE-loop exiting is off");
    EXPECT_EQ(vmcs.row("TSC_MULTIPLIER"), "TSC_MULTIPLIER | 0x0 | no such field | ∅ TSC offsetting is off");
    EXPECT_EQ(vmcs.row("VM_EXIT_MSR_STORE_ADDR"), "VM_EXIT_MSR_STORE_ADDR | 0x0 | not read | ∅ the list is empty");
    EXPECT_FALSE(vmcs.cell("PLE_WINDOW", VmcsModel::Vmcs02).data(DiffersRole).toBool());
    EXPECT_EQ(vmcs.cell("PLE_WINDOW", VmcsModel::Vmcs12).data(StateRole).toInt(),
              static_cast<int>(vmx::Known::Unsupported));
}

TEST(VmcsModel, flags_that_differ_are_named_on_their_side) {
    const Vmcs vmcs(samples::copied());
    const std::string meaning =
        vmcs.cell("PIN_BASED_VM_EXEC_CONTROL", VmcsModel::Meaning).data().toString().toStdString();
    EXPECT_NE(meaning.find("only vmcs02: "), std::string::npos) << meaning;
    EXPECT_EQ(meaning.find("only vmcs12"), std::string::npos) << meaning;
}

TEST(VmcsModel, undefined_pdptrs_are_marked_where_they_are_and_not_decoded) {
    const Vmcs vmcs(samples::from_memory());
    EXPECT_TRUE(vmcs.cell("GUEST_PDPTR2", VmcsModel::Vmcs12).data(UndefinedRole).toBool());
    EXPECT_FALSE(vmcs.cell("GUEST_PDPTR2", VmcsModel::Vmcs02).data(UndefinedRole).toBool());
    EXPECT_EQ(vmcs.row("GUEST_PDPTR2"),
              "GUEST_PDPTR2 | 0x0 | 0x106001 | undefined in vmcs12 · vmcs02: page directory at 0x106000");
}

TEST(VmcsModel, an_image_read_earlier_does_not_pass_for_one_read_here) {
    auto story = samples::copied();
    auto late = std::make_shared<nested::Transition>(*story.back());
    late->vmcs02_as_of = 1;
    VmcsModel model;
    model.show(make_shown(late, nullptr));
    EXPECT_EQ(model.headerData(VmcsModel::Vmcs02, Qt::Horizontal, Qt::DisplayRole).toString(), u"vmcs02 as of #1");
}

TEST(VmcsModel, without_images_from_before_a_change_is_told_from_the_transition_before) {
    auto story = samples::copied();
    auto t = std::make_shared<nested::Transition>(*story.back());
    t->vmcs12_before = t->vmcs02_before = {};
    VmcsModel model;
    model.show(make_shown(t, story.front()));
    EXPECT_EQ(model.changed(), 4);
    model.show(make_shown(t, nullptr));
    EXPECT_EQ(model.changed(), 0);
}

TEST(VmcsFilter, search_differences_and_changes_narrow_and_combine) {
    Vmcs vmcs(samples::copied());
    const Tester tester(&vmcs.filter, kFatal);
    EXPECT_LT(vmcs.filter.matches(), static_cast<int>(vmx::kFieldCount))
        << "fields that neither has are hidden at first";
    EXPECT_EQ(vmcs.filter.matches(), vmcs.model.present());
    vmcs.filter.set_show_absent(true);
    EXPECT_EQ(vmcs.filter.matches(), static_cast<int>(vmx::kFieldCount));
    vmcs.filter.set_text(QStringLiteral("pdptr"));
    EXPECT_EQ(vmcs.filter.matches(), 4);
    vmcs.filter.set_only_differences(true);
    EXPECT_EQ(vmcs.filter.matches(), 0);
    vmcs.filter.set_text({});
    EXPECT_EQ(vmcs.filter.matches(), vmcs.model.differing());
    vmcs.filter.set_only_differences(false);
    vmcs.filter.set_only_changed(true);
    EXPECT_EQ(vmcs.filter.matches(), 4);
    vmcs.filter.set_only_changed(false);
    vmcs.filter.set_text(QStringLiteral("0x280a"));
    EXPECT_EQ(vmcs.filter.matches(), 1) << "an encoding finds its field";
}

TEST(VmcsFilter, follows_the_model_when_another_transition_is_shown) {
    Vmcs vmcs(samples::copied());
    vmcs.filter.set_only_changed(true);
    EXPECT_EQ(vmcs.filter.matches(), 4);
    vmcs.show(0);
    EXPECT_EQ(vmcs.filter.matches(), 0);
}

TEST(VerdictText, a_disagreement_is_named_as_a_finding) {
    auto story = samples::copied();
    auto t = std::make_shared<nested::Transition>(*story.back());
    t->context.dirty_vmcs12 = false;  // by rule nothing is copied, yet VMWRITEs were seen
    t->context.last_hw_exit_pae = true;
    const auto verdict = nested::pdptr_verdict(*t);
    ASSERT_TRUE(verdict);
    EXPECT_FALSE(verdict->agree);
    EXPECT_TRUE(agreement_text(*verdict).contains(QStringLiteral("DISAGREE")));
    EXPECT_TRUE(verdict_cell(*verdict).contains(QStringLiteral("✗")));
}

TEST(Text, a_step_is_told_from_the_seconds_that_count_on_it) {
    EXPECT_EQ(step_without_seconds(QStringLiteral("booting … 12 s")), u"booting");
    EXPECT_EQ(step_without_seconds(QStringLiteral("sending (3 s)")), u"sending");
    EXPECT_EQ(step_without_seconds(QStringLiteral("received 3 s")), u"received 3 s");
}

TEST(VerdictText, no_two_marks_share_a_glyph) {
    QStringList glyphs;
    for (int m = static_cast<int>(Mark::Copied); m <= static_cast<int>(kLastMark); ++m)
        glyphs << glyph_of(static_cast<Mark>(m));
    EXPECT_EQ(glyphs.removeDuplicates(), 0);
    EXPECT_FALSE(glyphs.contains(QString()));
}

}  // namespace
}  // namespace vmxscope::ui
