// Going through what was seen: steps, searches, the history of a field, differences; each against a plain walk through
// all transitions.
#include "core/timeline.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <functional>

#include "core/query/evaluator.h"
#include "core/timeline_stretch.h"
#include "core/trace/block_parts.h"
#include "core/trace/writer.h"
#include "tests/nested/flow_samples.h"
#include "trace_samples.h"

namespace vmxscope::core::test {
namespace {

using nested::Kind;
using nested::Transition;
using vmx::Value;
using enum vmx::Field;

constexpr trace::BlockLimits kSmall{.transitions = 64};

/// A session of two vCPUs with a gap in its numbers, both as a file and as a past whose last block is not whole.
class TimelineTest : public ::testing::Test {
  protected:
    static void SetUpTestSuite() {
        RoundTrips guest(7, 2);
        for (int i = 0; i < 1500; ++i) {
            Transition t = guest.next();
            if (t.seq >= 700) t.seq += 250;
            if (t.seq == 1100) t.lost_before = 3;
            all_.push_back(t);
        }
        trace::TraceInfo info;
        info.tsc_khz = 2'000'000;
        auto writer = trace::Writer::create(path(), info, kSmall, true);
        ASSERT_TRUE(writer) << writer.error().what;
        past_ = std::make_unique<trace::Past>(256u << 20, kSmall);
        for (const Transition& t : all_) {
            ASSERT_TRUE(writer->add(t));
            past_->add(t);
        }
        ASSERT_TRUE(writer->finish());
        lines_.push_back(timeline_of(*trace::Trace::open(path())));
        lines_.push_back(timeline_of(*past_, info));
    }
    static void TearDownTestSuite() {
        lines_.clear();
        past_.reset();
        all_.clear();
        std::filesystem::remove(path());
    }
    static std::string path() {
        return ::testing::TempDir() + "vmxscope-timeline-" + std::to_string(getpid()) + ".vxt";
    }

    static std::optional<std::uint64_t> plain_step(std::uint64_t from, Way way,
                                                   const std::function<bool(const Transition&)>& ends) {
        std::optional<std::uint64_t> found;
        for (const Transition& t : all_) {
            if (way == Way::Forth && t.seq > from && ends(t)) return t.seq;
            if (way == Way::Back && t.seq < from && ends(t)) found = t.seq;
        }
        return found;
    }
    static const Transition& at(std::uint64_t seq) { return *std::ranges::find(all_, seq, &Transition::seq); }

    static std::vector<Transition> all_;
    static std::unique_ptr<trace::Past> past_;
    static std::vector<std::unique_ptr<Timeline>> lines_;
};
std::vector<Transition> TimelineTest::all_;
std::unique_ptr<trace::Past> TimelineTest::past_;
std::vector<std::unique_ptr<Timeline>> TimelineTest::lines_;

constexpr std::uint64_t kPlaces[] = {0,   1,   2,   63,  64,  65,   500,  698,  699,
                                     700, 800, 949, 950, 951, 1100, 1749, 1750, 9000};

TEST_F(TimelineTest, KnowsItsEndsAndEveryTransition) {
    for (const auto& line : lines_) {
        EXPECT_EQ(line->first(), all_.front().seq);
        EXPECT_EQ(line->last(), all_.back().seq);
        EXPECT_TRUE(line->gaps().empty());
        for (std::size_t i = 0; i < all_.size(); i += 37) {
            const auto t = line->transition(all_[i].seq);
            ASSERT_TRUE(t) << t.error().what;
            EXPECT_EQ(*t, all_[i]);
            EXPECT_EQ(line->at_tsc(all_[i].tsc), all_[i].seq);
            EXPECT_EQ(line->at_tsc(all_[i].tsc + 1), all_[i].seq);
        }
        EXPECT_EQ(line->at_tsc(0), all_.front().seq);
        EXPECT_EQ(line->at_tsc(~0ull), all_.back().seq);
        EXPECT_FALSE(line->transition(800));
    }
}

TEST_F(TimelineTest, StretchesCoverEverythingInBothDirections) {
    for (const auto& line : lines_) {
        std::vector<std::uint64_t> forth, back;
        for (std::uint64_t seq = 0;;) {
            const auto stretch = stretch_from(*line, seq + 1);
            ASSERT_TRUE(stretch);
            if (stretch->empty()) break;
            for (const auto& d : *stretch) forth.push_back(d.seq);
            seq = stretch->back().seq;
        }
        for (std::uint64_t seq = ~0ull;;) {
            const auto stretch = stretch_before(*line, seq);
            ASSERT_TRUE(stretch);
            if (stretch->empty()) break;
            for (std::size_t i = stretch->size(); i-- > 0;) back.insert(back.begin(), (*stretch)[i].seq);
            seq = stretch->front().seq;
        }
        ASSERT_EQ(forth.size(), all_.size());
        for (std::size_t i = 0; i < all_.size(); ++i) ASSERT_EQ(forth[i], all_[i].seq);
        EXPECT_EQ(back, forth);
    }
}

TEST_F(TimelineTest, StepsAsAPlainWalkDoes) {
    for (const auto& line : lines_)
        for (const std::uint64_t from : kPlaces)
            for (const Way way : {Way::Back, Way::Forth})
                for (const StepKind kind : {StepKind::Transition, StepKind::Nested, StepKind::Entry, StepKind::Exit})
                    for (const auto vcpu : {std::optional<std::uint32_t>{}, std::optional<std::uint32_t>{1},
                                            std::optional<std::uint32_t>{5}}) {
                        const auto step = step_from(*line, from, kind, way, vcpu);
                        ASSERT_TRUE(step) << step.error().what;
                        EXPECT_EQ(*step, plain_step(from, way,
                                                    [&](const Transition& t) {
                                                        return matches(kind, t.kind) && (!vcpu || t.vcpu == *vcpu);
                                                    }))
                            << from << " " << name_of(kind);
                    }
}

TEST_F(TimelineTest, FindsWhatAWatchOfAllOfThemFinds) {
    for (const char* text :
         {"exit_reason == CPUID", "round_trip > 20us", "changed(vmcs12.GUEST_CR3)",
          "vmcs02.GUEST_CR3 == 0x103000 && vcpu == 1", "exit_reason == HLT || rax == 3 && kind == l2-exit",
          "time > 4ms && kind == nested-exit", "lost > 0", "seq == 5000"}) {
        const auto query = query::Query::parse(text);
        ASSERT_TRUE(query) << text;
        query::Watch watch(*query, 2'000'000);
        std::vector<std::uint64_t> matches;
        for (const Transition& t : all_)
            if (watch.take(t) == query::Truth::Yes) matches.push_back(t.seq);
        for (const auto& line : lines_)
            for (const std::uint64_t from : kPlaces) {
                const auto forth = find_from(*line, from, *query, Way::Forth);
                const auto back = find_from(*line, from, *query, Way::Back);
                ASSERT_TRUE(forth && back) << text;
                const auto next = std::ranges::upper_bound(matches, from);
                const auto before = std::ranges::lower_bound(matches, from);
                EXPECT_EQ(*forth, next == matches.end() ? std::nullopt : std::optional(*next))
                    << text << " from " << from;
                EXPECT_EQ(*back, before == matches.begin() ? std::nullopt : std::optional(*(before - 1)))
                    << text << " back from " << from;
            }
    }
}

TEST_F(TimelineTest, ASearchCanBeEnded) {
    const auto query = query::Query::parse("seq == 100000");
    ASSERT_TRUE(query);
    double before = 0;
    int calls = 0;
    const auto found = find_from(*lines_[0], 0, *query, Way::Forth, [&](double done) {
        EXPECT_GE(done, before);
        before = done;
        return ++calls < 3;
    });
    EXPECT_FALSE(found);
    EXPECT_EQ(calls, 3);
    EXPECT_LT(before, 1.0);
}

/// Every change of a field, by looking at every value.
std::vector<FieldChange> plain_history(const std::vector<Transition>& all, Which vmcs, vmx::Field field,
                                       std::uint32_t vcpu) {
    std::vector<FieldChange> changes;
    Value held;
    for (const Transition& t : all) {
        if (t.vcpu != vcpu) continue;
        const bool v12 = vmcs == Which::Vmcs12;
        for (const Value now : {v12 ? t.vmcs12_before[field] : t.vmcs02_before[field],
                                v12 ? t.vmcs12_after[field] : t.vmcs02_after[field]}) {
            if (!now.known()) continue;
            if (held.known() && held.bits != now.bits) changes.push_back({t.seq, t.vcpu, t.kind, held, now, ""});
            held = now;
        }
    }
    return changes;
}

TEST_F(TimelineTest, TheHistoryOfAFieldIsEveryChangeOfIt) {
    for (const auto& line : lines_)
        for (const Which vmcs : {Which::Vmcs12, Which::Vmcs02})
            for (const vmx::Field field :
                 {GUEST_CR3, GUEST_RIP, VM_EXIT_REASON, GUEST_PHYSICAL_ADDRESS, GUEST_CR4, HOST_RIP}) {
                const auto want = plain_history(all_, vmcs, field, 1);
                const auto got = field_history(*line, vmcs, field, 1, ~0ull - 1, 100'000);
                ASSERT_TRUE(got) << got.error().what;
                ASSERT_EQ(got->size(), want.size()) << vmx::name_of(field);
                for (std::size_t i = 0; i < want.size(); ++i) {
                    EXPECT_EQ((*got)[i].seq, want[i].seq);
                    EXPECT_EQ((*got)[i].before, want[i].before);
                    EXPECT_EQ((*got)[i].after, want[i].after);
                    EXPECT_EQ((*got)[i].kind, want[i].kind);
                    EXPECT_FALSE((*got)[i].who.empty());
                }
            }
}

TEST_F(TimelineTest, OfAHistoryTheNewestAreKept) {
    const auto want = plain_history(all_, Which::Vmcs12, GUEST_RIP, 0);
    for (const auto& line : lines_) {
        const auto got = field_history(*line, Which::Vmcs12, GUEST_RIP, 0, 600, 5);
        ASSERT_TRUE(got);
        ASSERT_EQ(got->size(), 5u);
        std::vector<std::uint64_t> seqs;
        for (const FieldChange& c : want)
            if (c.seq <= 600) seqs.push_back(c.seq);
        for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ((*got)[i].seq, seqs[seqs.size() - 5 + i]);
        const auto last = last_change(*line, Which::Vmcs12, GUEST_RIP, 0, got->back().seq, false);
        ASSERT_TRUE(last && *last);
        EXPECT_EQ((*last)->seq, seqs[seqs.size() - 2]);
    }
}

TEST_F(TimelineTest, TheLastEntryThatChangedAFieldIsAnEntry) {
    for (const auto& line : lines_) {
        const auto of12 = last_change(*line, Which::Vmcs12, GUEST_RIP, 1, 600, true);
        ASSERT_TRUE(of12 && *of12);
        EXPECT_EQ((*of12)->kind, Kind::NestedEntry);
        EXPECT_EQ((*of12)->who, "L1 wrote it");
        EXPECT_EQ((*of12)->after, at((*of12)->seq).vmcs12_after[GUEST_RIP]);
        const auto newest = step_from(*line, 600, StepKind::Entry, Way::Back, 1);
        EXPECT_EQ((*of12)->seq, **newest);  // L1 moves RIP before each
        const auto of02 = last_change(*line, Which::Vmcs02, GUEST_RIP, 1, 600, true);
        ASSERT_TRUE(of02 && *of02);
        EXPECT_EQ((*of02)->kind, Kind::NestedEntry);
        EXPECT_EQ((*of02)->after, at((*of02)->seq).vmcs02_after[GUEST_RIP]);
        EXPECT_EQ(*last_change(*line, Which::Vmcs12, HOST_RIP, 1, 600, true), std::nullopt);
    }
}

// ---- Who: transitions by hand

class Story {
  public:
    Transition& add(Kind kind) {
        Transition t = kind == Kind::NestedExit ? nested::good_exit() : nested::good_entry();
        t.kind = kind;
        t.seq = all_.size() + 1;
        t.tsc = 1000 * t.seq;
        t.vmcs02_as_of = t.seq;
        if (!all_.empty()) {
            t.vmcs12_before = t.vmcs12_after = all_.back().vmcs12_after;
            t.vmcs02_before = t.vmcs02_after = all_.back().vmcs02_after;
        }
        return all_.emplace_back(std::move(t));
    }
    std::vector<FieldChange> history(Which vmcs, vmx::Field field) {
        trace::Past past(1u << 24, {.transitions = 2});
        for (const Transition& t : all_) past.add(t);
        const auto line = timeline_of(past, {});
        const auto found = field_history(*line, vmcs, field, all_.front().vcpu, all_.size(), 100);
        EXPECT_TRUE(found) << found.error().what;
        return found.value_or(std::vector<FieldChange>{});
    }

  private:
    std::deque<Transition> all_;
};

TEST(TimelineWho, L1KvmAndTheProcessor) {
    Story story;
    story.add(Kind::NestedEntry);
    story.add(Kind::L2Entry);
    Transition& exit = story.add(Kind::L2Exit);
    exit.vmcs02_after[GUEST_RIP] = Value::of(0x777000);
    Transition& back = story.add(Kind::NestedExit);
    back.vmcs12_after[GUEST_RIP] = Value::of(0x777000);
    back.evidence = {{nested::Evidence::Op::Vmread, static_cast<std::uint16_t>(GUEST_RIP), Value::of(0x777000),
                      "sync_vmcs02_to_vmcs12+0x40", true}};
    story.add(Kind::L1Entry);
    Transition& wrote = story.add(Kind::L1Exit);
    wrote.vmcs12_before[GUEST_RIP] = wrote.vmcs12_after[GUEST_RIP] = Value::of(0x777003);
    Transition& entry = story.add(Kind::NestedEntry);
    entry.vmcs02_after[GUEST_RIP] = Value::of(0x777003);
    entry.evidence = {{nested::Evidence::Op::Vmwrite, static_cast<std::uint16_t>(GUEST_RIP), Value::of(0x777003),
                       "prepare_vmcs02+0x4a0", true}};

    const auto of12 = story.history(Which::Vmcs12, GUEST_RIP);
    ASSERT_EQ(of12.size(), 2u);
    EXPECT_EQ(of12[0].seq, 4u);
    EXPECT_NE(of12[0].who.find(", at sync_vmcs02_to_vmcs12+0x40"), std::string::npos) << of12[0].who;
    EXPECT_EQ(of12[1].seq, 6u);
    EXPECT_EQ(of12[1].who, "L1 wrote it");
    const auto of02 = story.history(Which::Vmcs02, GUEST_RIP);
    ASSERT_EQ(of02.size(), 2u);
    EXPECT_EQ(of02[0].who, "the CPU saved it");
    EXPECT_NE(of02[1].who.find(", at prepare_vmcs02+0x4a0"), std::string::npos) << of02[1].who;
}

TEST(TimelineWho, AnotherVmcs12AndWhatIsMissing) {
    Story story;
    story.add(Kind::L1Entry).context.current_vmptr = 0x1000;
    Transition& other = story.add(Kind::L1Exit);
    other.context.current_vmptr = 0x2000;
    other.vmcs12_before[HOST_RIP] = other.vmcs12_after[HOST_RIP] = Value::of(0x42);
    Transition& lost = story.add(Kind::L1Entry);
    lost.context.current_vmptr = 0x2000;
    lost.lost_before = 7;
    lost.vmcs12_before[HOST_RIP] = lost.vmcs12_after[HOST_RIP] = Value::of(0x43);
    const auto changes = story.history(Which::Vmcs12, HOST_RIP);
    ASSERT_EQ(changes.size(), 2u);
    EXPECT_EQ(changes[0].who, "nobody: another vmcs12 is current");
    EXPECT_EQ(changes[1].who, "not seen: transitions are missing before this one");
}

TEST(TimelineDifferences, AreWhatDiffersAndNothingElse) {
    Transition a = nested::good_entry(), b = a;
    b.seq = a.seq + 100;
    b.tsc += 999;
    b.vmcs02_as_of += 100;
    EXPECT_TRUE(differences(a, b).empty());
    b.vmcs12_after[GUEST_CR3] = Value::of(0x1234000);
    b.regs[nested::RIP] = Value::of(0xabc);
    a.regs[nested::RIP] = Value::of(0xdef);
    b.vmcs02_after[GUEST_CR4] = {};  // nobody read it: no difference
    const auto found = differences(a, b);
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0].name, "rip");
    EXPECT_EQ(found[0].b, Value::of(0xabc));
    EXPECT_EQ(found[1].name, "vmcs12.GUEST_CR3");
    EXPECT_EQ(found[1].b, Value::of(0x1234000));
}

/// Its head is not to be believed: going from block to block must come to an end all the same.
TEST(TimelineDamage, ABlockThatEndsBeforeItsHeadSaysIsPassedOver) {
    const std::string path = ::testing::TempDir() + "vmxscope-timeline-wrong-" + std::to_string(getpid()) + ".vxt";
    RoundTrips guest(5);
    auto writer = trace::Writer::create(path, {}, {}, true);
    ASSERT_TRUE(writer);
    for (int block = 0; block < 3; ++block) {
        trace::BlockBuilder builder;
        for (int i = 0; i < 20; ++i) {
            Transition t = guest.next();
            if (block == 2) t.seq += 100;
            builder.add(t);
        }
        auto bytes = builder.take();
        if (block == 1) {
            bytes[16] = std::byte{90};  // last_seq
            trace::seal_block(bytes);
        }
        ASSERT_TRUE(writer->add_block(bytes));
    }
    ASSERT_TRUE(writer->finish());
    auto trace = trace::Trace::open(path);
    ASSERT_TRUE(trace);
    ASSERT_EQ(trace->blocks(), 3u);
    const auto line = timeline_of(std::move(*trace));
    EXPECT_EQ(*find_from(*line, 0, *query::Query::parse("false"), Way::Forth), std::nullopt);
    EXPECT_EQ(**step_from(*line, 20, StepKind::Transition, Way::Forth), 141u);
    EXPECT_EQ(**step_from(*line, 141, StepKind::Transition, Way::Back), 20u);
    EXPECT_EQ(line->gaps().size(), 1u);
    std::filesystem::remove(path);
}

TEST(TimelineEmpty, NothingIsAnAnswer) {
    const trace::Past past(1u << 20);
    const auto line = timeline_of(past, {});
    EXPECT_EQ(line->last(), 0u);
    EXPECT_EQ(*step_from(*line, 0, StepKind::Transition, Way::Forth), std::nullopt);
    EXPECT_EQ(*step_from(*line, 10, StepKind::Transition, Way::Back), std::nullopt);
    EXPECT_EQ(*find_from(*line, 0, *query::Query::parse("true"), Way::Forth), std::nullopt);
    EXPECT_TRUE(field_history(*line, Which::Vmcs12, GUEST_RIP, 0, ~0ull - 1, 10)->empty());
}

}  // namespace
}  // namespace vmxscope::core::test
