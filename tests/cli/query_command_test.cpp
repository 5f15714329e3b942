// vmxscopectl query and stats from outside, on a trace written by hand.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/query/document.h"
#include "core/trace/writer.h"
#include "core/transition_json.h"
#include "program.h"
#include "tests/core/query_samples.h"
#include "tests/text.h"

namespace vmxscope::test {
namespace {

using core::Json;

std::vector<std::string> lines_of(const std::string& out) {
    std::vector<std::string> all;
    std::size_t begin = 0;
    for (std::size_t end; (end = out.find('\n', begin)) != std::string::npos; begin = end + 1)
        all.push_back(out.substr(begin, end - begin));
    EXPECT_EQ(begin, out.size()) << "the last line is not ended";
    return all;
}

class VmxscopectlQuery : public ::testing::Test {
  protected:
    static void SetUpTestSuite() {
        all_ = core::query::test::session(450, 21);
        write(path(), 2'000'000);
        write(slow_path(), 0);
    }
    static void TearDownTestSuite() {
        std::filesystem::remove(path());
        std::filesystem::remove(slow_path());
    }
    static void write(const std::string& file, std::uint64_t tsc_khz) {
        core::trace::TraceInfo info;
        info.tsc_khz = tsc_khz;
        auto writer = core::trace::Writer::create(file, info, {}, true);
        ASSERT_TRUE(writer) << writer.error().what;
        for (const auto& t : all_) ASSERT_TRUE(writer->add(t));
        ASSERT_TRUE(writer->finish());
    }
    // Test programs of this suite may run side by side, one a test.
    static std::string path() { return ::testing::TempDir() + "vmxscope-query-" + std::to_string(getpid()) + ".vxt"; }
    static std::string slow_path() { return path() + "-no-khz"; }

    static Outcome query(const std::string& expression, std::vector<std::string> options = {}) {
        options.insert(options.begin(), {"query", path(), expression});
        return run_vmxscopectl(options);
    }
    static std::size_t exits(std::uint32_t reason) {
        std::size_t n = 0;
        for (const auto& t : all_) n += t.exit.reason.known() && t.exit.reason.bits == reason;
        return n;
    }

    static std::vector<nested::Transition> all_;
};
std::vector<nested::Transition> VmxscopectlQuery::all_;

TEST_F(VmxscopectlQuery, AHeadlineAMatch) {
    const Outcome o = query("kind == nested-entry && seq < 30");
    EXPECT_EQ(o.status, 0) << o.err;
    const auto lines = lines_of(o.out);
    ASSERT_EQ(lines.size(), 4u) << o.out;
    EXPECT_TRUE(has(lines[0], "#2 vCPU ") && has(lines[0], "nested-entry  L1->L2")) << lines[0];
    EXPECT_TRUE(has(lines[3], "#29 ")) << lines[3];
}

TEST_F(VmxscopectlQuery, CountsAndLimits) {
    EXPECT_EQ(query("exit_reason == CPUID", {"--count"}).out, std::to_string(exits(10)) + "\n");
    EXPECT_EQ(query("exit_reason == CPUID", {"--count", "--json"}).out,
              "{\"count\":" + std::to_string(exits(10)) + "}\n");
    EXPECT_EQ(lines_of(query("true", {"--limit", "7"}).out).size(), 7u);
    EXPECT_EQ(query("true", {"--count", "--from", "100", "--to", "109"}).out, "10\n");
    EXPECT_EQ(query("true", {"--count", "--to", "0us"}).out, "1\n");
    const std::string late = query("true", {"--count", "--from", "1ms"}).out,
                      early = query("true", {"--count", "--to", "1ms"}).out;
    EXPECT_GE(std::stoul(late) + std::stoul(early), all_.size());
    EXPECT_LT(std::stoul(late), all_.size());
}

TEST_F(VmxscopectlQuery, JsonIsOneObjectALine) {
    const Outcome o = query("exit_reason == HLT", {"--json", "--limit", "3"});
    const auto lines = lines_of(o.out);
    ASSERT_EQ(lines.size(), 3u);
    for (const auto& line : lines) EXPECT_EQ(Json::parse(line)["exit"]["reason"], "0xc");
    const Json columns = Json::parse(query("seq == 4", {"--json", "--columns", "seq,exit_reason,time,rax"}).out);
    EXPECT_EQ(columns["seq"], 4);
    EXPECT_TRUE(columns["exit_reason"].is_string() || columns["exit_reason"].is_null());
    EXPECT_TRUE(columns["rax"].is_null());
}

TEST_F(VmxscopectlQuery, ColumnsAsATableAndAsCsv) {
    const auto table = lines_of(query("seq in 3..4", {"--columns", "seq,kind,vmcs12.GUEST_CR0.PG,rax"}).out);
    ASSERT_EQ(table.size(), 3u);
    EXPECT_EQ(table[0], "seq           kind          vmcs12.GUEST_CR0.PG  rax");
    EXPECT_EQ(table[1], "3             l2-entry      1                    -");
    const auto csv = lines_of(query("seq in 3..4", {"--csv", "seq,kind,cycles(time)"}).out);
    ASSERT_EQ(csv.size(), 3u);
    EXPECT_EQ(csv[0], "seq,kind,cycles(time)");
    EXPECT_EQ(csv[1], "3,l2-entry," + std::to_string(all_[2].tsc - all_[0].tsc));
}

TEST_F(VmxscopectlQuery, CountsByValueMostFirst) {
    const auto lines = lines_of(query("level == 2", {"--count-by", "kind,wanted_by"}).out);
    std::size_t sum = 0, before = ~0ul;
    for (const auto& line : lines) {
        const std::size_t n = std::stoul(line);
        EXPECT_LE(n, before);
        sum += before = n;
    }
    EXPECT_EQ(std::to_string(sum) + "\n", query("level == 2", {"--count"}).out);
    const Json json = Json::parse(lines_of(query("true", {"--count-by", "kind", "--json"}).out).front());
    EXPECT_TRUE(json["kind"].is_string() && json["count"].is_number()) << json;
}

TEST_F(VmxscopectlQuery, HistogramsHaveBars) {
    const Outcome o = query("kind == l2-entry", {"--histogram", "round_trip"});
    EXPECT_EQ(o.status, 0) << o.err;
    EXPECT_TRUE(has(o.out, "#") && has(o.out, "us")) << o.out;
    std::size_t sum = 0;
    const auto lines = lines_of(query("true", {"--histogram", "vcpu", "--json"}).out);
    for (const auto& line : lines) sum += Json::parse(line)["count"].get<std::size_t>();
    EXPECT_EQ(sum, all_.size());
    EXPECT_TRUE(has(query("true", {"--histogram", "kind"}).out, "nested-exit"));
    EXPECT_EQ(query("true", {"--histogram", "note"}).status, 1);
}

TEST_F(VmxscopectlQuery, ErrorsPointAtTheirPlace) {
    const Outcome name = query("exit_raeson == CPUID");
    EXPECT_EQ(name.status, 1);
    EXPECT_TRUE(has(name.err, "Is exit_reason meant?")) << name.err;
    EXPECT_TRUE(has(name.err, "\n  exit_raeson == CPUID\n  ^~~~~~~~~~~\n")) << name.err;
    EXPECT_TRUE(has(query("true", {"--columns", "seq,rxp"}).err, "\n  seq,rxp\n      ^~~\n"));
    EXPECT_EQ(query("true", {"--from", "soon"}).status, 1);
    EXPECT_EQ(query("true", {"--count", "--csv", "seq"}).status, 2);
    EXPECT_EQ(run_vmxscopectl({"query"}).status, 2);
    const Outcome missing = run_vmxscopectl({"query", "/nonexistent/trace", "true"});
    EXPECT_EQ(missing.status, 1);
    EXPECT_TRUE(has(missing.err, "/nonexistent/trace")) << missing.err;
    const std::string text = path() + "-text";
    std::ofstream(text) << "this is no trace at all, but a few words";
    const Outcome wrong = run_vmxscopectl({"query", text, "true"});
    std::filesystem::remove(text);
    EXPECT_EQ(wrong.status, 1);
    EXPECT_TRUE(has(wrong.err, text)) << wrong.err;
    const Outcome no_times = run_vmxscopectl({"query", slow_path(), "true", "--from", "1s"});
    EXPECT_EQ(no_times.status, 1);
    EXPECT_TRUE(has(no_times.err, "how fast its TSC is")) << no_times.err;
    EXPECT_TRUE(has(run_vmxscopectl({"query", slow_path(), "round_trip > 1us"}).err, "not known whether they match"));
}

TEST_F(VmxscopectlQuery, HelpAndLanguageDescribeEverything) {
    const Outcome help = run_vmxscopectl({"query", "--help"});
    EXPECT_EQ(help.status, 0);
    EXPECT_TRUE(has(help.out, "Examples:\n  vmxscopectl query"));
    for (const char* name :
         {"pdptr.alarm", "wanted_by", "round_trip", "context.pae", "EPT_VIOLATION", "changed(vmcs12.FIELD)"})
        EXPECT_TRUE(has(help.out, name)) << name;
    EXPECT_EQ(run_vmxscopectl({"query", "--language"}).out, core::query::language_markdown());
    EXPECT_TRUE(has(run_vmxscopectl({"stats", "--help"}).out, "Examples:\n  vmxscopectl stats"));
}

TEST_F(VmxscopectlQuery, StatsCountEveryExit) {
    const Outcome o = run_vmxscopectl({"stats", path(), "--json"});
    ASSERT_EQ(o.status, 0) << o.err;
    const Json json = Json::parse(o.out);
    EXPECT_EQ(json["unit"], "ns");
    EXPECT_EQ(json["transitions"], all_.size());
    std::size_t sum = 0, exits = 0;
    for (const Json& line : json["exits"]) sum += line["exits"].get<std::size_t>();
    for (const auto& t : all_) exits += t.kind == nested::Kind::L1Exit || t.kind == nested::Kind::L2Exit;
    EXPECT_EQ(sum, exits);
    const std::string text = run_vmxscopectl({"stats", path(), "--vcpu"}).out;
    EXPECT_TRUE(has(text, "Exits of L2") && has(text, "median") && has(text, "vCPU 1")) << text;
    EXPECT_TRUE(has(text, "Left out: ")) << text;
    const auto csv = lines_of(run_vmxscopectl({"stats", path(), "--csv", "--where", "exit_reason == CPUID"}).out);
    ASSERT_GE(csv.size(), 2u);
    for (std::size_t i = 1; i < csv.size(); ++i) EXPECT_TRUE(has(csv[i], "CPUID")) << csv[i];
    const std::string cycles = run_vmxscopectl({"stats", slow_path()}).out;
    EXPECT_TRUE(has(cycles, "TSC cycles")) << cycles;
    EXPECT_EQ(run_vmxscopectl({"stats", path(), "--where", "nonsense"}).status, 1);
}

}  // namespace
}  // namespace vmxscope::test
