// Blocks: what goes in comes out, and nothing that is damaged does harm.
#include <gtest/gtest.h>

#include <random>

#include "core/trace/block_parts.h"
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

TEST(TraceBlock, BitsOfAValueThatIsNotKnownSpoilNothing) {
    auto all = round_trips(40);
    all[5].exit.guest_linear = {77, vmx::Known::NotRead};
    all[7].vmcs12_after[vmx::Field::GUEST_CR3] = {78, vmx::Known::Faulted};
    const auto read = decoded(encoded(all));
    ASSERT_EQ(read.size(), all.size());
    EXPECT_EQ(read[5].exit.guest_linear, vmx::Value{});
    EXPECT_EQ(read[7].vmcs12_after[vmx::Field::GUEST_CR3], vmx::Value::faulted());
    EXPECT_TRUE(read.back() == all.back());
}

TEST(TraceBlock, WhatIsTooMuchOfOneTransitionIsLeftOutAndSaidToBe) {
    auto all = round_trips(3);
    all[1].notes.assign(100, std::string(100'000, 'x'));
    const auto read = decoded(encoded(all));
    ASSERT_EQ(read.size(), 3u);
    ASSERT_EQ(read[1].notes.size(), 1u);
    EXPECT_TRUE(read[1].notes[0].starts_with(nested::kEvidenceIncomplete)) << read[1].notes[0];
    EXPECT_NE(read[1].notes[0].find("100 notes"), std::string::npos);
    EXPECT_TRUE(read[1].vmcs02_after == all[1].vmcs02_after);
    EXPECT_TRUE(read[2] == all[2]);
}

TEST(TraceBlock, AFullBlockSaysSoBeforeAnyReaderWouldRefuseIt) {
    auto some = random_transitions(40, 9);
    BlockBuilder builder({.transitions = 65536, .bytes = 64u << 20, .digests = false});
    std::uint64_t seq = 0;
    const auto fill = [&](auto change) {
        std::size_t n = 0;
        for (bool full = false; !full && n < 70'000; ++n) {
            Transition& t = some[n % some.size()];
            t.seq = ++seq;
            change(t, n);
            full = builder.add(t);
        }
        std::size_t read = 0;
        EXPECT_TRUE(decode_block(builder.take(), [&](const Transition&) { return ++read != 0; }));
        EXPECT_EQ(read, n);
        return n;
    };
    EXPECT_EQ(fill([](Transition& t, std::size_t n) { t.vcpu = static_cast<std::uint32_t>(n); }), 256u);
    for (Transition& t : some) t.vcpu = 0;
    const auto heavy = [](Transition& t, std::size_t) { t.notes.assign(100, std::string(10'000, 'x')); };
    EXPECT_LT(fill(heavy), 100u);  // 64 MiB once they are read
    for (Transition& t : some) t.notes.clear();
    const auto literal = [](Transition& t, std::size_t n) {
        t.kvm_reason = std::string(200'000, static_cast<char>(n)) + std::to_string(n);
    };
    EXPECT_LT(fill(literal), 60u);  // 8 MiB as they are written
}

/// A block of any bytes whose checksums are right.
Bytes sealed(Bytes block) {
    seal_block(block);
    return block;
}

TEST(TraceBlock, HeadsThatClaimTooMuchAreRefused) {
    BlockBuilder builder;
    for (const Transition& t : round_trips(5)) builder.add(t);
    const Bytes whole = builder.take();
    const auto with = [&](std::size_t at, std::uint32_t value) {
        Bytes block = whole;
        std::memcpy(block.data() + at, &value, sizeof value);
        return sealed(block);
    };
    EXPECT_TRUE(block_head(sealed(whole)));
    for (const std::size_t at : {48u, 52u, 56u}) EXPECT_FALSE(block_head(with(at, 0xffffffff))) << at;
    EXPECT_FALSE(block_head(with(48, 0)));
    for (const std::uint32_t count : {4u, 6u}) EXPECT_FALSE(BlockReader::open(with(48, count)));
    EXPECT_NE(block_head(with(4, 2)).error().what.find("version 2"), std::string::npos);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const auto part = std::span(whole).first(size);
        EXPECT_FALSE(decode_block(part, [](const Transition&) { return true; })) << size;
        EXPECT_FALSE(block_digests(part) && size < block_head(whole)->columns) << size;
    }
}

TEST(TraceBlock, SectionsThatClaimTooMuchAreRefused) {
    const auto opened = [](std::initializer_list<std::uint64_t> sizes, std::size_t rest) {
        Bytes bytes;
        put_byte(bytes, static_cast<std::uint8_t>(sizes.size() / 2));
        for (const std::uint64_t n : sizes) put_number(bytes, n);
        bytes.resize(bytes.size() + rest);
        Section section;
        if (!section.open(bytes)) return false;
        for (std::size_t i = 0; i < sizes.size() / 2; ++i)
            if (!section.stream(i)) return false;
        return true;
    };
    EXPECT_TRUE(opened({3, 3, 2, 2}, 5));
    EXPECT_FALSE(opened({3, 3, 2, 2}, 4));
    EXPECT_FALSE(opened({3, 3, 2, 2}, 6));
    EXPECT_FALSE(opened({3, 4}, 4));
    EXPECT_FALSE(opened({100, 4}, 4));  // no zstd frame
    EXPECT_FALSE(opened({kMostRaw + 1, 4}, 4));
    EXPECT_FALSE(opened({kMostRaw - 1, 4, 2, 2}, 6));
    EXPECT_FALSE(opened({~0ull, 4}, 4));
}

/// The block with its field list as another program would have it: one field has an encoding that this one does not
/// know.
Bytes with_renamed_field(std::span<const std::byte> block, std::size_t field, unsigned encoding) {
    const auto head = block_head(block).value();
    Section section;
    EXPECT_TRUE(section.open(block.subspan(kBlockHeadSize, head.columns - kBlockHeadSize)));
    std::vector<Bytes> streams(kColumns);
    for (std::size_t i = 0; i < kColumns; ++i) {
        const auto stream = section.stream(i).value();
        streams[i].assign(stream.begin(), stream.end());
    }
    streams[0].clear();
    put_number(streams[0], vmx::kFieldCount);
    unsigned last = 0;
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) {
        const unsigned now = i == field ? encoding : static_cast<unsigned>(vmx::all_fields()[i].field);
        put_number(streams[0], now - last);
        last = now;
    }
    Bytes out(block.begin(), block.begin() + kBlockHeadSize);
    Compressor(3).section(out, streams);
    const auto columns = static_cast<std::uint32_t>(out.size() - kBlockHeadSize);
    std::memcpy(out.data() + 52, &columns, sizeof columns);
    out.insert(out.end(), block.begin() + static_cast<std::ptrdiff_t>(head.columns), block.end());
    return sealed(out);
}

TEST(TraceBlock, AFieldThatThisProgramDoesNotKnowIsPassedBy) {
    constexpr std::size_t kLast = vmx::kFieldCount - 1;
    auto all = random_transitions(60, 3);
    for (Transition& t : all) t.evidence.clear();
    BlockBuilder builder;
    for (const Transition& t : all) builder.add(t);
    const Bytes block = with_renamed_field(builder.take(), kLast, 0x7ffe);
    for (Transition& t : all)
        for (auto* image : {&t.vmcs01, &t.vmcs12_before, &t.vmcs12_after, &t.vmcs02_before, &t.vmcs02_after})
            image->at_index(kLast) = {};
    EXPECT_TRUE(decoded(block) == all);
    EXPECT_FALSE(block_changes(block)->vmcs12[kLast]);
    EXPECT_TRUE(block_changes(block)->vmcs12[0]);
}

}  // namespace
}  // namespace vmxscope::core::trace
