// vmxscopectl goto, history, diff, bookmark, serve and step through time, from outside.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include <fmt/format.h>

#include "core/rsp/remote_target.h"
#include "core/trace/trace.h"
#include "core/trace/writer.h"
#include "core/transition_json.h"
#include "core/transition_text.h"
#include "program.h"
#include "scripted_target.h"
#include "tests/core/trace_samples.h"
#include "tests/text.h"

namespace vmxscope::test {
namespace {

using core::Json;
using core::test::RunningServer;
using core::test::Script;
using nested::Kind;
using nested::Transition;

std::vector<Json> objects_of(const std::string& out) {
    std::vector<Json> all;
    std::size_t begin = 0;
    for (std::size_t end; (end = out.find('\n', begin)) != std::string::npos; begin = end + 1)
        all.push_back(Json::parse(out.substr(begin, end - begin)));
    EXPECT_EQ(begin, out.size()) << "the last line is not ended";
    return all;
}

class Recorded : public ::testing::Test {
  protected:
    static void SetUpTestSuite() {
        core::test::RoundTrips guest(11);
        for (int i = 0; i < 300; ++i) all_.push_back(guest.next());
        core::trace::TraceInfo info;
        info.tsc_khz = 2'000'000;
        auto writer = core::trace::Writer::create(path(), info, {.transitions = 40}, true);
        ASSERT_TRUE(writer) << writer.error().what;
        for (const Transition& t : all_) ASSERT_TRUE(writer->add(t));
        ASSERT_TRUE(writer->finish());
    }
    static void TearDownTestSuite() {
        std::filesystem::remove(path());
        std::filesystem::remove(path() + ".notes.json");
        all_.clear();
    }
    static std::string path() { return ::testing::TempDir() + "vmxscope-time-" + std::to_string(getpid()) + ".vxt"; }
    static Outcome run(std::string command, std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {std::move(command), path()});
        return run_vmxscopectl(arguments);
    }
    static std::vector<std::uint64_t> seqs(const Outcome& o) {
        std::vector<std::uint64_t> all;
        for (const Json& line : objects_of(o.out)) all.push_back(line["seq"]);
        return all;
    }
    static std::vector<std::uint64_t> of_kind(core::StepKind kind) {
        std::vector<std::uint64_t> all;
        for (const Transition& t : all_)
            if (matches(kind, t.kind)) all.push_back(t.seq);
        return all;
    }

    static std::vector<Transition> all_;
};
std::vector<Transition> Recorded::all_;

TEST_F(Recorded, GotoShowsAnyMoment) {
    const auto at = [](const std::string& where) { return seqs(run("goto", {where, "--json"})); };
    EXPECT_EQ(at("first"), std::vector<std::uint64_t>{1});
    EXPECT_EQ(at("last"), std::vector<std::uint64_t>{300});
    EXPECT_EQ(at("#123"), std::vector<std::uint64_t>{123});
    EXPECT_EQ(at("123"), std::vector<std::uint64_t>{123});
    EXPECT_EQ(at("+0us"), std::vector<std::uint64_t>{1});
    const std::uint64_t ns = (all_[99].tsc - all_[0].tsc) / 2 + 1;  // 2 GHz
    EXPECT_EQ(at(fmt::format("+{}ns", ns)), std::vector<std::uint64_t>{100});
    EXPECT_EQ(at("+1000s"), std::vector<std::uint64_t>{300});
    EXPECT_EQ(at("kind == nested-exit"), std::vector<std::uint64_t>{of_kind(core::StepKind::Exit).front()});
    const Outcome text = run("goto", {"#50", "--fields", "GUEST_CR3"});
    EXPECT_TRUE(has(text.out, core::headline(all_[49]))) << text.out;
    EXPECT_TRUE(has(text.out, "GUEST_CR3")) << text.out;
    EXPECT_EQ(run("goto", {"#301"}).status, 1);
    EXPECT_TRUE(has(run("goto", {"vcpu == 9"}).err, "holds for no transition"));
    EXPECT_TRUE(has(run("goto", {"vcqu == 9"}).err, "^~~~"));
    EXPECT_TRUE(has(run_vmxscopectl({"goto", "missing.vxt", "first"}).err, "missing.vxt"));
}

TEST_F(Recorded, HistoryIsEveryChangeWithWhoMadeIt) {
    const Outcome o = run("history", {"GUEST_CR3", "--json"});
    EXPECT_EQ(o.status, 0) << o.err;
    std::vector<std::uint64_t> want;
    vmx::Value held;
    for (const Transition& t : all_)
        for (const vmx::Value& now : {t.vmcs12_before[vmx::Field::GUEST_CR3], t.vmcs12_after[vmx::Field::GUEST_CR3]}) {
            if (held.known() && held != now) want.push_back(t.seq);
            held = now;
        }
    ASSERT_FALSE(want.empty());
    EXPECT_EQ(seqs(o), want);
    EXPECT_EQ(seqs(run("history", {"GUEST_CR3", "--json", "--limit", "1"})), std::vector<std::uint64_t>{want.back()});
    const Outcome text = run("history", {"GUEST_RIP", "--vmcs02"});
    EXPECT_TRUE(has(text.out, "the CPU saved it")) << text.out;
    const Outcome last = run("history", {"GUEST_RIP", "--last-entry-before", "200", "--json"});
    const auto entries = of_kind(core::StepKind::Entry);
    EXPECT_EQ(seqs(last).at(0), *(std::lower_bound(entries.begin(), entries.end(), 200u) - 1));
    EXPECT_TRUE(has(run("history", {"HOST_RIP"}).err, "It was not changed"));
    EXPECT_EQ(run("history", {"NO_FIELD"}).status, 1);
    EXPECT_EQ(run("history", {"GUEST_RIP", "--vmcs12", "--vmcs02"}).status, 2);
}

TEST_F(Recorded, DiffNamesWhatDiffers) {
    const auto& a = all_[9];
    const auto& b = all_[199];
    const Outcome o = run("diff", {"10", "200", "--json"});
    EXPECT_EQ(o.status, 0) << o.err;
    bool rip = false;
    for (const Json& line : objects_of(o.out)) {
        EXPECT_NE(line["a"], line["b"]) << line;
        if (line["name"] != "vmcs12.GUEST_RIP") continue;
        rip = true;
        EXPECT_EQ(line["a"], core::value_text(a.vmcs12_after[vmx::Field::GUEST_RIP]));
        EXPECT_EQ(line["b"], core::value_text(b.vmcs12_after[vmx::Field::GUEST_RIP]));
    }
    EXPECT_EQ(rip, a.vmcs12_after[vmx::Field::GUEST_RIP] != b.vmcs12_after[vmx::Field::GUEST_RIP]);
    EXPECT_TRUE(has(run("diff", {"10", "10"}).err, "Nothing that is known of both differs."));
    EXPECT_TRUE(has(run("diff", {"first", "last"}).out, "a: " + core::headline(all_.front())));
}

TEST_F(Recorded, StepsForthBackAndUntil) {
    EXPECT_EQ(seqs(run("step", {"-n", "5", "--json"})), (std::vector<std::uint64_t>{2, 3, 4, 5, 6}));
    const Outcome all = run("step", {"-n", "0", "--json"});
    EXPECT_EQ(all.status, 0) << all.err;
    EXPECT_EQ(seqs(all).size(), all_.size() - 1);
    EXPECT_TRUE(has(all.err, "The recording ends here."));
    const Outcome more = run("step", {"-n", "400", "--json"});
    EXPECT_EQ(more.status, 1);
    EXPECT_TRUE(has(more.err, "The recording ends here. 299 of 400 steps were made.")) << more.err;

    auto exits = of_kind(core::StepKind::Exit);
    if (exits.back() == 300) exits.pop_back();
    const std::vector<std::uint64_t> back{exits.back(), exits[exits.size() - 2], exits[exits.size() - 3]};
    EXPECT_EQ(seqs(run("step", {"--back", "-n", "3", "--kind", "exit", "--json"})), back);
    EXPECT_EQ(seqs(run("step", {"--back", "--from", "#100", "--json"})), std::vector<std::uint64_t>{99});
    EXPECT_EQ(seqs(run("step", {"--back", "-n", "0", "--from", "4", "--json"})), (std::vector<std::uint64_t>{3, 2, 1}));
    EXPECT_TRUE(has(run("step", {"--back", "-n", "9", "--from", "4", "--json"}).err, "3 of 9 steps were made."));
    EXPECT_EQ(seqs(run("step", {"--until", "seq >= 77 && kind == nested-exit", "--json"})).at(0),
              *std::lower_bound(exits.begin(), exits.end(), 77u));
    EXPECT_EQ(run("step", {"--until", "vcpu == 9"}).status, 1);
    EXPECT_EQ(run("step", {"--until", "nonsense"}).status, 1);
    EXPECT_EQ(run("step", {"--from", "4"}).status, 2);
}

TEST_F(Recorded, BookmarksAreMadeListedAndRemoved) {
    EXPECT_TRUE(has(run("bookmark", {}).err, "There are no bookmarks yet."));
    EXPECT_EQ(run("bookmark", {"17", "PAE begins"}).status, 0);
    EXPECT_EQ(run("bookmark", {"5"}).status, 0);
    const Outcome list = run("bookmark", {});
    EXPECT_TRUE(has(list.out, core::headline(all_[16]) + "\n    PAE begins\n")) << list.out;
    EXPECT_EQ(seqs(run("bookmark", {"--json"})), (std::vector<std::uint64_t>{5, 17}));
    EXPECT_EQ(run("bookmark", {"301", "outside"}).status, 1);
    EXPECT_EQ(run("bookmark", {"5", "--remove"}).status, 0);
    EXPECT_EQ(run("bookmark", {"5", "--remove"}).status, 1);
    EXPECT_EQ(run("bookmark", {"17", "--remove"}).status, 0);
    EXPECT_FALSE(std::filesystem::exists(path() + ".notes.json"));
}

TEST_F(Recorded, ServesTheFileToAClient) {
    const std::string folder = core::test::make_folder();
    OnTerminal program({"serve", path(), "--listen", "unix:" + folder + "/trace"});
    ASSERT_TRUE(program.wait_for("listening on unix:")) << program.screen();
    {
        auto target =
            core::rsp::attach_remote("unix:" + folder + "/trace", "", [](std::string_view, double) { return true; });
        ASSERT_TRUE(target) << target.error().what;
        for (const std::uint64_t seq : {1u, 150u, 300u}) {
            const auto t = (*target)->transition(seq);
            ASSERT_TRUE(t) << t.error().what;
            EXPECT_EQ(*t, all_[seq - 1]);
        }
    }
    const Outcome shown = run_vmxscopectl({"step", "unix:" + folder + "/trace", "-n", "2", "--json"});
    EXPECT_EQ(seqs(shown), (std::vector<std::uint64_t>{2, 3})) << shown.err;
    program.signal(SIGINT);
    EXPECT_EQ(program.finish(), 0) << program.screen();
    EXPECT_FALSE(std::filesystem::exists(folder + "/trace"));
    core::test::remove_folder(folder);
    EXPECT_EQ(run_vmxscopectl({"serve", "missing.vxt"}).status, 1);
}

TEST_F(Recorded, KeysGoThroughAFile) {
    const auto shows = [](std::uint64_t seq) { return core::headline(all_[seq - 1]).substr(0, 16); };
    const auto nested = of_kind(core::StepKind::Nested);
    OnTerminal program({"step", path()});
    ASSERT_TRUE(program.wait_for("#1 vCPU 0")) << program.screen();
    program.type("t");
    ASSERT_TRUE(program.wait_for("#2 vCPU 0")) << program.screen();
    program.type("b");
    ASSERT_TRUE(program.wait_for("#1 vCPU 0")) << program.screen();
    program.type("b");
    ASSERT_TRUE(program.wait_for("There is no such transition before this one")) << program.screen();
    program.type("]");
    ASSERT_TRUE(program.wait_for(shows(nested[0]))) << program.screen();
    program.type("]");
    ASSERT_TRUE(program.wait_for(shows(nested[1]))) << program.screen();
    program.type("[");
    ASSERT_TRUE(program.wait_for(shows(nested[0]))) << program.screen();
    program.type("g#200\n");
    ASSERT_TRUE(program.wait_for("#200 vCPU 0")) << program.screen();
    program.type("/seq == 250\n");
    ASSERT_TRUE(program.wait_for("#250 vCPU 0")) << program.screen();
    program.type("?seq % 100 == 0\n");
    ASSERT_TRUE(program.wait_for("#200 vCPU 0")) << program.screen();
    program.type("?\n");  // the same again
    ASSERT_TRUE(program.wait_for("#100 vCPU 0")) << program.screen();
    program.type("/kind ==\n");
    ASSERT_TRUE(program.wait_for("is not understood")) << program.screen();
    program.type("ct");
    ASSERT_TRUE(program.wait_for("#300 vCPU 0")) << program.screen();
    ASSERT_TRUE(program.wait_for("The recording ends here.")) << program.screen();
    ASSERT_TRUE(program.wait_for("The recording ends here.")) << program.screen();
    program.type("q");
    EXPECT_EQ(program.finish(), 0) << program.screen();
}

/// A guest that runs: its past is gone through without moving it.
class Live : public ::testing::Test {
  protected:
    Live() {
        script->kinds = {Kind::L1Exit, Kind::NestedEntry, Kind::L2Entry, Kind::L2Exit, Kind::NestedExit, Kind::L1Entry};
    }
    std::string uri() const { return server.endpoint().text(); }
    std::size_t runs() const {
        const std::lock_guard lock(script->mutex);
        return script->resumed.size();
    }

    static std::vector<std::filesystem::path> sessions(const OnTerminal& program) {
        std::vector<std::filesystem::path> all;
        std::error_code none;
        for (const auto& entry : std::filesystem::directory_iterator(program.state_folder() + "/vmxscope/sessions", none))
            all.push_back(entry.path());
        return all;
    }

    std::shared_ptr<Script> script = std::make_shared<Script>();
    RunningServer server{script};
};

TEST_F(Live, LookingAtThePastDoesNotMoveTheGuest) {
    OnTerminal program({"step", uri()});
    ASSERT_TRUE(program.wait_for("leave, the guest runs on")) << program.screen();
    for (int i = 1; i <= 4; ++i) {
        program.type("t");
        ASSERT_TRUE(program.wait_for(fmt::format("#{} vCPU 0", i))) << program.screen();
    }
    ASSERT_EQ(runs(), 4u);
    program.type("b");
    ASSERT_TRUE(program.wait_for("#3 vCPU 0")) << program.screen();
    ASSERT_TRUE(program.wait_for("the guest stands at #4")) << program.screen();
    program.type("gfirst\n");
    ASSERT_TRUE(program.wait_for("#1 vCPU 0")) << program.screen();
    program.type("t");
    ASSERT_TRUE(program.wait_for("#2 vCPU 0")) << program.screen();
    program.type(".");
    ASSERT_TRUE(program.wait_for("#4 vCPU 0")) << program.screen();
    EXPECT_EQ(runs(), 4u);
    program.type("t");
    ASSERT_TRUE(program.wait_for("#5 vCPU 0")) << program.screen();
    EXPECT_EQ(runs(), 5u) << "at the end of what was seen the guest moves";
    EXPECT_EQ(sessions(program).size(), 1u) << "as it goes";
    program.type("q");
    EXPECT_EQ(program.finish(), 0);
    ASSERT_EQ(sessions(program).size(), 1u);
    const auto trace = core::trace::Trace::open(sessions(program)[0]);
    ASSERT_TRUE(trace) << trace.error().text();
    EXPECT_EQ(trace->count(), 5u);
    EXPECT_TRUE(trace->damage().empty());
    EXPECT_NE(program.screen().find(sessions(program)[0].string()), std::string::npos) << program.screen();
}

TEST_F(Live, ASessionAtATerminalIsKeptThoughItIsKilled) {
    OnTerminal program({"step", uri(), "-n", "0"});
    ASSERT_TRUE(program.wait_for("#40 vCPU 0")) << program.screen();
    program.signal(SIGKILL);
    EXPECT_EQ(program.finish(), 128 + SIGKILL);
    ASSERT_EQ(sessions(program).size(), 1u);
    const auto trace = core::trace::Trace::open(sessions(program)[0]);
    ASSERT_TRUE(trace) << trace.error().text();
    EXPECT_GT(trace->count(), 0u);
}

TEST_F(Live, StepsOfAScriptLeaveNoFile) {
    const std::string state = core::test::make_folder();
    ::setenv("XDG_STATE_HOME", state.c_str(), 1);
    EXPECT_EQ(run_vmxscopectl({"step", uri(), "-n", "2"}).status, 0);
    ::unsetenv("XDG_STATE_HOME");
    EXPECT_TRUE(std::filesystem::is_empty(state));
    core::test::remove_folder(state);
}

TEST_F(Live, StepsUntilAnExpressionHolds) {
    const Outcome o = run_vmxscopectl({"step", uri(), "--until", "kind == nested-exit && seq > 6", "--json"});
    EXPECT_EQ(o.status, 0) << o.err;
    const auto lines = objects_of(o.out);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0]["seq"], 11);
    EXPECT_EQ(runs(), 11u);
    script->ends_after = 20;
    const Outcome never = run_vmxscopectl({"step", uri(), "--until", "vcpu == 7"});
    EXPECT_EQ(never.status, 1);
    EXPECT_TRUE(has(never.err, "The guest has ended.")) << never.err;
}

TEST(TimeCommands, HelpHasExamples) {
    for (const std::string command : {"goto", "history", "diff", "bookmark", "serve"}) {
        const Outcome o = run_vmxscopectl({command, "--help"});
        EXPECT_EQ(o.status, 0);
        EXPECT_TRUE(has(o.out, "Examples:\n  vmxscopectl " + command)) << o.out;
        EXPECT_EQ(run_vmxscopectl({command}).status, 2);
    }
}

}  // namespace
}  // namespace vmxscope::test
