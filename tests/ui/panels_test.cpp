// The panels in the window, without a screen: the field, the findings, the checks, the memory, and dumps.
#include <gtest/gtest.h>

#include <QClipboard>
#include <QDir>
#include <QFile>
#include <QGuiApplication>
#include <QImage>
#include <QLabel>
#include <QPushButton>
#include <QTest>
#include <QTreeView>
#include <fstream>

#include "tests/ui/story_window.h"
#include "ui/badge_strip.h"
#include "ui/entry_check_panel.h"
#include "ui/field_panel.h"
#include "ui/findings_panel.h"
#include "ui/heading.h"
#include "ui/memory_panel.h"

namespace vmxscope::ui {
namespace {

using test::Window;
constexpr int kLimitMs = test::kLimitMs;

bool has(const QString& text, const char* part) {
    return text.contains(QString::fromUtf8(part));
}

/// All that a widget's labels and tags say.
QString said_in(const QWidget& widget) {
    QStringList texts;
    for (const QLabel* l : widget.findChildren<QLabel*>())
        if (l->isVisibleTo(&widget)) texts << l->text();
    for (const QWidget* w : widget.findChildren<QWidget*>())
        if (w->isVisibleTo(&widget) && !w->accessibleName().isEmpty()) texts << w->accessibleName();
    return texts.join(QLatin1Char('\n'));
}

/// A kernel's log with a VMCS in it.
constexpr const char* kLog =
    "[  812.101010] kvm_intel: VMCS 00000000f971be22, last attempted VM-entry on CPU 3\n"
    "[  812.101011] kvm_intel: *** Guest State ***\n"
    "[  812.101012] kvm_intel: CR0: actual=0x0000000080000030, shadow=0x0000000060000010, gh_mask=fffffffffffefff7\n"
    "[  812.101013] kvm_intel: CR4: actual=0x0000000000002060, shadow=0x0000000000000000, gh_mask=fffffffffffef871\n"
    "[  812.101014] kvm_intel: CR3 = 0x00000000feffc000\n"
    "[  812.101015] kvm_intel: RSP = 0x000000000000fff0  RIP = 0x000000000000e05b\n"
    "[  812.101016] kvm_intel: RFLAGS=0x00000002         DR7 = 0x0000000000000400\n";

TEST(Panels, a_selected_field_is_told_in_full) {
    Window w(samples::disagreeing());
    ASSERT_TRUE(w.attach());
    ASSERT_TRUE(w.to_the_end());
    w.window->show_field(vmx::Field::GUEST_CR3);
    w.window->raise_panel(QStringLiteral("field"));
    const QString said = said_in(*w.window->docks().field);
    EXPECT_TRUE(has(said, "GUEST_CR3")) << said.toStdString();
    EXPECT_TRUE(has(said, "vmcs02  0x666000   Δ was 0x102000")) << said.toStdString();
    EXPECT_TRUE(has(said, "Rule: ")) << said.toStdString();
    EXPECT_TRUE(has(said, "Evidence: what KVM executed")) << said.toStdString();
    EXPECT_TRUE(has(said, "vmx_load_mmu_pgd+0x8f")) << said.toStdString();
    w.take("field-finding");
    w.window->show_field(vmx::Field::CPU_BASED_VM_EXEC_CONTROL);
    w.take("field-merged");
}

TEST(Panels, findings_are_counted_lead_to_their_place_and_can_be_saved) {
    Window w(samples::disagreeing());
    ASSERT_TRUE(w.attach());
    ASSERT_TRUE(w.to_the_end());
    FindingsPanel& panel = *w.window->docks().findings;
    ASSERT_GT(panel.model().rowCount(), 0);
    EXPECT_TRUE(has(panel.summary(), "finding")) << panel.summary().toStdString();
    EXPECT_TRUE(w.window->docks().findings_dock->windowTitle().startsWith(QStringLiteral("⚑ ")));
    ASSERT_TRUE(w.goes_to(1));
    int row = 0;
    while (panel.model().finding_at(row).field != vmx::Field::GUEST_CR3) ++row;
    emit panel.picked(panel.model().transition_at(row), panel.model().finding_at(row).field);
    ASSERT_TRUE(w.shows(8));
    EXPECT_EQ(w.window->vmcs().field(), vmx::Field::GUEST_CR3);
    w.window->raise_panel(QStringLiteral("findings"));
    w.take("findings");
    const QString file = QStringLiteral(PICTURES "/finding.json");
    w.window->save_report(panel.model().transition_at(row), panel.model().finding_at(row), file);
    QFile in(file);
    ASSERT_TRUE(in.open(QIODevice::ReadOnly));
    EXPECT_TRUE(in.readAll().contains("GUEST_CR3"));
    w.window->save_report(panel.model().transition_at(row), panel.model().finding_at(row),
                          QStringLiteral("/nonexistent/finding.json"));
    EXPECT_TRUE(has(w.window->message().text(), "Cannot write /nonexistent/finding.json."));
}

TEST(Panels, without_findings_that_is_said) {
    Window w(samples::copied());
    EXPECT_TRUE(has(w.window->docks().findings->summary(), "No nested entry or exit"));
    ASSERT_TRUE(w.attach());
    ASSERT_TRUE(w.to_the_end());
    w.window->raise_panel(QStringLiteral("findings"));
    w.take("no-findings");
}

TEST(Panels, a_refused_entry_shows_the_rule_beside_what_kvm_said) {
    Window w(samples::refused());
    ASSERT_TRUE(w.attach());
    ASSERT_TRUE(w.to_the_end());
    EntryCheckPanel& panel = *w.window->docks().checks;
    EXPECT_TRUE(has(panel.outcome(), "nested_guest_cr0_valid")) << panel.outcome().toStdString();
    EXPECT_TRUE(has(panel.outcome(), "INVALID_STATE")) << panel.outcome().toStdString();
    EXPECT_TRUE(has(panel.verdict(), "VM-entry fails: ")) << panel.verdict().toStdString();
    EXPECT_FALSE(panel.visibleRegion().isEmpty()) << "the checks come to the front by themselves";
    w.take("refused");
    emit w.window->vmcs().field_activated(vmx::Field::GUEST_CR0);
    panel.checks().edit(vmx::Field::GUEST_CR0, 0x80000031);
    EXPECT_TRUE(has(panel.verdict(), "With the edits below")) << panel.verdict().toStdString();
    w.take("what-if");
}

TEST(Panels, a_target_that_cannot_do_something_says_so_in_the_panel) {
    Window w(samples::skipped());
    w.strings->tells = false;
    ASSERT_TRUE(w.attach());
    ASSERT_TRUE(w.to_the_end());
    Docks& docks = w.window->docks();
    EXPECT_TRUE(has(said_in(*docks.checks), "capabilities")) << said_in(*docks.checks).toStdString();
    docks.memory->read(core::Space::L2Physical, 0x102000);
    docks.memory->walk(0x102000);
    ASSERT_TRUE(QTest::qWaitFor([&] { return has(docks.memory->walk_text(), "EPT02: "); }, kLimitMs));
    EXPECT_TRUE(has(docks.memory->read_text(), "cannot")) << docks.memory->read_text().toStdString();
    ASSERT_TRUE(QTest::qWaitFor([&] { return has(said_in(*docks.pdptrs), "was not read"); }, kLimitMs));
    w.window->raise_panel(QStringLiteral("memory"));
    w.take("memory-refused");
}

TEST(Panels, memory_and_both_walks_are_shown_and_stale_pdptes_are_said) {
    Window w(samples::skipped());
    w.strings->stale = 0x8;
    ASSERT_TRUE(w.attach());
    ASSERT_TRUE(w.to_the_end());
    Docks& docks = w.window->docks();
    ASSERT_TRUE(QTest::qWaitFor([&] { return has(said_in(*docks.pdptrs), "Stale: "); }, kLimitMs))
        << said_in(*docks.pdptrs).toStdString();
    w.take("stale");
    docks.memory->read(core::Space::L2Physical, 0x102000);
    docks.memory->walk(0x102345);
    ASSERT_TRUE(QTest::qWaitFor([&] { return docks.memory->walk_text().isEmpty(); }, kLimitMs))
        << docks.memory->walk_text().toStdString();
    w.window->raise_panel(QStringLiteral("memory"));
    w.take("memory");
    docks.memory->read(core::Space::L1Physical, 0x4000'0000);
    ASSERT_TRUE(QTest::qWaitFor([&] { return has(docks.memory->read_text(), "Nothing is mapped"); }, kLimitMs));
}

TEST(Panels, evidence_is_asked_for_before_and_after_the_attach) {
    Window w(samples::skipped());
    w.window->actions().evidence_all->trigger();
    EXPECT_EQ(w.strings->evidence, -1);
    ASSERT_TRUE(w.attach());
    ASSERT_TRUE(
        QTest::qWaitFor([&] { return w.strings->evidence == static_cast<int>(nested::EvidenceScope::All); }, kLimitMs));
    w.window->actions().evidence_none->trigger();
    ASSERT_TRUE(QTest::qWaitFor([&] { return w.strings->evidence == static_cast<int>(nested::EvidenceScope::None); },
                                kLimitMs));
    EXPECT_TRUE(QTest::qWaitFor([&] { return w.session->evidence() == nested::EvidenceScope::None; }, kLimitMs));
    EXPECT_TRUE(w.window->actions().evidence_none->isChecked());
}

TEST(Panels, a_dump_is_shown_in_the_same_table_and_checked) {
    const QString file = QStringLiteral(PICTURES "/dmesg.txt");
    Window w(samples::copied());
    std::ofstream(file.toStdString()) << kLog;
    w.window->open_dump(file);
    ASSERT_TRUE(QTest::qWaitFor([&] { return has(w.window->vmcs().heading(), "dmesg.txt"); }, kLimitMs))
        << w.window->message().text().toStdString();
    const auto& tree = *w.window->vmcs().tree();
    EXPECT_TRUE(tree.isColumnHidden(VmcsModel::Vmcs12));
    EXPECT_FALSE(tree.isColumnHidden(VmcsModel::Vmcs02));
    EXPECT_TRUE(tree.isColumnHidden(VmcsModel::CameFrom));
    EXPECT_EQ(w.window->docks().checks->checks().original(vmx::Field::GUEST_CR3), vmx::Value::of(0xfeffc000));
    w.take("dump");
    QGuiApplication::clipboard()->setText(QStringLiteral("there is no VMCS in this"));
    w.window->actions().paste_dump->trigger();
    ASSERT_TRUE(QTest::qWaitFor([&] { return !w.window->message().isHidden(); }, kLimitMs));
    emit w.window->vmcs().head().dump_closed();
    EXPECT_FALSE(has(w.window->vmcs().heading(), "dmesg.txt"));
}

TEST(Panels, badges_and_routing_stand_above_the_fields) {
    Window w(samples::skipped());
    ASSERT_TRUE(w.attach());
    ASSERT_TRUE(w.to_the_end());
    ASSERT_TRUE(w.goes_to(5)) << "the nested exit";
    EXPECT_TRUE(has(w.window->vmcs().head().routing(), "⇒ L1 asked for it: "))
        << w.window->vmcs().head().routing().toStdString();
    ASSERT_TRUE(w.goes_to(2));
    EXPECT_FALSE(w.window->vmcs().head().badges().titles().isEmpty());
    w.take("badges");
}

struct Size {
    const char* name;
    QSize size;
    ThemeChoice theme;
    const char* panel;
};
void PrintTo(const Size& size, std::ostream* out) {
    *out << size.name;
}

class Sizes : public ::testing::TestWithParam<Size> {};

TEST_P(Sizes, the_window_fits) {
    Window w(samples::disagreeing(), GetParam().theme);
    w.window->resize(GetParam().size);
    ASSERT_TRUE(w.attach());
    ASSERT_TRUE(w.to_the_end());
    w.window->show_field(vmx::Field::GUEST_CR0);
    w.window->raise_panel(QString::fromLatin1(GetParam().panel));
    EXPECT_EQ(QImage(w.take(GetParam().name)).size(), GetParam().size) << "nothing in it demands more room";
}

INSTANTIATE_TEST_SUITE_P(All, Sizes,
                         ::testing::Values(Size{"small-pdptrs", {1280, 800}, ThemeChoice::Light, "pdptrs"},
                                           Size{"small-field-dark", {1280, 800}, ThemeChoice::Dark, "field"},
                                           Size{"small-findings", {1280, 800}, ThemeChoice::Light, "findings"},
                                           Size{"small-checks-dark", {1280, 800}, ThemeChoice::Dark, "checks"},
                                           Size{"small-memory", {1280, 800}, ThemeChoice::Light, "memory"}),
                         [](const auto& size) {
                             std::string name = size.param.name;
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

}  // namespace
}  // namespace vmxscope::ui
