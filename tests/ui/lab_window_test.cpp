// The window on a real KVM: the lab's guests, stepped by the window's own commands, with a picture of each kind of
// stop.
#include <gtest/gtest.h>

#include <QDir>
#include <QSignalSpy>
#include <QTest>

#include "core/target.h"
#include "plugins/lab/backend.h"
#include "ui/main_window.h"
#include "ui/message_bar.h"
#include "ui/verdict_text.h"

namespace vmxscope::ui {
namespace {

using State = Session::State;
constexpr int kAttachMs = 900'000;  // the first time, the lab's image is built and booted
constexpr int kStepMs = 300'000;    // L1 may have to start first, on a processor that is emulated
constexpr int kStepsAtMost = 40;

class LabWindow : public ::testing::Test {
  protected:
    LabWindow() { backends.add(lab::lab_backend()); }

    void attach(const char* target, ThemeChoice theme) {
        QDir().mkpath(QStringLiteral(PICTURES));
        window = std::make_unique<MainWindow>(session, theme, false);
        window->resize(1720, 980);
        window->show();
        session.attach(QString::fromLatin1(target));
        ASSERT_TRUE(QTest::qWaitFor([&] { return session.state() == State::Held || session.state() == State::Idle; },
                                    kAttachMs));
        ASSERT_EQ(session.state(), State::Held) << window->message().text().toStdString();
    }
    /// Presses F9 until a verdict is as `wanted`, and takes a picture of that stop; checks every verdict on the way.
    template <typename Wanted>
    void step_until(Wanted wanted, const char* picture) {
        for (int steps = 0; steps < kStepsAtMost; ++steps) {
            const quint64 before = session.live_seq();
            window->actions().step_nested->trigger();
            ASSERT_TRUE(
                QTest::qWaitFor([&] { return session.live_seq() > before && session.state() == State::Held; }, kStepMs))
                << window->message().text().toStdString();
            ASSERT_TRUE(QTest::qWaitFor([&] { return window->shown_seq() == session.live_seq(); }, kStepMs));
            const auto verdict = window->shown()->verdict;
            ASSERT_TRUE(verdict) << "a nested stop has a verdict";
            EXPECT_TRUE(verdict->agree) << "#" << session.live_seq() << ": " << agreement_text(*verdict).toStdString();
            if (!wanted(*verdict)) continue;
            QTest::qWait(60);  // layouts settle in the event loop, and rows come in
            ASSERT_TRUE(window->grab().save(QStringLiteral(PICTURES "/lab-%1.png").arg(QLatin1String(picture))));
            return;
        }
        FAIL() << "no such verdict within " << kStepsAtMost << " nested transitions: " << picture;
    }

    core::Backends backends;
    Session session{backends};
    std::unique_ptr<MainWindow> window;
};

using nested::Did;
using nested::Direction;
using nested::Verdict;

TEST_F(LabWindow, pae_toggle_is_seen_copied_then_skipped_then_undefined) {
    attach("lab:pae-toggle", ThemeChoice::Light);
    if (HasFatalFailure()) return;
    step_until([](const Verdict& v) { return v.did == Did::Copied && v.direction == Direction::Entry; }, "copied");
    step_until([](const Verdict& v) { return v.did == Did::Skipped && !any_undefined(v); }, "skipped");
    step_until([](const Verdict& v) { return v.vmcs02 == nested::Is::Undefined; }, "undefined");
}

TEST_F(LabWindow, pae_shadow_is_seen_from_memory) {
    attach("lab:pae-shadow", ThemeChoice::Dark);
    if (HasFatalFailure()) return;
    step_until([](const Verdict& v) { return v.did == Did::FromMemory && v.vmcs12 == nested::Is::Undefined; },
               "from-memory");
}

}  // namespace
}  // namespace vmxscope::ui
