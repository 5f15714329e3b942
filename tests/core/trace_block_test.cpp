// Blocks: what goes in comes out, and nothing that is damaged does harm.
#include <gtest/gtest.h>

#include <random>

#include "core/trace/block.h"
#include "tests/nested/flow_samples.h"
#include "tests/nested/random_transition.h"
#include "trace_samples.h"

namespace vmxscope::core::trace {
namespace {

using nested::Transition;

std::vector<Transition> decoded(std::span<const std::byte> block) {
    std::vector<Transition> all;
    const auto done = decode_block(block, [&](const Transition& t) {
        all.push_back(t);
        return true;
    });
    EXPECT_TRUE(done) << done.error().what;
    return all;
}

std::vector<Transition> decoded(const std::vector<Bytes>& blocks) {
    std::vector<Transition> all;
    for (const Bytes& block : blocks)
        for (Transition& t : decoded(block)) all.push_back(std::move(t));
    return all;
}

std::vector<Bytes> encoded(const std::vector<Transition>& all, BlockLimits limits = {}) {
    std::vector<Bytes> blocks;
    BlockBuilder builder(limits);
    for (const Transition& t : all)
        if (builder.add(t)) blocks.push_back(builder.take());
    if (builder.count()) blocks.push_back(builder.take());
    EXPECT_TRUE(builder.take().empty());
    return blocks;
}

/// Every member any value that it can have; seq grows, by gaps, too.
std::vector<Transition> random_transitions(std::size_t n, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<Transition> all;
    std::uint64_t seq = 0;
    for (std::size_t i = 0; i < n; ++i) {
        all.push_back(nested::random_transition(random));
        all.back().seq = seq += 1 + (random() % 4 ? 0 : random() % 1000);
        if (random() % 2) all.back().vcpu = static_cast<std::uint32_t>(random() % 3);
    }
    return all;
}

std::vector<Transition> round_trips(std::size_t n, unsigned vcpus = 1) {
    test::RoundTrips source(n, vcpus);
    std::vector<Transition> all;
    for (std::size_t i = 0; i < n; ++i) all.push_back(source.next());
    return all;
}

TEST(TraceBlock, TransitionsOfAnyKindComeBackAsTheyWere) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const auto all = random_transitions(100, seed);
        EXPECT_TRUE(decoded(encoded(all)) == all) << seed;
    }
}

TEST(TraceBlock, RoundTripsOfSeveralVcpusComeBackAsTheyWere) {
    for (const unsigned vcpus : {1u, 2u, 7u}) {
        const auto all = round_trips(2000, vcpus);
        const auto blocks = encoded(all);
        EXPECT_GT(blocks.size(), 1u);
        EXPECT_TRUE(decoded(blocks) == all) << vcpus;
    }
}

TEST(TraceBlock, HandMadeEntriesAndExitsComeBackAsTheyWere) {
    std::vector<Transition> all{nested::good_entry(), nested::good_exit()};
    EXPECT_TRUE(decoded(encoded(all)) == all);
}

TEST(TraceBlock, TheBlockUnderWayCanBeLookedAt) {
    const auto all = round_trips(50);
    BlockBuilder builder;
    EXPECT_TRUE(builder.peek().empty());
    for (std::size_t i = 0; i < all.size(); ++i) {
        builder.add(all[i]);
        EXPECT_TRUE(decoded(builder.peek()) ==
                    std::vector(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(i) + 1));
    }
    EXPECT_TRUE(decoded(builder.take()) == all);
}

TEST(TraceBlock, DigestsAreThoseOfTheTransitionsWhetherTheyAreInTheBlockOrNot) {
    auto all = round_trips(300, 2);
    for (Transition& t : random_transitions(100, 5)) {
        t.seq += all.back().seq;
        all.push_back(t);
    }
    for (const bool kept : {true, false}) {
        std::vector<Digest> digests, expected;
        for (const Bytes& block : encoded(all, {.digests = kept})) {
            const auto of_block = block_digests(block);
            ASSERT_TRUE(of_block) << of_block.error().what;
            digests.insert(digests.end(), of_block->begin(), of_block->end());
        }
        for (const Transition& t : all) expected.push_back(digest_of(t));
        ASSERT_EQ(digests.size(), expected.size());
        for (std::size_t i = 0; i < digests.size(); ++i) EXPECT_TRUE(digests[i] == expected[i]) << kept << " " << i;
    }
}

}  // namespace
}  // namespace vmxscope::core::trace
