// Going back through what was seen of a guest that is held, and which step a break needs.
#include "core/past_target.h"

#include <gtest/gtest.h>

#include "core/break_target.h"
#include "scripted_target.h"

namespace vmxscope::core {
namespace {

using nested::Kind;
using query::Query;

std::shared_ptr<test::Script> two_vcpus() {
    auto s = std::make_shared<test::Script>();
    s->vcpus = 2;
    s->kinds = {Kind::L1Exit, Kind::NestedEntry, Kind::L2Entry, Kind::L2Exit, Kind::NestedExit, Kind::L1Entry};
    return s;
}

Stop next(Target& target) {
    const auto stop = target.wait(std::chrono::seconds(10));
    EXPECT_TRUE(stop && *stop);
    return stop && *stop ? **stop : Stop{};
}

TEST(Past, IsWhatEachVcpuHadComeTo) {
    const auto target = with_past(test::make_scripted_target(two_vcpus()));
    next(*target);
    for (unsigned i = 0; i < 1500; ++i) {  // several stretches
        ASSERT_TRUE(target->resume({{i < 2 || i == 1499 ? i % 2 : 0, StepKind::Transition}}));
        ASSERT_EQ(next(*target).seq, i + 1);
    }
    ASSERT_TRUE(target->resume_back(StepKind::Transition, 1));
    EXPECT_EQ(next(*target).seq, 2u);
    const auto then = target->vcpus();
    ASSERT_TRUE(then);
    EXPECT_EQ(then->at(0).last_seq, 1u);
    EXPECT_EQ(then->at(0).level, 1);
    EXPECT_EQ(then->at(1).last_seq, 2u);
    EXPECT_EQ(target->history()->last, 1500u);
    ASSERT_TRUE(target->go_to(1499));
    EXPECT_EQ(next(*target).seq, 1499u);
    EXPECT_EQ(target->vcpus()->at(1).last_seq, 2u);
    EXPECT_EQ(target->vcpus()->at(0).last_seq, 1499u);
    ASSERT_TRUE(target->resume({{std::nullopt, StepKind::Transition}}));
    EXPECT_EQ(next(*target).why, Stop::Why::Transition);
    EXPECT_EQ(target->vcpus()->at(1).last_seq, 1500u);
    EXPECT_TRUE(target->read_memory(0, Space::L1Linear, test::kMappedFrom, 1));  // the present
}

TEST(Past, AStepThatFindsNoMoreStopsAtEitherEnd) {
    const auto target = with_past(test::make_scripted_target(two_vcpus()));
    next(*target);
    for (int i = 0; i < 5; ++i) {
        ASSERT_TRUE(target->resume({{0, StepKind::Transition}}));
        next(*target);
    }
    ASSERT_TRUE(target->resume_back(StepKind::Entry, {}));
    EXPECT_EQ(next(*target).seq, 2u);
    ASSERT_TRUE(target->resume_back(StepKind::Entry, {}));
    const Stop begin = next(*target);
    EXPECT_EQ(begin.why, Stop::Why::End);
    EXPECT_EQ(begin.seq, 1u);
    ASSERT_TRUE(target->resume({{1, StepKind::Transition}}));  // of a vCPU that has not come to any
    const Stop present = next(*target);
    EXPECT_EQ(present.why, Stop::Why::End);
    EXPECT_EQ(present.seq, 5u);
    EXPECT_FALSE(target->write_memory(0, Space::L1Linear, test::kMappedFrom, {std::byte{0}}));
}

TEST(Past, IsWhereNothingIsWrittenOrRecorded) {
    auto script = two_vcpus();
    script->abilities = {Ability::Transitions, Ability::Write, Ability::NonStop};
    const auto target = with_past(test::make_scripted_target(script));
    next(*target);
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(target->resume({{0, StepKind::Transition}}));
        next(*target);
    }
    ASSERT_TRUE(target->go_to(1));
    next(*target);
    EXPECT_FALSE(target->write_memory(0, Space::L1Linear, test::kMappedFrom, {std::byte{0}}));
    EXPECT_FALSE(target->write_field(0, WrittenVmcs::Vmcs12, vmx::Field::GUEST_CR3, 1));
    EXPECT_FALSE(target->record({}));
    EXPECT_FALSE(target->set_non_stop(true));
    ASSERT_TRUE(target->go_to(3));
    next(*target);
    EXPECT_TRUE(target->write_memory(0, Space::L1Linear, test::kMappedFrom, {std::byte{0}}));
    EXPECT_TRUE(target->set_non_stop(true));
    EXPECT_FALSE(target->go_to(1));
}

TEST(Breaks, TakeTheWidestStepThatCannotMiss) {
    const auto step = [](std::initializer_list<const char*> conditions) {
        BreakTarget target(test::make_scripted_target(two_vcpus()));
        for (const char* c : conditions) EXPECT_TRUE(target.add(Query::parse(c).value())) << c;
        return target.step();
    };
    EXPECT_EQ(step({"kind == nested-entry"}), StepKind::Entry);
    EXPECT_EQ(step({"kind == nested-entry && vmcs12.GUEST_CR3 == 5"}), StepKind::Entry);
    EXPECT_EQ(step({"kind in {nested-entry, nested-entry-failed} && findings > 0"}), StepKind::Entry);
    EXPECT_EQ(step({"kind == nested-exit && exit_reason == HLT"}), StepKind::Exit);
    EXPECT_EQ(step({"kind == nested-exit", "kind == nested-entry"}), StepKind::Nested);
    EXPECT_EQ(step({"exit_reason == HLT"}), StepKind::Transition);
    EXPECT_EQ(step({"kind == l2-exit"}), StepKind::Transition);
    EXPECT_EQ(step({"level == 2"}), StepKind::Transition);
    EXPECT_EQ(step({"known(exit_reason) || kind == nested-exit"}), StepKind::Transition);
    EXPECT_EQ(step({"kind == nested-exit && time > 1s"}), StepKind::Transition);
    EXPECT_EQ(step({"kind != nested-exit"}), StepKind::Transition);
}

}  // namespace
}  // namespace vmxscope::core
