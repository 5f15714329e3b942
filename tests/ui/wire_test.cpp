// The session over the real wire: a server of core/rsp on a unix socket, and the remote target's back end.
#include <gtest/gtest.h>

#include <QSignalSpy>
#include <QTest>

#include "plugins/remote/backends.h"
#include "tests/core/scripted_target.h"
#include "tests/ui/blocks.h"
#include "ui/session.h"

namespace vmxscope::ui {
namespace {

using State = Session::State;
using enum nested::Kind;
constexpr int kLimitMs = 20'000;

std::shared_ptr<core::test::Script> script_of_rounds() {
    auto script = std::make_shared<core::test::Script>();
    script->kinds = {L1Exit, NestedEntry, L2Entry, L2Exit, NestedExit, L1Entry};
    return script;
}

struct Wire {
    Wire() { backends.add(remote::unix_backend()); }
    bool reaches(State state) {
        return QTest::qWaitFor([&] { return session.state() == state; }, kLimitMs);
    }
    bool step(core::StepKind kind) {
        QSignalSpy caught_up(&session, &Session::caught_up);
        session.step({kind, {}, false});
        return QTest::qWaitFor([&] { return caught_up.count() > 0; }, kLimitMs);
    }
    core::Backends backends;
    Session session{backends};
};

TEST(Wire, steps_continues_and_is_interrupted_over_a_socket) {
    const core::test::RunningServer server(script_of_rounds());
    Wire wire;
    std::vector<std::uint64_t> seen;
    QObject::connect(&wire.session, &Session::past, [&](const PastBlock& block) { test::add_seqs(block, seen); });
    QStringList troubles;
    QObject::connect(&wire.session, &Session::trouble, [&](const QString& what) { troubles << what; });
    wire.session.attach(QString::fromStdString(server.endpoint().text()));
    ASSERT_TRUE(wire.reaches(State::Held)) << troubles.join(u' ').toStdString();
    ASSERT_TRUE(wire.step(core::StepKind::Transition));
    EXPECT_EQ(wire.session.live_seq(), 1U);
    ASSERT_TRUE(wire.step(core::StepKind::Exit));
    EXPECT_EQ(wire.session.live_seq(), 5U);
    EXPECT_EQ(seen, (std::vector<std::uint64_t>{1, 2, 3, 4, 5}));
    wire.session.resume();
    ASSERT_TRUE(wire.reaches(State::Running));
    wire.session.interrupt();
    ASSERT_TRUE(wire.reaches(State::Held));
    EXPECT_TRUE(troubles.empty()) << troubles.join(u' ').toStdString();
}

TEST(Wire, an_agent_that_dies_is_noticed_and_found_again_when_it_is_back) {
    const std::string folder = core::test::make_folder();
    const std::string endpoint = "unix:" + folder + "/agent.sock";
    const auto script = script_of_rounds();
    const auto make_target = [script]() -> core::Result<std::unique_ptr<core::Target>> {
        return core::test::make_scripted_target(script);
    };
    auto server = std::make_unique<core::test::RunningServer>(make_target, endpoint);
    Wire wire;
    wire.session.attach(QString::fromStdString(endpoint));
    ASSERT_TRUE(wire.reaches(State::Held));
    ASSERT_TRUE(wire.step(core::StepKind::Entry));
    server.reset();
    ASSERT_TRUE(wire.reaches(State::Lost));
    server = std::make_unique<core::test::RunningServer>(make_target, endpoint);
    wire.session.retry();
    ASSERT_TRUE(wire.reaches(State::Held));
    wire.session.detach();
    ASSERT_TRUE(wire.reaches(State::Idle));
    server.reset();
    core::test::remove_folder(folder);
}

}  // namespace
}  // namespace vmxscope::ui
