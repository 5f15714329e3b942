// Exports: their files, their times, their limits. What the formats say is checked by other programs (tests/cli).
#include "core/export/export.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "core/export/facts.h"
#include "core/export/output.h"
#include "core/export/protobuf.h"
#include "core/export/text.h"
#include "core/trace/writer.h"
#include "trace_samples.h"

namespace vmxscope::core::exporting {
namespace {

namespace fs = std::filesystem;

std::string contents(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

constexpr Format kFormats[] = {Format::Perfetto, Format::Ctf, Format::Jsonl, Format::Csv, Format::Html};

class Export : public ::testing::Test {
  protected:
    void SetUp() override {
        std::string folder = ::testing::TempDir() + "vmxscope-export-XXXXXX";
        ASSERT_NE(::mkdtemp(folder.data()), nullptr);
        folder_ = folder;
    }
    void TearDown() override { fs::remove_all(folder_); }

    trace::Trace trace(std::size_t count) {
        trace::TraceInfo info;
        info.tsc_khz = 2'000'000;
        const fs::path path = folder_ / "a.vxt";
        auto writer = trace::Writer::create(path, info, {.transitions = 64}, true).value();
        test::RoundTrips source(3, 2);
        for (std::size_t i = 0; i < count; ++i) EXPECT_TRUE(writer.add(source.next()));
        EXPECT_TRUE(writer.finish());
        return trace::Trace::open(path).value();
    }
    ExportOptions options(Format format, bool replace = false) {
        ExportOptions o{
            .format = format, .to = {folder_ / "out", replace}, .where = query::Query::parse("true").value()};
        if (format == Format::Csv || format == Format::Html) o.columns = query::Query::parse_values(kColumns).value();
        return o;
    }
    bool nothing_left() const { return !fs::exists(folder_ / "out"); }

    fs::path folder_;
};

TEST(ExportText, IsValidUtf8WithoutControlCharacters) {
    EXPECT_EQ(clean("a\x1b[1mb\tc\nd\x7f"), "a [1mb c\nd ");
    EXPECT_EQ(clean("\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7"), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7");
    const std::string bad = "\xef\xbf\xbd";
    EXPECT_EQ(clean("\xff"
                    "a"),
              bad + "a");
    EXPECT_EQ(clean("\xc0\xaf"), bad + bad) << "overlong";
    EXPECT_EQ(clean("\xed\xa0\x80"), bad + bad + bad) << "a surrogate";
    EXPECT_EQ(clean("x\xe2\x82"), "x" + bad + bad) << "cut";
    EXPECT_EQ(clean(std::string_view("\0", 1)), " ");
    EXPECT_EQ(utc_text(1'700'000'000'123'456'789), "2023-11-14 22:13:20 UTC");
    EXPECT_EQ(utc_text(0), "at an unknown time");
}

TEST(ExportProtobuf, WritesItsWireFormat) {
    EXPECT_EQ(Message().number(1, 150).bytes(), "\x08\x96\x01");  // the example of its documentation
    EXPECT_EQ(Message().bytes(2, "testing").bytes(), "\x12\x07testing");
    EXPECT_EQ(Message().message(3, Message().number(1, 150)).bytes(), "\x1a\x03\x08\x96\x01");
    EXPECT_EQ(Message().number(60, ~0ull).bytes(), "\xe0\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
}

TEST_F(Export, TimesNeverGoBackOnAVcpuAndGapsAreSeen) {
    const trace::Trace t = trace(1);
    Course course(t);
    trace::Digest d;
    d.seq = 1, d.tsc = t.block(0).first_tsc;
    EXPECT_FALSE(course.take(d)->gap);
    d.seq = 2, d.tsc += 4000;
    EXPECT_EQ(course.take(d)->cycles, 4000u);
    d.seq = 3, d.tsc -= 3000;
    const Course::Moment back = course.take(d).value();
    EXPECT_TRUE(back.gap.back);
    EXPECT_EQ(back.cycles, 4000u);
    d.seq = 9, d.tsc += 9000, d.lost_before = 2;
    const Course::Moment gap = course.take(d).value();
    EXPECT_EQ(gap.gap.missing, 5u);
    EXPECT_EQ(gap.gap.lost, 2u);
    EXPECT_EQ(gap.newest, 4000u);
    EXPECT_EQ(course.ns(3), 1u);
    EXPECT_EQ(course.ns(2'000'000'001), 1'000'000'000u);
    EXPECT_EQ(course.ns(~0ull), ~0ull / 2'000'000 * 1'000'000 + (~0ull % 2'000'000) / 2);
    for (std::uint32_t vcpu = 1; vcpu < 4096; ++vcpu) {
        d.seq++, d.vcpu = vcpu;
        EXPECT_TRUE(course.take(d));
    }
    d.vcpu = 5000;
    EXPECT_FALSE(course.take(d)) << "memory must not grow with what a damaged trace says";
}

TEST_F(Export, EveryFormatIsDeterministicAndRefusesToReplace) {
    const trace::Trace t = trace(200);
    for (const Format f : kFormats) {
        ASSERT_TRUE(export_trace(t, options(f)));
        const fs::path made = f == Format::Ctf ? folder_ / "out" / "vcpu_0" : folder_ / "out";
        const std::string first = contents(made);
        EXPECT_GT(first.size(), 1000u);
        const auto again = export_trace(t, options(f));
        ASSERT_FALSE(again);
        EXPECT_NE(again.error().what.find("exists already"), std::string::npos) << again.error().what;
        EXPECT_EQ(contents(made), first);
        const auto forced = export_trace(t, options(f, true));
        ASSERT_TRUE(forced) << forced.error().what;
        EXPECT_EQ(forced->transitions, 200u);
        EXPECT_EQ(contents(made), first);
        fs::remove_all(folder_ / "out");
    }
}

TEST_F(Export, AFullDiskLeavesNothingAndSaysSo) {
    const trace::Trace t = trace(3000);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    for (const Format f : kFormats) {
        const rlimit small{300'000, before.rlim_max};
        ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
        ExportOptions o = options(f);
        if (f == Format::Csv)
            o.columns = query::Query::parse_values(
                            "note,seq,rip,tsc,vmcs02.GUEST_CR3,time,rax,rbx,rcx,"
                            "vmcs12.GUEST_CR3,vmcs12.GUEST_RSP,rdx,rsi,rdi")
                            .value();
        const auto full = export_trace(t, o);
        ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
        ASSERT_FALSE(full) << static_cast<int>(f);
        EXPECT_NE(full.error().what.find("cannot be written: File too large"), std::string::npos) << full.error().what;
        EXPECT_NE(full.error().remedy.find("removed"), std::string::npos) << full.error().remedy;
        EXPECT_TRUE(nothing_left()) << static_cast<int>(f);
    }
    std::signal(SIGXFSZ, handler);
}

TEST_F(Export, OneThatIsGivenUpLeavesNothing) {
    const trace::Trace t = trace(400);
    for (const Format f : kFormats) {
        ExportOptions o = options(f);
        double furthest = 0;
        o.limits.progress = [&](double part) {
            EXPECT_GE(part, furthest);
            return (furthest = part) < 0.7;
        };
        EXPECT_FALSE(export_trace(t, o));
        EXPECT_GE(furthest, 0.7);
        EXPECT_TRUE(nothing_left()) << static_cast<int>(f);
    }
}

TEST_F(Export, LimitsCutAndSayIt) {
    const trace::Trace t = trace(100);
    for (const Format f : kFormats) {
        ExportOptions o = options(f, true);
        o.where = query::Query::parse("seq <= 60").value();
        o.most = 59;
        EXPECT_TRUE(export_trace(t, o)->cut);
        o.most = 60;
        const Exported all = export_trace(t, o).value();
        EXPECT_FALSE(all.cut);
        EXPECT_EQ(all.transitions, 60u);
        fs::remove_all(folder_ / "out");
    }
}

TEST_F(Export, AFolderOfSomebodyElseIsLeftAlone) {
    const trace::Trace t = trace(10);
    fs::create_directory(folder_ / "out");
    std::ofstream(folder_ / "out" / "metadata") << "mine";
    std::ofstream(folder_ / "out" / "thesis.tex") << "mine";
    const auto refused = export_trace(t, options(Format::Ctf, true));
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().what.find("thesis.tex"), std::string::npos) << refused.error().what;
    EXPECT_EQ(contents(folder_ / "out" / "metadata"), "mine");
}

TEST_F(Export, DamageIsToldAndBreaksSpans) {
    const fs::path path = trace(300).path();
    const trace::Trace whole = trace::Trace::open(path).value();
    const std::uint64_t missing = whole.block(1).count;
    const trace::Bytes block = whole.block_bytes(1).value();
    std::string bytes = contents(path);
    const std::size_t at = bytes.find({reinterpret_cast<const char*>(block.data()), block.size()});
    ASSERT_NE(at, std::string::npos);
    bytes[at + block.size() - 20] ^= 0x55;
    std::ofstream(path, std::ios::binary) << bytes;
    const trace::Trace damaged = trace::Trace::open(path).value();
    const auto exported = export_trace(damaged, options(Format::Perfetto)).value();
    EXPECT_EQ(exported.transitions, 300 - missing);
    EXPECT_FALSE(exported.scanned.damage.empty());
    EXPECT_NE(contents(folder_ / "out").find("records lost"), std::string::npos);
}

}  // namespace
}  // namespace vmxscope::core::exporting
