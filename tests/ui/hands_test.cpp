// What hands do in the window: click on the timeline, drag it, drop a file, press what a message offers.
#include <gtest/gtest.h>

#include <QDropEvent>
#include <QMimeData>
#include <QPushButton>
#include <QSignalSpy>
#include <QTemporaryDir>
#include <QUrl>
#include <QWheelEvent>

#include "tests/ui/story_trace.h"
#include "tests/ui/story_window.h"
#include "ui/history_panel.h"
#include "ui/notes_panel.h"
#include "ui/timeline_strip.h"

namespace vmxscope::ui {
namespace {

using test::kLimitMs;
using test::Window;

constexpr std::uint64_t kCount = 800;  // one each 1,000 cycles

class Hands : public ::testing::Test {
  protected:
    void SetUp() override { file = test::make_trace(folder.filePath(QStringLiteral("a.vxt")), kCount); }
    bool open() {
        w.window->open_trace(file);
        return w.shows(1) && QTest::qWaitFor([&] { return !strip().picture().lanes.empty(); }, kLimitMs);
    }
    TimelineStrip& strip() { return w.window->strip(); }
    void click(int x, int y) { QTest::mouseClick(&strip(), Qt::LeftButton, {}, {x, y}); }
    const StripMark* bookmark() {
        for (const StripMark& m : strip().picture().marks)
            if (m.what == StripMark::What::Bookmark) return &m;
        return nullptr;
    }
    /// Waits for a picture of another stretch of time.
    bool shows_between(quint64 from, quint64 to) {
        return QTest::qWaitFor(
            [&] { return strip().picture().request.from_tsc >= from && strip().picture().request.to_tsc <= to; }, kLimitMs);
    }
    static QPushButton* button(QWidget& in, const QString& words) {
        for (QPushButton* b : in.findChildren<QPushButton*>())
            if (b->text() == words && !b->isHidden()) return b;
        return nullptr;
    }

    QTemporaryDir folder;
    QString file;
    Window w{samples::copied()};
};

TEST_F(Hands, a_click_on_the_timeline_goes_there) {
    ASSERT_TRUE(open());
    int last = 1;
    for (const int x : {strip().width() / 4, strip().width() / 2, strip().width() * 3 / 4}) {
        click(x, strip().height() / 2);
        ASSERT_TRUE(QTest::qWaitFor([&] { return w.window->shown_seq() > static_cast<quint64>(last); }, kLimitMs));
        const int seq = static_cast<int>(w.window->shown_seq());
        const double share = static_cast<double>(x) / strip().width();
        EXPECT_NEAR(seq, share * kCount, kCount / 10) << "at " << x;
        last = seq;
    }
}

TEST_F(Hands, the_wheel_zooms_a_drag_moves_and_a_double_click_shows_all) {
    ASSERT_TRUE(open());
    const StripRequest all = strip().picture().request;
    const QPointF middle(strip().width() / 2.0, strip().height() / 2.0);
    QWheelEvent wheel(middle, strip().mapToGlobal(middle), {}, {0, 480}, Qt::NoButton, {}, Qt::NoScrollPhase, false);
    QCoreApplication::sendEvent(&strip(), &wheel);
    ASSERT_TRUE(shows_between(all.from_tsc + 1, all.to_tsc - 1));
    const StripRequest near = strip().picture().request;
    EXPECT_EQ(w.window->shown_seq(), 1U) << "looking nearer goes nowhere";
    const auto mouse = [&](QEvent::Type type, double x, Qt::MouseButtons held) {
        const QPointF at(x, middle.y());
        QMouseEvent event(type, at, strip().mapToGlobal(at), type == QEvent::MouseMove ? Qt::NoButton : Qt::LeftButton, held, {});
        QCoreApplication::sendEvent(&strip(), &event);
    };
    mouse(QEvent::MouseButtonPress, middle.x(), Qt::LeftButton);
    mouse(QEvent::MouseMove, middle.x() - 100, Qt::LeftButton);
    mouse(QEvent::MouseButtonRelease, middle.x() - 100, Qt::NoButton);
    ASSERT_TRUE(shows_between(near.from_tsc + 1, all.to_tsc));
    EXPECT_EQ(w.window->shown_seq(), 1U) << "a drag is no click";
    QTest::mouseDClick(&strip(), Qt::LeftButton, {}, middle.toPoint());
    ASSERT_TRUE(QTest::qWaitFor([&] { return strip().picture().request.from_tsc == all.from_tsc &&
                                             strip().picture().request.to_tsc == all.to_tsc; }, kLimitMs));
}

TEST_F(Hands, a_bookmark_is_a_flag_on_the_timeline_and_a_click_goes_to_it) {
    ASSERT_TRUE(open());
    EXPECT_EQ(bookmark(), nullptr);
    emit w.window->docks().notes->set_asked(200, QStringLiteral("here it skips"));
    ASSERT_TRUE(QTest::qWaitFor([&] { return bookmark() != nullptr; }, kLimitMs));
    EXPECT_EQ(bookmark()->seq, 200U);
    EXPECT_EQ(bookmark()->tsc, 200'000U);
    EXPECT_EQ(bookmark()->note, u"here it skips");
    w.take("bookmark");
    // Where it was drawn: beside it nothing is met.
    const StripRequest& r = strip().picture().request;
    const int left = 58, wide = strip().width() - left - 8;  // of the lanes
    const int x = left + static_cast<int>(static_cast<double>(200'000 - r.from_tsc) / static_cast<double>(r.to_tsc - r.from_tsc) * wide);
    click(x + 1, 4);
    ASSERT_TRUE(w.shows(200));
    emit w.window->docks().notes->remove_asked(200);
    ASSERT_TRUE(QTest::qWaitFor([&] { return bookmark() == nullptr; }, kLimitMs));
}

TEST_F(Hands, a_trace_that_is_dropped_is_opened) {
    QMimeData files;
    files.setUrls({QUrl(QStringLiteral("https://example.org/a.vxt")), QUrl::fromLocalFile(file)});
    QDragEnterEvent enter({10, 10}, Qt::CopyAction, &files, Qt::LeftButton, {});
    QCoreApplication::sendEvent(w.window.get(), &enter);
    EXPECT_TRUE(enter.isAccepted());
    QDropEvent drop({10, 10}, Qt::CopyAction, &files, Qt::LeftButton, {});
    QCoreApplication::sendEvent(w.window.get(), &drop);
    ASSERT_TRUE(w.shows(1));
    EXPECT_EQ(w.window->trace(), file);
    QMimeData text;
    text.setText(QStringLiteral("no file"));
    QDragEnterEvent other({10, 10}, Qt::CopyAction, &text, Qt::LeftButton, {});
    QCoreApplication::sendEvent(w.window.get(), &other);
    EXPECT_FALSE(other.isAccepted());
}

TEST_F(Hands, the_last_entry_that_changed_the_field_is_one_button_away) {
    ASSERT_TRUE(open());
    w.window->raise_panel(QStringLiteral("history"));
    w.window->show_field(vmx::Field::GUEST_RIP);
    ASSERT_TRUE(w.goes_to(700));
    QPushButton* last = button(*w.window->docks().history, QStringLiteral("Last entry that changed it"));
    ASSERT_TRUE(last && last->isEnabled());
    last->click();
    ASSERT_TRUE(QTest::qWaitFor([&] { return w.window->shown_seq() != 700; }, kLimitMs));
    EXPECT_LT(w.window->shown_seq(), 700U);
    EXPECT_GT(w.window->shown_seq(), 700U - 16) << "two rounds of the story";
}

TEST_F(Hands, a_search_that_takes_long_can_be_stopped) {
    ASSERT_TRUE(open());
    TravelWorker& worker = w.window->travel().worker();
    emit worker.searching(0.4);
    ASSERT_TRUE(QTest::qWaitFor([&] { return w.window->message().text() == u"Looking … 40 %"; }, kLimitMs));
    QPushButton* stop = button(w.window->message(), QStringLiteral("Stop"));
    ASSERT_TRUE(stop);
    // As the button does, but while the search is under way for sure: in its own thread.
    const auto early = QObject::connect(&worker, &TravelWorker::searching, &worker, [&](double) { worker.stop(); }, Qt::DirectConnection);
    QSignalSpy said(&worker, &TravelWorker::not_found), found(&worker, &TravelWorker::found), ended(&worker, &TravelWorker::searching);
    w.window->go_to(QStringLiteral("seq == 799"));
    ASSERT_TRUE(QTest::qWaitFor([&] { return !ended.isEmpty() && ended.last()[0].toDouble() == 1; }, kLimitMs));
    EXPECT_TRUE(said.isEmpty()) << "it was not looked for to the end";
    EXPECT_TRUE(found.isEmpty());
    EXPECT_TRUE(QTest::qWaitFor([&] { return w.window->message().isHidden(); }, kLimitMs));
    QObject::disconnect(early);
    stop->click();  // nothing is looked for: nothing happens
    w.window->go_to(QStringLiteral("seq == 799"));
    ASSERT_TRUE(w.shows(799));
}

}  // namespace
}  // namespace vmxscope::ui
