// The past in memory: what is kept, what has to go, and what is saved of it.
#include <gtest/gtest.h>

#include <filesystem>

#include "core/trace/past.h"
#include "core/trace/trace.h"
#include "trace_samples.h"

namespace vmxscope::core::trace {
namespace {

using nested::Transition;

std::vector<Transition> round_trips(std::size_t n) {
    test::RoundTrips source(3);
    std::vector<Transition> all;
    for (std::size_t i = 0; i < n; ++i) all.push_back(source.next());
    return all;
}

TEST(TracePast, KeepsWhatItIsGiven) {
    const auto all = round_trips(250);
    Past past(64u << 20, {.transitions = 100});
    EXPECT_EQ(past.first(), 0u);
    EXPECT_EQ(past.last(), 0u);
    EXPECT_FALSE(past.transition(1));
    EXPECT_TRUE(past.block_from(1).empty());
    for (const Transition& t : all) {
        past.add(t);
        EXPECT_EQ(past.first(), 1u);
        EXPECT_EQ(past.last(), t.seq);
        ASSERT_TRUE(past.transition(t.seq).value() == t) << t.seq;
    }
    for (const std::uint64_t seq : {1u, 250u, 249u, 250u, 100u, 101u, 200u, 201u, 3u})
        EXPECT_TRUE(past.transition(seq).value() == all[seq - 1]) << seq;
    EXPECT_FALSE(past.transition(0));
    EXPECT_FALSE(past.transition(251));
    EXPECT_EQ(past.dropped(), 0u);
}

TEST(TracePast, TheOldestGoWhenThereIsNoRoom) {
    const auto all = round_trips(1000);
    Past past(20'000, {.transitions = 50});
    for (const Transition& t : all) past.add(t);
    EXPECT_GT(past.dropped(), 0u);
    EXPECT_EQ(past.first(), past.dropped() + 1);
    EXPECT_EQ(past.last(), 1000u);
    EXPECT_FALSE(past.transition(past.first() - 1));
    EXPECT_TRUE(past.transition(past.first()).value() == all[past.first() - 1]);
    EXPECT_LE(past.bytes(), 20'000u + (1u << 20));
}

TEST(TracePast, BlocksAreGivenFromAnyTransitionOn) {
    const auto all = round_trips(250);
    Past past(64u << 20, {.transitions = 100});
    for (const Transition& t : all) past.add(t);
    std::vector<Transition> got;
    for (std::uint64_t next = 1; next <= past.last();) {
        const Bytes block = past.block_from(next);
        ASSERT_FALSE(block.empty());
        ASSERT_TRUE(decode_block(block, [&](const Transition& t) {
            got.push_back(t);
            return true;
        }));
        next = got.back().seq + 1;
    }
    EXPECT_TRUE(got == all);
    EXPECT_EQ(block_head(past.block_from(150))->first_seq, 101u);
    EXPECT_TRUE(past.block_from(251).empty());
}

TEST(TracePast, IsSavedAsATrace) {
    const auto path = std::filesystem::path(testing::TempDir()) / "past.vxt";
    const auto all = round_trips(250);
    Past past(64u << 20, {.transitions = 100});
    for (const Transition& t : all) past.add(t);
    {
        auto writer = Writer::create(path, {}, {}, true);
        ASSERT_TRUE(writer);
        ASSERT_TRUE(past.save(*writer));
    }
    const auto trace = Trace::open(path);
    ASSERT_TRUE(trace);
    EXPECT_TRUE(trace->damage().empty());
    EXPECT_EQ(trace->count(), 250u);
    EXPECT_TRUE(trace->transition(77).value() == all[76]);
    std::filesystem::remove(path);
}

}  // namespace
}  // namespace vmxscope::core::trace
