// The window on a target that steps instructions: QEMU's own GDB stub, as Debian has it.
#include <gtest/gtest.h>

#include <QStackedWidget>
#include <QTest>

#include "plugins/remote/backends.h"
#include "tests/remote/stubs.h"
#include "ui/main_window.h"
#include "ui/registers_panel.h"

namespace vmxscope::ui {
namespace {

constexpr int kLimitMs = 60'000;

TEST(Instructions, are_stepped_and_registers_take_the_place_of_the_fields) {
    test::Qemu qemu(1);
    core::Backends backends;
    backends.add(remote::unix_backend());
    Session session(backends);
    MainWindow window(session, ThemeChoice::Light, false);
    window.resize(1280, 800);
    window.show();
    session.attach(QString::fromStdString(qemu.uri()));
    const auto held = [&] { return session.state() == Session::State::Held; };
    ASSERT_TRUE(QTest::qWaitFor(held, kLimitMs));
    EXPECT_TRUE(window.registers().isVisible());
    EXPECT_EQ(window.registers().value_of("rip"), u"0x000000000000fff0") << "the reset vector";
    const Actions& actions = window.actions();
    EXPECT_TRUE(actions.step->isEnabled());
    EXPECT_EQ(actions.step->toolTip(), u"Run one instruction");
    for (const QAction* action : {actions.step_nested, actions.step_entry, actions.step_exit, actions.record})
        EXPECT_FALSE(action->isEnabled()) << action->text().toStdString();
    actions.step->trigger();
    EXPECT_TRUE(QTest::qWaitFor([&] { return held() && window.registers().value_of("rip") == u"0x000000000000e05b"; }, kLimitMs))
        << "the reset vector has a jump there";
    window.grab().save(PICTURES "/instructions.png");
    session.detach();
    EXPECT_TRUE(QTest::qWaitFor([&] { return session.state() == Session::State::Idle; }, kLimitMs));
    EXPECT_FALSE(window.registers().isVisible());
}

}  // namespace
}  // namespace vmxscope::ui
