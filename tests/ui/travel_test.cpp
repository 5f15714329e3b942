// Going through time in the window: traces of many rows, filters, searches, steps back, changes of a field,
// differences.
#include <gtest/gtest.h>

#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QSignalSpy>
#include <QTableView>
#include <QTemporaryDir>

#include "core/trace/trace.h"
#include "tests/ui/story_trace.h"
#include "tests/ui/story_window.h"
#include "ui/difference_panel.h"
#include "ui/go_to_dialog.h"
#include "ui/history_panel.h"
#include "ui/notes_panel.h"
#include "ui/record_dialog.h"
#include "ui/status_line.h"
#include "ui/timeline_strip.h"
#include "ui/transition_list_view.h"

namespace vmxscope::ui {
namespace {

using test::kLimitMs;
using test::make_trace;
using test::Window;

class Travelling : public ::testing::Test {
  protected:
    QString trace(std::uint64_t count) { return make_trace(folder.filePath(QStringLiteral("a.vxt")), count); }
    bool open(Window& w, std::uint64_t count) {
        w.window->open_trace(trace(count));
        return w.shows(1);
    }
    QTemporaryDir folder;
};

TEST_F(Travelling, a_trace_of_very_many_transitions_opens_while_the_window_goes_on) {
    constexpr std::uint64_t kMany = 200'000;
    const QString file = trace(kMany);
    Window w(samples::copied());
    w.window->open_trace(file);
    EXPECT_EQ(w.window->transitions().rowCount(), 0) << "nothing waits for the file";
    ASSERT_TRUE(w.shows(1));
    EXPECT_EQ(w.window->transitions().rowCount(), static_cast<int>(kMany));
    EXPECT_TRUE(w.window->status().text().contains(QStringLiteral("200000 transitions of story:")))
        << w.window->status().text().toStdString();
    w.window->actions().live->trigger();
    ASSERT_TRUE(w.shows(kMany));
    const QModelIndex last = w.window->transitions().index(static_cast<int>(kMany) - 1, TransitionListModel::Kind);
    ASSERT_TRUE(QTest::qWaitFor([&] { return last.data().toString() == u"nested-entry"; }, kLimitMs));
    w.window->go_to(QStringLiteral("123456"));
    ASSERT_TRUE(w.shows(123'456));
    ASSERT_TRUE(QTest::qWaitFor([&] { return !w.window->strip().picture().lanes.empty(); }, kLimitMs));
    w.take("trace");
}

TEST_F(Travelling, a_filter_of_a_trace_lists_what_it_holds_for_and_says_how_many) {
    Window w(samples::copied());
    ASSERT_TRUE(open(w, 8'000));
    FilterBar& filter = w.window->docks().list->filter();
    filter.set_text(QStringLiteral("kind == nested-entry"));
    ASSERT_TRUE(QTest::qWaitFor([&] { return w.window->transitions().rowCount() == 2'000; }, kLimitMs));
    EXPECT_EQ(w.window->transitions().seq_at(1), 8U);
    w.window->actions().next->trigger();
    ASSERT_TRUE(w.shows(2)) << "the next of those that are listed";
    w.window->actions().search_next->trigger();
    ASSERT_TRUE(w.shows(8));
    w.window->actions().search_previous->trigger();
    ASSERT_TRUE(w.shows(2));
    w.take("filter");
    filter.set_text(QStringLiteral("changed(vmcs12.GUEST_RIP) && exit_reason == CPUID"));
    ASSERT_TRUE(QTest::qWaitFor([&] { return w.window->transitions().rowCount() == 1'000; }, kLimitMs));
    filter.set_text({});
    EXPECT_EQ(w.window->transitions().rowCount(), 8'000);
}

TEST_F(Travelling, what_is_wrong_with_a_filter_is_underlined_and_the_list_stays) {
    Window w(samples::copied());
    ASSERT_TRUE(open(w, 80));
    FilterBar& filter = w.window->docks().list->filter();
    filter.set_text(QStringLiteral("exit_reason == CPUIDX"));
    EXPECT_TRUE(filter.error().contains(QStringLiteral("\n               ^~~~~~\n"))) << filter.error().toStdString();
    EXPECT_TRUE(filter.applied().isEmpty()) << "what was in force stays";
    EXPECT_EQ(w.window->transitions().rowCount(), 80);
    w.take("filter-error");
    EXPECT_FALSE(go_to_error(QStringLiteral("exit_reason ==")).isEmpty());
    EXPECT_TRUE(go_to_error(QStringLiteral("#12")).isEmpty());
    EXPECT_TRUE(go_to_error(QStringLiteral("1.5 ms")).isEmpty());
}

TEST_F(Travelling, one_goes_to_a_number_a_time_or_a_condition) {
    Window w(samples::copied());
    ASSERT_TRUE(open(w, 800));
    w.window->go_to(QStringLiteral("#40"));
    ASSERT_TRUE(w.shows(40));
    w.window->go_to(QStringLiteral("100 us"));  // 1 GHz, 1,000 cycles from one to the next
    ASSERT_TRUE(w.shows(101));
    w.window->go_to(QStringLiteral("kind == nested-exit"));
    ASSERT_TRUE(w.shows(109));
    w.window->go_to(QStringLiteral("seq > 5000"));
    ASSERT_TRUE(QTest::qWaitFor([&] { return !w.window->message().isHidden(); }, kLimitMs));
    EXPECT_TRUE(w.window->message().text().contains(QStringLiteral("No match after #109.")))
        << "and a sentence for none";
}

TEST_F(Travelling, steps_go_back_and_forth_by_kind) {
    Window w(samples::copied());
    ASSERT_TRUE(open(w, 80));
    Actions& a = w.window->actions();
    EXPECT_FALSE(a.back->isEnabled());
    a.step_nested->trigger();
    ASSERT_TRUE(w.shows(2));
    a.step_exit->trigger();
    ASSERT_TRUE(w.shows(5));
    a.forward->trigger();
    ASSERT_TRUE(w.shows(6));
    a.back_nested->trigger();
    ASSERT_TRUE(w.shows(5));
    a.back_entry->trigger();
    ASSERT_TRUE(w.shows(2));
    a.back->trigger();
    ASSERT_TRUE(w.shows(1));
    a.live->trigger();
    ASSERT_TRUE(w.shows(80));
    EXPECT_FALSE(a.step->isEnabled()) << "a recording has an end";
    EXPECT_FALSE(a.forward->isEnabled());
}

TEST_F(Travelling, in_a_session_a_step_in_the_past_moves_nothing_but_the_view) {
    Window w(samples::skipped());
    ASSERT_TRUE(w.attach());
    ASSERT_TRUE(w.to_the_end());
    w.window->actions().back_nested->trigger();
    ASSERT_TRUE(w.shows(5));
    EXPECT_TRUE(w.window->actions().forward->isEnabled());
    w.window->actions().step_entry->trigger();
    ASSERT_TRUE(w.shows(8));
    EXPECT_EQ(w.session->state(), Session::State::Held) << "the guest was not let go";
    EXPECT_EQ(w.session->live_seq(), 8U);
    w.window->actions().step->trigger();
    EXPECT_TRUE(QTest::qWaitFor([&] { return w.session->state() == Session::State::Ended; }, kLimitMs))
        << "at the present a step is the guest's";
}

TEST_F(Travelling, every_change_of_a_field_is_listed_and_leads_to_its_place) {
    Window w(samples::copied());
    ASSERT_TRUE(open(w, 80));
    w.window->show_field(vmx::Field::GUEST_RIP);
    w.window->raise_panel(QStringLiteral("history"));
    HistoryPanel& history = *w.window->docks().history;
    ASSERT_TRUE(QTest::qWaitFor([&] { return history.model().rowCount() > 0; }, kLimitMs))
        << history.summary().toStdString();
    const quint64 place = history.model().seq_at(0);
    emit history.picked(place);
    ASSERT_TRUE(w.shows(place));
    w.window->actions().live->trigger();
    ASSERT_TRUE(w.shows(80));
    w.take("history");
}

TEST_F(Travelling, two_transitions_are_compared) {
    Window w(samples::copied());
    ASSERT_TRUE(open(w, 80));
    w.window->raise_panel(QStringLiteral("compare"));
    w.window->actions().mark->trigger();
    DifferencePanel& panel = *w.window->docks().difference;
    EXPECT_EQ(panel.marked(), 1U);
    ASSERT_TRUE(w.goes_to(8));
    ASSERT_TRUE(QTest::qWaitFor([&] { return panel.model().rowCount() > 0; }, kLimitMs))
        << panel.summary().toStdString();
    EXPECT_TRUE(panel.summary().contains(QStringLiteral("between #1 (marked) and #8")));
    w.take("compare");
}

TEST_F(Travelling, bookmarks_and_notes_are_kept_beside_the_trace) {
    const QString file = trace(80);
    {
        Window w(samples::copied());
        w.window->open_trace(file);
        ASSERT_TRUE(w.shows(1));
        ASSERT_TRUE(w.goes_to(5));
        w.window->actions().bookmark->trigger();
        NotesPanel& notes = *w.window->docks().notes;
        ASSERT_TRUE(QTest::qWaitFor([&] { return notes.notes().size() == 1; }, kLimitMs));
        emit notes.set_asked(8, QStringLiteral("here it skips"));
        ASSERT_TRUE(QTest::qWaitFor([&] { return notes.notes().size() == 2; }, kLimitMs));
        w.window->raise_panel(QStringLiteral("notes"));
        EXPECT_EQ(w.window->transitions().index(4, 0).data().toString(), u"⚐ 5");
        w.take("notes");
    }
    Window w(samples::copied());
    w.window->open_trace(file);
    ASSERT_TRUE(QTest::qWaitFor([&] { return w.window->docks().notes->notes().size() == 2; }, kLimitMs));
    EXPECT_EQ(w.window->docks().notes->notes().at(8), "here it skips");
}

TEST_F(Travelling, what_is_no_trace_gives_a_sentence_and_leaves_what_is_open) {
    Window w(samples::copied());
    ASSERT_TRUE(open(w, 80));
    QFile bad(folder.filePath(QStringLiteral("bad.vxt")));
    ASSERT_TRUE(bad.open(QIODevice::WriteOnly));
    bad.write("this is a letter, not a trace");
    bad.close();
    for (const QString& file : {bad.fileName(), folder.filePath(QStringLiteral("none.vxt"))}) {
        QSignalSpy failed(w.window.get(), &MainWindow::trace_failed);
        w.window->open_trace(file);
        ASSERT_TRUE(failed.wait(kLimitMs));
        EXPECT_FALSE(failed[0][0].toString().isEmpty());
        EXPECT_EQ(w.window->transitions().rowCount(), 80);
    }
    QFile whole(folder.filePath(QStringLiteral("a.vxt")));
    ASSERT_TRUE(whole.resize(whole.size() * 3 / 4));
    w.window->open_trace(whole.fileName());
    ASSERT_TRUE(QTest::qWaitFor([&] { return !w.window->message().isHidden(); }, kLimitMs)) << "cut off: it is said";
}

TEST_F(Travelling, a_session_is_saved_and_opens_as_what_it_was) {
    Window w(samples::skipped());
    ASSERT_TRUE(w.attach());
    ASSERT_TRUE(w.to_the_end());
    const QString file = folder.filePath(QStringLiteral("session.vxt"));
    QSignalSpy saved(&w.window->travel().worker(), &TravelWorker::saved);
    w.window->save_session(file);
    ASSERT_TRUE(QTest::qWaitFor([&] { return saved.count() > 0; }, kLimitMs));
    w.window->open_trace(file);
    ASSERT_TRUE(QTest::qWaitFor([&] { return w.window->trace() == file; }, kLimitMs));
    ASSERT_TRUE(w.shows(1));
    EXPECT_EQ(w.window->transitions().rowCount(), 8);
    EXPECT_TRUE(QTest::qWaitFor([&] { return w.session->state() == Session::State::Idle; }, kLimitMs))
        << "the target is left";
}

TEST_F(Travelling, sessions_are_kept_by_themselves_the_newest_ten) {
    for (int i = 0; i < 12; ++i) {
        QFile old(folder.filePath(QStringLiteral("20200101-0000%1-000-old.vxt").arg(i, 2, 10, QLatin1Char('0'))));
        ASSERT_TRUE(old.open(QIODevice::WriteOnly));
    }
    {
        Window w(samples::skipped());
        const QString where = folder.path();
        w.window->travel().ask([where](TravelWorker& worker) { worker.keep_in(where); });
        ASSERT_TRUE(w.attach());
        ASSERT_TRUE(w.to_the_end());
        EXPECT_TRUE(QTest::qWaitFor(
            [&] {
                const QStringList files = QDir(where).entryList({QStringLiteral("*.vxt")}, QDir::Files, QDir::Name);
                const auto trace = core::trace::Trace::open(QDir(where).filePath(files.last()).toStdString());
                return trace && trace->count() == 8;
            },
            kLimitMs))
            << "as it goes, whatever becomes of the window";
    }
    const QStringList kept = QDir(folder.path()).entryList({QStringLiteral("*.vxt")}, QDir::Files, QDir::Name);
    ASSERT_EQ(kept.size(), 10);
    const auto trace = core::trace::Trace::open(folder.filePath(kept.last()).toStdString());
    ASSERT_TRUE(trace) << trace.error().text();
    EXPECT_EQ(trace->count(), 8U);
}

TEST(RecordDialog, tells_what_is_wrong_with_a_condition_and_asks_for_what_is_right) {
    RecordDialog dialog(QStringLiteral("/tmp/a.vxt"));
    dialog.until()->setText(QStringLiteral("exit_reason == CPUIDD"));
    EXPECT_FALSE(dialog.request());
    EXPECT_TRUE(dialog.error().contains(QStringLiteral("CPUID")));
    dialog.until()->setText(QStringLiteral("pdptr.alarm"));
    const auto request = dialog.request();
    ASSERT_TRUE(request);
    EXPECT_TRUE(dialog.error().isEmpty());
    EXPECT_TRUE(request->options.until);
    EXPECT_EQ(request->options.path, "/tmp/a.vxt");
    EXPECT_FALSE(request->options.replace) << "nobody was asked";
    EXPECT_TRUE(request->settings.all_fields);
    dialog.file()->clear();
    EXPECT_FALSE(dialog.request());
}

}  // namespace
}  // namespace vmxscope::ui
