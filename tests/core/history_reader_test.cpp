// A target's history as it grows, whatever the blocks that it comes in.
#include "core/history_reader.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/trace/block.h"
#include "core/wrapped_target.h"
#include "scripted_target.h"

namespace vmxscope::core {
namespace {

using nested::Transition;

/// Has `blocks`, as an agent does that cuts them when it likes, and shows what `shown` says.
class Blocks final : public WrappedTarget {
  public:
    Blocks() : WrappedTarget(test::make_scripted_target(std::make_shared<test::Script>())) {}

    void add(std::uint64_t first, std::uint64_t last) {
        trace::BlockBuilder builder;
        for (std::uint64_t seq = first; seq <= last; ++seq)
            builder.add(test::example_transition(seq, 0, nested::Kind::L2Exit));
        blocks.push_back(builder.take());
    }
    Result<History> history() override { return shown; }
    Result<std::vector<std::byte>> past(std::uint64_t from) override {
        const auto at =
            std::ranges::find_if(blocks, [&](const auto& b) { return trace::block_head(b)->last_seq >= from; });
        return at == blocks.end() ? std::vector<std::byte>{} : *at;
    }

    std::vector<trace::Bytes> blocks;
    History shown;
};

class HistoryReaders : public testing::Test {
  protected:
    /// The numbers of all that is new.
    std::vector<std::uint64_t> read() {
        std::vector<std::uint64_t> seqs;
        for (;;) {
            const auto piece = reader.next(target);
            EXPECT_TRUE(piece) << piece.error().text();
            if (!piece || !*piece) return seqs;
            EXPECT_TRUE(for_each(**piece, [&](const Transition& t) { seqs.push_back(t.seq); }));
        }
    }

    Blocks target;
    HistoryReader reader;
};

using Seqs = std::vector<std::uint64_t>;

TEST_F(HistoryReaders, GiveEachTransitionOnceAndNoneThatIsNotShownYet) {
    EXPECT_EQ(read(), Seqs{});
    target.add(1, 3);
    target.add(4, 8);
    target.shown = {1, 5, 0};
    EXPECT_EQ(read(), (Seqs{1, 2, 3, 4, 5}));
    EXPECT_EQ(read(), Seqs{});
    EXPECT_EQ(reader.unread(), 0u);
    target.shown.last = 8;
    EXPECT_EQ(read(), (Seqs{6, 7, 8}));
    EXPECT_EQ(reader.missed(), 0u);
}

TEST_F(HistoryReaders, CountWhatIsKeptNoMore) {
    target.add(5, 6);
    target.add(9, 10);
    target.shown = {5, 10, 0};
    EXPECT_EQ(read(), (Seqs{5, 6, 9, 10}));
    EXPECT_EQ(reader.missed(), 6u);
    target.add(20, 21);
    target.shown.last = 15;  // what is not shown is not missed either
    EXPECT_EQ(read(), Seqs{});
    EXPECT_EQ(reader.missed(), 11u);
}

TEST_F(HistoryReaders, PassOverWhatWasHadInAnotherWay) {
    target.add(1, 6);
    target.shown = {1, 6, 0};
    reader.pass_over(4);
    EXPECT_EQ(read(), (Seqs{5, 6}));
    reader.pass_over(2);
    EXPECT_EQ(read(), Seqs{});
    EXPECT_EQ(reader.missed(), 0u);
}

TEST_F(HistoryReaders, TellOfAnotherPartThanWasAskedFor) {
    target.add(1, 6);
    target.shown = {1, 9, 0};
    EXPECT_EQ(read().size(), 6u);
    struct Liar final : WrappedTarget {
        explicit Liar(trace::Bytes b)
            : WrappedTarget(test::make_scripted_target(std::make_shared<test::Script>())), block(std::move(b)) {}
        Result<History> history() override { return History{1, 9, 0}; }
        Result<std::vector<std::byte>> past(std::uint64_t) override { return block; }
        trace::Bytes block;
    } liar(target.blocks[0]);
    EXPECT_FALSE(reader.next(liar));
}

}  // namespace
}  // namespace vmxscope::core
