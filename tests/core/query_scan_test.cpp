// A query over a trace file finds what it finds when every transition is looked at, one after the other.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/query/columns.h"
#include "core/query/scan.h"
#include "core/trace/writer.h"
#include "query_samples.h"

namespace vmxscope::core::query {
namespace {

constexpr std::uint64_t kKhz = 2'000'000;

class QueryScan : public ::testing::Test {
  protected:
    QueryScan() {
        trace::TraceInfo info;
        info.tsc_khz = kKhz;
        trace::BlockLimits limits;
        limits.transitions = 64;
        auto writer = trace::Writer::create(path_, info, limits, true);
        EXPECT_TRUE(writer) << writer.error().what;
        for (const auto& t : all_) EXPECT_TRUE(writer->add(t));
        EXPECT_TRUE(writer->finish());
    }
    ~QueryScan() override { std::filesystem::remove(path_); }

    trace::Trace open() const {
        auto trace = trace::Trace::open(path_);
        EXPECT_TRUE(trace) << trace.error().what;
        return std::move(*trace);
    }

    std::vector<std::uint64_t> found(const std::string& text, ScanOptions options = {}) const {
        const trace::Trace trace = open();
        std::vector<std::uint64_t> seqs;
        const auto scanned = scan(trace, *Query::parse(text), options, [&](const Row& row, Truth truth) {
            EXPECT_EQ(truth, Truth::Yes);
            if (options.whole) {
                EXPECT_EQ(*row.transition, all_[row.digest->seq - 1]);
            }
            seqs.push_back(row.digest->seq);
            return true;
        });
        EXPECT_TRUE(scanned.complete && scanned.damage.empty());
        EXPECT_EQ(scanned.matches, seqs.size());
        return seqs;
    }

    std::vector<std::uint64_t> expected(const std::string& text, std::uint64_t first = 0,
                                        std::uint64_t last = ~0ull) const {
        Watch watch(*Query::parse(text), kKhz);
        std::vector<std::uint64_t> seqs;
        for (const auto& t : all_)
            if (watch.take(t) == Truth::Yes && t.seq >= first && t.seq <= last) seqs.push_back(t.seq);
        return seqs;
    }

    const std::vector<nested::Transition> all_ = test::session(700, 11);
    const std::string path_ = ::testing::TempDir() + fmt::format("vmxscope-query-scan-{}.vxt", ::getpid());
};

TEST_F(QueryScan, FindsWhatALookAtEachFinds) {
    for (const char* text :
         {"exit_reason == CPUID", "exit_reason == CPUID && rip > 0x1080", "rip > 0x1080", "round_trip > 5us",
          "time_in_l2 > 5us && changed(vmcs12.GUEST_CR4)", "lost > 0", "true", "seq == 0", "findings > 0"}) {
        EXPECT_EQ(found(text), expected(text)) << text;
        EXPECT_EQ(found(text, {.whole = true}), expected(text)) << text;
    }
    std::mt19937_64 random(13);
    for (int i = 0; i < 60; ++i) {
        const std::string text = test::random_condition(random, 2);
        EXPECT_EQ(found(text), expected(text)) << text;
    }
}

TEST_F(QueryScan, LimitsCutWithoutCuttingTimes) {
    for (const char* text : {"round_trip > 5us", "rip > 0x1080", "true"})
        EXPECT_EQ(found(text, {.first_seq = 200, .last_seq = 300}), expected(text, 200, 300)) << text;
    const std::uint64_t from = all_[99].tsc, to = all_[199].tsc;
    for (const std::uint64_t seq : found("true", {.first_tsc = from, .last_tsc = to})) {
        EXPECT_GE(all_[seq - 1].tsc, from);
        EXPECT_LE(all_[seq - 1].tsc, to);
    }
    EXPECT_TRUE(found("true", {.first_seq = 5000}).empty());
}

TEST_F(QueryScan, RowsHaveWhatWasAskedFor) {
    const trace::Trace trace = open();
    Columns columns(*Query::parse_values("round_trip, rip"), kKhz);
    std::vector<std::string> lines;
    scan(trace, *Query::parse("kind == l2-entry"), {.whole = true, .durations = true}, [&](const Row& row, Truth) {
        lines.push_back(columns.csv_line(row));
        return true;
    });
    std::vector<std::string> expected;
    Moments moments;
    for (const auto& t : all_) {
        const auto digest = trace::digest_of(t);
        const Row row{&digest, moments.take(digest), &t};
        if (t.kind == nested::Kind::L2Entry) expected.push_back(columns.csv_line(row));
    }
    EXPECT_EQ(lines, expected);
}

TEST_F(QueryScan, EverythingComesWhenAskedForAndEndsWhenToldTo) {
    const trace::Trace trace = open();
    std::size_t rows = 0, matches = 0;
    const auto each = [&](const Row&, Truth truth) {
        matches += truth == Truth::Yes;
        return ++rows < 500;
    };
    const auto cut = scan(trace, *Query::parse("rip > 0x1080"), {.everything = true}, each);
    EXPECT_EQ(rows, 500u);
    EXPECT_FALSE(cut.complete);
    EXPECT_EQ(cut.rows, 500u);
    EXPECT_EQ(cut.matches, matches);

    int told = 0;
    ScanOptions options;
    options.progress = [&told](double part) {
        EXPECT_GT(part, 0);
        return ++told < 3;
    };
    const auto given_up = scan(trace, *Query::parse("true"), options, [](const Row&, Truth) { return true; });
    EXPECT_FALSE(given_up.complete);
    EXPECT_EQ(given_up.rows, 3u * 64);
}

TEST_F(QueryScan, ADamagedBlockIsPassedOverAndTold) {
    {
        const trace::Trace trace = open();
        std::size_t offset = std::filesystem::file_size(path_) / 2;
        std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(offset));
        file.write("damage", 6);
    }
    const auto trace = trace::Trace::open(path_);
    if (!trace) GTEST_SKIP() << "the damage hit what a trace needs to be opened";
    std::uint64_t rows = 0;
    const auto scanned =
        scan(*trace, *Query::parse("rip > 0 || unknown(rip)"), {}, [&](const Row&, Truth) { return ++rows > 0; });
    EXPECT_FALSE(scanned.damage.empty() && trace->damage().empty());
    EXPECT_GT(rows, 100u);
    EXPECT_LT(rows, all_.size());
}

}  // namespace
}  // namespace vmxscope::core::query
