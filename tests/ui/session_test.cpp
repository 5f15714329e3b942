// The worker's thread and the GUI's side of it, against a target in this process.
#include <gtest/gtest.h>

#include <QSignalSpy>
#include <QTemporaryDir>
#include <QTest>

#include "core/trace/trace.h"
#include "tests/ui/blocks.h"
#include "tests/ui/story_target.h"
#include "ui/session.h"

namespace vmxscope::ui {
namespace {

using State = Session::State;
constexpr int kLimitMs = 20'000;  // far more than any of it takes: a limit, not a measure

class SessionTest : public ::testing::Test {
  protected:
    explicit SessionTest(std::vector<TransitionPtr> story = samples::skipped())
        : strings(std::make_shared<test::Strings>(std::move(story))) {
        backends.add(test::make_story_backend(strings));
        session = std::make_unique<Session>(backends);
        QObject::connect(session.get(), &Session::past,
                         [this](const PastBlock& block) { test::add_seqs(block, seen); });
        QObject::connect(session.get(), &Session::trouble, [this](const QString& what) { troubles << what; });
    }
    bool reaches(State state) {
        return QTest::qWaitFor([&] { return session->state() == state; }, kLimitMs);
    }
    bool attach() {
        session->attach(QStringLiteral("story:"));
        return reaches(State::Held);
    }
    bool step(core::StepKind kind, quint64 seq) {
        QSignalSpy caught_up(session.get(), &Session::caught_up);
        session->step({kind, {}, false});
        return QTest::qWaitFor([&] { return session->live_seq() == seq && caught_up.count() > 0; }, kLimitMs);
    }

    std::shared_ptr<test::Strings> strings;
    core::Backends backends;
    std::unique_ptr<Session> session;
    std::vector<std::uint64_t> seen;
    QStringList troubles;
};

TEST_F(SessionTest, targets_are_listed_without_waiting) {
    QSignalSpy targets(session.get(), &Session::targets);
    session->list_targets();
    EXPECT_EQ(targets.count(), 0) << "the answer comes later, from the worker's thread";
    ASSERT_TRUE(targets.wait(kLimitMs));
    EXPECT_EQ(targets[0][0].value<QList<core::TargetName>>().size(), 2);
}

TEST_F(SessionTest, attaches_and_is_held_before_the_first_transition) {
    QSignalSpy progress(session.get(), &Session::progress);
    ASSERT_TRUE(attach());
    EXPECT_EQ(progress[0][0].toString(), u"opening the book");
    EXPECT_EQ(session->live_seq(), 0U);
    EXPECT_EQ(session->info().kernel, "6.1.0-56-cloud-amd64");
    EXPECT_TRUE(seen.empty());
}

TEST_F(SessionTest, steps_one_transition_then_to_the_next_nested_ones) {
    ASSERT_TRUE(attach());
    ASSERT_TRUE(step(core::StepKind::Transition, 1));
    ASSERT_TRUE(step(core::StepKind::Nested, 2));
    ASSERT_TRUE(step(core::StepKind::Exit, 5));
    ASSERT_TRUE(step(core::StepKind::Entry, 8));
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 7, 8}))
        << "what ran past between stops is fetched too";
    EXPECT_EQ(session->unfetched(), 0U);
}

TEST_F(SessionTest, a_step_of_one_vcpu_lets_the_others_run_or_holds_them_as_asked) {
    strings->vcpus = 2;
    ASSERT_TRUE(attach());
    session->step({core::StepKind::Transition, 0, false});
    ASSERT_TRUE(QTest::qWaitFor([&] { return session->live_seq() == 1 && session->state() == State::Held; }, kLimitMs));
    EXPECT_EQ(strings->last_actions().size(), 2U);
    session->step({core::StepKind::Transition, 0, true});
    ASSERT_TRUE(QTest::qWaitFor([&] { return session->live_seq() == 2; }, kLimitMs));
    EXPECT_EQ(strings->last_actions().size(), 1U);
    EXPECT_EQ(session->vcpus().size(), 2);
}

TEST_F(SessionTest, continue_runs_until_interrupted) {
    strings->endless = true;
    ASSERT_TRUE(attach());
    session->resume();
    ASSERT_TRUE(reaches(State::Running));
    session->interrupt();
    EXPECT_EQ(session->state(), State::Stopping);
    ASSERT_TRUE(reaches(State::Held));
    EXPECT_EQ(strings->interrupts, 1);
    EXPECT_EQ(session->live_seq(), 8U);
}

TEST_F(SessionTest, an_attach_is_cancelled_while_it_hangs) {
    strings->attach_hangs = true;
    session->attach(QStringLiteral("story:"));
    ASSERT_TRUE(QTest::qWaitFor([&] { return strings->attaches == 1; }, kLimitMs));
    session->cancel_attach();
    ASSERT_TRUE(reaches(State::Idle));
    EXPECT_TRUE(troubles.empty()) << "who cancels needs no error message";
    strings->attach_hangs = false;
    EXPECT_TRUE(attach()) << "a cancelled attach leaves no trace";
}

TEST_F(SessionTest, an_attach_cancelled_before_the_thread_came_to_it_is_given_up_too) {
    session->attach(QStringLiteral("story:"));
    session->cancel_attach();
    ASSERT_TRUE(reaches(State::Idle));
    EXPECT_EQ(strings->attaches, strings->detaches) << "a target that came too late is left again";
}

TEST_F(SessionTest, a_failed_attach_says_what_and_the_remedy) {
    strings->attach_fails = true;
    QSignalSpy trouble(session.get(), &Session::trouble);
    session->attach(QStringLiteral("story:"));
    ASSERT_TRUE(reaches(State::Idle));
    ASSERT_EQ(trouble.count(), 1);
    EXPECT_EQ(trouble[0][0].toString(), u"There is no such story.");
    EXPECT_EQ(trouble[0][1].toString(), u"Write one.");
}

TEST_F(SessionTest, an_unknown_scheme_is_an_error_and_not_a_crash) {
    session->attach(QStringLiteral("nonsense"));
    ASSERT_TRUE(reaches(State::Idle));
    EXPECT_EQ(troubles.size(), 1);
}

TEST_F(SessionTest, a_lost_connection_is_noticed_while_held_and_can_be_retried_until_it_is_back) {
    ASSERT_TRUE(attach());
    ASSERT_TRUE(step(core::StepKind::Nested, 2));
    QSignalSpy lost(session.get(), &Session::lost), connected(session.get(), &Session::connected);
    strings->lost = true;
    ASSERT_TRUE(reaches(State::Lost));
    EXPECT_EQ(lost[0][0].toString(), u"The connection to story: broke.");
    strings->attach_fails = true;
    session->retry();
    ASSERT_TRUE(QTest::qWaitFor([&] { return troubles.size() == 1; }, kLimitMs));
    EXPECT_EQ(session->state(), State::Lost) << "still there to be retried";
    strings->attach_fails = strings->lost = false;
    session->retry();
    ASSERT_TRUE(reaches(State::Held));
    EXPECT_TRUE(connected[0][0].toBool()) << "the same target again: what was seen stays";
    EXPECT_EQ(session->live_seq(), 0U);
}

TEST_F(SessionTest, a_guest_that_ends_while_running_loses_none_of_its_transitions) {
    ASSERT_TRUE(attach());
    QSignalSpy gone(session.get(), &Session::guest_gone);
    session->resume();
    ASSERT_TRUE(reaches(State::Ended));
    EXPECT_EQ(gone[0][0].toString(), u"The guest ended.");
    EXPECT_EQ(seen.size(), 8U);
}

TEST_F(SessionTest, detach_leaves_the_target) {
    ASSERT_TRUE(attach());
    session->detach();
    ASSERT_TRUE(reaches(State::Idle));
    EXPECT_EQ(strings->detaches, 1);
}

TEST_F(SessionTest, the_end_of_the_session_leaves_the_target_even_while_an_attach_hangs) {
    ASSERT_TRUE(attach());
    session.reset();
    EXPECT_EQ(strings->detaches, 1);
    session = std::make_unique<Session>(backends);
    strings->attach_hangs = true;
    session->attach(QStringLiteral("story:"));
    ASSERT_TRUE(QTest::qWaitFor([&] { return strings->attaches == 2; }, kLimitMs));
    session.reset();
}

constexpr std::uint64_t kMany = 2'500;

class LongRunTest : public SessionTest {
  protected:
    LongRunTest() : SessionTest(many()) {}
    static std::vector<TransitionPtr> many() {
        std::vector<TransitionPtr> story;
        for (std::uint64_t seq = 1; seq <= kMany; ++seq) {
            auto t = std::make_shared<nested::Transition>();
            t->seq = seq;
            story.push_back(t);
        }
        return story;
    }
};

TEST_F(LongRunTest, everything_is_fetched_once_however_long_it_ran) {
    strings->endless = true;
    ASSERT_TRUE(attach());
    QSignalSpy caught_up(session.get(), &Session::caught_up);
    session->resume();
    ASSERT_TRUE(reaches(State::Running));
    session->interrupt();
    ASSERT_TRUE(QTest::qWaitFor([&] { return caught_up.count() > 0; }, kLimitMs));
    ASSERT_EQ(seen.size(), kMany);
    for (std::size_t i = 0; i < seen.size(); ++i) ASSERT_EQ(seen[i], i + 1);
    EXPECT_EQ(session->unfetched(), 0U);
}

RecordRequest into(const QTemporaryDir& folder) {
    RecordRequest request;
    request.options.path = folder.filePath(QStringLiteral("a.vxt")).toStdString();
    return request;
}

TEST_F(SessionTest, a_recording_ends_when_it_is_interrupted_and_its_file_has_all_of_it) {
    const QTemporaryDir folder;
    strings->endless = true;
    ASSERT_TRUE(attach());
    QSignalSpy recording(session.get(), &Session::recording), recorded(session.get(), &Session::recorded);
    session->record(into(folder));
    ASSERT_TRUE(reaches(State::Running));
    ASSERT_TRUE(QTest::qWaitFor(
        [&] { return !recording.empty() && recording.back()[0].value<RecordProgress>().transitions > 0; }, kLimitMs));
    session->interrupt();
    ASSERT_TRUE(QTest::qWaitFor([&] { return recorded.count() == 1 && session->state() == State::Held; }, kLimitMs));
    const auto trace = core::trace::Trace::open(into(folder).options.path);
    ASSERT_TRUE(trace) << trace.error().text();
    EXPECT_EQ(trace->count(), strings->story.size());
    EXPECT_TRUE(trace->damage().empty());
}

TEST_F(SessionTest, a_recording_ends_by_itself_at_its_condition) {
    const QTemporaryDir folder;
    strings->endless = true;
    ASSERT_TRUE(attach());
    QSignalSpy recorded(session.get(), &Session::recorded);
    RecordRequest request = into(folder);
    request.options.until = *core::query::Query::parse("seq == 3");
    session->record(request);
    ASSERT_TRUE(QTest::qWaitFor([&] { return recorded.count() == 1 && session->state() == State::Held; }, kLimitMs));
    EXPECT_EQ(recorded[0][0].value<Recorded>().found, 3U);
    EXPECT_EQ(core::trace::Trace::open(request.options.path)->last(), 3U);
}

TEST_F(SessionTest, a_recording_that_cannot_begin_says_why_and_nothing_runs) {
    const QTemporaryDir folder;
    strings->tells = false;
    ASSERT_TRUE(attach());
    session->record(into(folder));
    ASSERT_TRUE(QTest::qWaitFor([&] { return !troubles.empty(); }, kLimitMs));
    strings->tells = true;
    RecordRequest nowhere = into(folder);
    nowhere.options.path = folder.filePath(QStringLiteral("no/such/folder/a.vxt")).toStdString();
    session->record(nowhere);
    ASSERT_TRUE(QTest::qWaitFor([&] { return troubles.size() == 2; }, kLimitMs));
    EXPECT_EQ(session->state(), State::Held);
}

}  // namespace
}  // namespace vmxscope::ui
