// The window itself, without a screen: commands, banners, and the pictures that people are to look at.
#include <gtest/gtest.h>

#include <QComboBox>
#include <QDir>
#include <QImage>
#include <QLabel>
#include <QPushButton>
#include <QTest>
#include <QTreeView>

#include "tests/text.h"
#include "tests/ui/story_window.h"
#include "ui/screenshot.h"
#include "ui/status_line.h"
#include "ui/verdict_banner.h"

namespace vmxscope::ui {
namespace {

using State = Session::State;
using vmxscope::test::has;
using test::kLimitMs;
using test::Window;

TEST(Window, says_what_it_is_for_and_offers_targets_before_anything_is_attached) {
    Window w(samples::copied());
    EXPECT_FALSE(w.window->actions().step->isEnabled());
    EXPECT_TRUE(w.window->actions().attach->isEnabled());
    EXPECT_TRUE(has(w.window->status().text().toStdString(), "not attached"));
}

TEST(Window, keys_are_those_that_the_manual_names) {
    Window w(samples::copied());
    Actions& a = w.window->actions();
    const std::pair<QAction*, const char*> keys[] = {
        {a.step, "F10"},        {a.step_entry, "F11"}, {a.step_exit, "Shift+F11"}, {a.step_nested, "F9"},
        {a.resume, "F5"},       {a.interrupt, "F6"},   {a.find, "Ctrl+F"},         {a.only_differences, "Ctrl+D"},
        {a.previous, "Alt+Up"}, {a.next, "Alt+Down"},  {a.back, "Alt+Left"},       {a.forward, "Alt+Right"},
        {a.live, "Alt+End"},    {a.go_to, "Ctrl+G"},   {a.search_next, "F3"},      {a.search_previous, "Shift+F3"}};
    for (const auto& [action, key] : keys)
        EXPECT_EQ(action->shortcut().toString().toStdString(), key) << action->text().toStdString();
}

TEST(Window, stepping_shows_the_live_transition_and_going_back_says_so) {
    Window w(samples::skipped());
    ASSERT_TRUE(w.attach());
    ASSERT_TRUE(w.to_the_end());
    EXPECT_TRUE(has(w.panel_text(), "SKIPPED"));
    w.window->actions().previous->trigger();
    ASSERT_TRUE(w.shows(7));
    EXPECT_TRUE(has(w.window->vmcs().heading().toStdString(), "#7 l1-exit"));
    EXPECT_TRUE(has(w.panel_text(), "#7 l1-exit moves no PDPTRs")) << w.panel_text();
    EXPECT_TRUE(has(w.panel_text(), "COPIED"));
    const auto away = w.window->vmcs().findChildren<QLabel*>();
    EXPECT_TRUE(std::any_of(away.begin(), away.end(), [](QLabel* l) {
        return !l->isHidden() && l->text().contains(QStringLiteral("You look at #7, 1 before the present"));
    }));
    w.take("older");
    w.window->actions().live->trigger();
    EXPECT_TRUE(w.shows(8));
}

TEST(Window, with_several_vcpus_there_is_a_choice_of_which_to_step) {
    Window w(samples::skipped());
    w.strings->vcpus = 2;
    ASSERT_TRUE(w.attach());
    EXPECT_TRUE(has(w.window->vmcs().heading().toStdString(), "Held before the first transition"));
    w.take("held");
    EXPECT_FALSE(w.window->status().vcpu()) << "at first, whichever comes first";
    auto* choice = w.window->status().findChild<QComboBox*>();
    ASSERT_EQ(choice->count(), 3);
    choice->setCurrentIndex(2);
    EXPECT_EQ(w.window->status().vcpu(), 1U);
}

TEST(Window, a_transition_without_images_says_so_instead_of_two_hundred_times_not_read) {
    auto bare = std::make_shared<nested::Transition>();
    bare->seq = 1;
    bare->kind = nested::Kind::L1Entry;
    Window w({bare});
    ASSERT_TRUE(w.attach());
    w.window->actions().step->trigger();
    ASSERT_TRUE(w.shows(1));
    EXPECT_TRUE(w.window->vmcs().tree()->isHidden());
    EXPECT_TRUE(has(w.window->vmcs().heading().toStdString(), "#1 l1-entry"));
    w.take("nothing-read");
}

TEST(Window, only_differences_is_one_switch_wherever_it_is_pressed) {
    Window w(samples::copied());
    ASSERT_TRUE(w.attach());
    ASSERT_TRUE(w.to_the_end());
    const int all = w.window->vmcs().filter()->matches();
    w.window->actions().only_differences->trigger();
    EXPECT_LT(w.window->vmcs().filter()->matches(), all);
    w.window->actions().only_differences->trigger();
    EXPECT_EQ(w.window->vmcs().filter()->matches(), all);
    EXPECT_TRUE(w.window->vmcs().tree()->isExpanded(w.window->vmcs().filter()->index(0, 0)));
}

TEST(Window, a_lost_connection_keeps_what_was_seen_and_one_button_brings_it_back) {
    Window w(samples::skipped());
    ASSERT_TRUE(w.attach());
    ASSERT_TRUE(w.to_the_end());
    w.strings->lost = true;
    ASSERT_TRUE(QTest::qWaitFor([&] { return w.session->state() == State::Lost; }, kLimitMs));
    EXPECT_TRUE(has(w.window->message().text().toStdString(), "The connection to story: broke. Is the agent"));
    EXPECT_EQ(w.window->transitions().rowCount(), 8);
    w.take("lost");
    w.strings->lost = false;
    for (QPushButton* b : w.window->message().findChildren<QPushButton*>())
        if (b->text() == u"Retry") b->click();
    ASSERT_TRUE(QTest::qWaitFor([&] { return w.session->state() == State::Held; }, kLimitMs));
    EXPECT_EQ(w.window->transitions().rowCount(), 0) << "another session, with numbers of its own";
    EXPECT_TRUE(w.window->message().isHidden());
}

TEST(Window, pictures_of_the_start_and_of_an_attach_under_way) {
    Window w(samples::copied());
    w.take("welcome");
    w.strings->attach_hangs = true;
    w.session->attach(QStringLiteral("story:"));
    ASSERT_TRUE(QTest::qWaitFor([&] { return w.strings->attaches == 1; }, kLimitMs));
    w.take("attaching");
    w.session->cancel_attach();
    ASSERT_TRUE(QTest::qWaitFor([&] { return w.session->state() == State::Idle; }, kLimitMs));
}

struct Picture {
    const char* name;
    std::vector<TransitionPtr> (*story)();
    ThemeChoice theme;
    const char* word;  // must be on the banner
    const char* tag;   // must be on a tag; "" = no tag says undefined
};

/// How GoogleTest and CTest name it.
void PrintTo(const Picture& picture, std::ostream* out) {
    *out << picture.name;
}

class Pictures : public ::testing::TestWithParam<Picture> {};

TEST_P(Pictures, are_taken_at_the_stop_and_the_panel_says_so) {
    const Picture& p = GetParam();
    Window w(p.story(), p.theme);
    ASSERT_TRUE(w.attach());
    ASSERT_TRUE(w.to_the_end());
    const std::string said = w.panel_text();
    EXPECT_TRUE(has(said, p.word)) << said;
    if (*p.tag)
        EXPECT_TRUE(has(said, p.tag)) << said;
    else
        EXPECT_FALSE(has(said, "UNDEFINED")) << said;
    EXPECT_EQ(QImage(w.take(p.name)).size(), QSize(1720, 980));
}

INSTANTIATE_TEST_SUITE_P(
    Stops, Pictures,
    ::testing::Values(
        Picture{"copied-light", samples::copied, ThemeChoice::Light, "COPIED", ""},
        Picture{"copied-dark", samples::copied, ThemeChoice::Dark, "COPIED", ""},
        Picture{"skipped-light", samples::skipped, ThemeChoice::Light, "SKIPPED", ""},
        Picture{"skipped-dark", samples::skipped, ThemeChoice::Dark, "SKIPPED", ""},
        Picture{"undefined-light", samples::undefined, ThemeChoice::Light, "ALARM", "UNDEFINED in vmcs"},
        Picture{"undefined-dark", samples::undefined, ThemeChoice::Dark, "ALARM", "UNDEFINED in vmcs"},
        Picture{"from-memory-light", samples::from_memory, ThemeChoice::Light, "FROM MEMORY", "UNDEFINED in vmcs12"},
        Picture{"from-memory-dark", samples::from_memory, ThemeChoice::Dark, "FROM MEMORY", "UNDEFINED in vmcs12"},
        Picture{"copied-unused-light", samples::copied_unused, ThemeChoice::Light, "COPIED, UNUSED", "UNDEFINED"}),
    [](const auto& picture) {
        std::string name = picture.param.name;
        std::replace(name.begin(), name.end(), '-', '_');
        return name;
    });

TEST(Screenshot, attaches_steps_and_saves_without_a_person) {
    Window w(samples::skipped());
    const QString file = QStringLiteral(PICTURES "/screenshot.png");
    QFile::remove(file);
    Screenshot job(*w.window, *w.session, {QStringLiteral("story:"), file, 3, core::StepKind::Nested, 60, {1200, 800}});
    std::optional<QString> error;
    QObject::connect(&job, &Screenshot::done, [&](const QString& e) { error = e; });
    job.start();
    ASSERT_TRUE(QTest::qWaitFor([&] { return error.has_value(); }, kLimitMs));
    EXPECT_TRUE(error->isEmpty()) << error->toStdString();
    EXPECT_EQ(QImage(file).size(), QSize(1200, 800));
    EXPECT_EQ(w.session->live_seq(), 8U);
}

TEST(Screenshot, fails_with_a_sentence_when_the_guest_ends_too_soon_or_there_is_none) {
    for (const bool none : {false, true}) {
        Window w(samples::copied());
        w.strings->attach_fails = none;
        Screenshot job(*w.window, *w.session, {QStringLiteral("story:"), QStringLiteral(PICTURES "/never.png"), 9});
        std::optional<QString> error;
        QObject::connect(&job, &Screenshot::done, [&](const QString& e) { error = e; });
        job.start();
        ASSERT_TRUE(QTest::qWaitFor([&] { return error.has_value(); }, kLimitMs));
        EXPECT_TRUE(has(error->toStdString(),
                        none ? "There is no such story. Write one." : "The guest ended after 3 of 9 steps."))
            << error->toStdString();
        EXPECT_FALSE(QFile::exists(QStringLiteral(PICTURES "/never.png")));
    }
}

TEST(Palette, every_text_on_its_ground_has_a_contrast_of_at_least_4_5) {
    for (const Theme theme : {Theme::Light, Theme::Dark}) {
        const Palette p(theme);
        const QPalette q = p.qt();
        const auto check = [](const QColor& text, const QColor& ground, const char* what) {
            EXPECT_GE(contrast(text, ground), 4.5)
                << what << ": " << text.name().toStdString() << " on " << ground.name().toStdString();
        };
        for (int m = 0; m <= static_cast<int>(kLastMark); ++m) {
            const Look look = p.mark(static_cast<Mark>(m));
            check(look.text, look.ground, "mark");
            check(look.text, p.base(), "mark in a list");
        }
        for (const Look& look : {p.differs(), p.changed(), p.error(), p.notice()})
            check(look.text, look.ground, "look");
        check(p.changed().text, p.differs().ground, "changed in a differing cell");
        check(p.muted(), p.base(), "muted");
        check(p.muted(), p.group(), "muted on a group");
        check(p.muted(), p.differs().ground, "muted in a differing cell");
        check(q.color(QPalette::WindowText), q.color(QPalette::Window), "window");
        check(q.color(QPalette::HighlightedText), q.color(QPalette::Highlight), "selection");
        check(p.muted(), q.color(QPalette::Window), "muted on the window");
    }
}

}  // namespace
}  // namespace vmxscope::ui
