// The window on a story, without a screen.
#pragma once

#include <gtest/gtest.h>

#include <QDir>
#include <QLabel>
#include <QTest>

#include "tests/ui/story_target.h"
#include "ui/main_window.h"
#include "ui/message_bar.h"
#include "ui/pdptr_panel.h"
#include "ui/vmcs_view.h"

namespace vmxscope::ui::test {

constexpr int kLimitMs = 20'000;  // far more than any of it takes: a limit, not a measure

struct Window {
    explicit Window(std::vector<TransitionPtr> story, ThemeChoice theme = ThemeChoice::Light)
        : strings(std::make_shared<Strings>(std::move(story))) {
        backends.add(make_story_backend(strings));
        session = std::make_unique<Session>(backends);
        QDir().mkpath(QStringLiteral(PICTURES));
        window = std::make_unique<MainWindow>(*session, theme, false);
        window->resize(1720, 980);
        window->show();
    }
    bool attach() {
        session->attach(QStringLiteral("story:"));
        return QTest::qWaitFor([&] { return session->state() == Session::State::Held; }, kLimitMs);
    }
    /// To the story's last transition, which must be a nested one.
    bool to_the_end() {
        while (session->live_seq() < strings->story.size()) {
            const quint64 before = session->live_seq();
            window->actions().step_nested->trigger();
            if (!QTest::qWaitFor(
                    [&] { return session->live_seq() > before && session->state() == Session::State::Held; }, kLimitMs))
                return false;
        }
        return QTest::qWaitFor(
                   [&] { return window->transitions().rowCount() == static_cast<int>(strings->story.size()); },
                   kLimitMs) &&
               shows(strings->story.size());
    }
    /// Waits until that transition is shown, and the list has been told all that it asked for.
    bool shows(quint64 seq) {
        return QTest::qWaitFor([&] { return window->shown_seq() == seq; }, kLimitMs);
    }
    bool goes_to(quint64 seq) {
        window->show_seq(seq);
        return shows(seq);
    }
    QString take(const char* name) {
        QTest::qWait(60);  // layouts settle in the event loop, some after others
        const QString file = QStringLiteral(PICTURES "/%1.png").arg(QLatin1String(name));
        EXPECT_TRUE(window->grab().save(file));
        return file;
    }
    std::string panel_text() {
        QStringList texts;
        for (QWidget* w : window->pdptrs().widget()->findChildren<QWidget*>())
            if (w->isVisibleTo(&window->pdptrs()) && !w->accessibleName().isEmpty()) texts << w->accessibleName();
        for (QLabel* l : window->pdptrs().widget()->findChildren<QLabel*>())
            if (l->isVisibleTo(&window->pdptrs())) texts << l->text();
        return texts.join(QLatin1Char('\n')).toStdString();
    }

    std::shared_ptr<Strings> strings;
    core::Backends backends;
    std::unique_ptr<Session> session;
    std::unique_ptr<MainWindow> window;
};

}  // namespace vmxscope::ui::test
