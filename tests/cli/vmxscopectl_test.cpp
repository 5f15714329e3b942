// The command line from outside: the real program against a real server whose guest is a script.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "core/transition_json.h"
#include "program.h"
#include "scripted_target.h"
#include "tests/text.h"

namespace vmxscope::test {
namespace {

using core::Json;
using core::test::RunningServer;
using core::test::Script;
using nested::Kind;

const std::vector<Kind> kRoundTrip = {Kind::L1Exit, Kind::NestedEntry, Kind::L2Entry,
                                      Kind::L2Exit, Kind::NestedExit,  Kind::L1Entry};

class Vmxscopectl : public ::testing::Test {
  protected:
    Vmxscopectl() { script->kinds = kRoundTrip; }
    std::string uri() const { return server.endpoint().text(); }

    /// Until the server has let the guest go, as it must when the client leaves.
    bool let_go() const {
        for (int i = 0; i < 1000 && script->attached != 0; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        return script->attached == 0 && script->detached > 0;
    }

    std::shared_ptr<Script> script = std::make_shared<Script>();
    RunningServer server{script};
};

std::vector<Json> lines_of(const std::string& out) {
    std::vector<Json> all;
    std::size_t begin = 0;
    for (std::size_t end; (end = out.find('\n', begin)) != std::string::npos; begin = end + 1)
        all.push_back(Json::parse(out.substr(begin, end - begin)));
    EXPECT_EQ(begin, out.size()) << "the last line is not ended";
    return all;
}

TEST_F(Vmxscopectl, StepsAsOftenAsToldAndPrintsOneObjectALine) {
    const Outcome o = run_vmxscopectl({"step", uri(), "-n", "5", "--json"});
    EXPECT_EQ(o.status, 0) << o.err;
    const auto lines = lines_of(o.out);
    ASSERT_EQ(lines.size(), 5u);
    for (std::size_t i = 0; i < 5; ++i) {
        EXPECT_EQ(lines[i]["seq"], i + 1);
        EXPECT_EQ(lines[i]["kind"], name_of(kRoundTrip[i]));
    }
    EXPECT_TRUE(let_go());
}

TEST_F(Vmxscopectl, StepsToTheKindAskedFor) {
    const Outcome o = run_vmxscopectl({"step", uri(), "-n", "3", "--json", "--kind", "entry"});
    EXPECT_EQ(o.status, 0) << o.err;
    const auto lines = lines_of(o.out);
    ASSERT_EQ(lines.size(), 3u);
    for (const Json& line : lines) EXPECT_EQ(line["kind"], "nested-entry");
    EXPECT_EQ(lines[2]["seq"], 14);
}

TEST_F(Vmxscopectl, WithoutATerminalOneStepIsMade) {
    const Outcome o = run_vmxscopectl({"step", uri(), "--kind", "nested"});
    EXPECT_EQ(o.status, 0) << o.err;
    EXPECT_TRUE(has(o.out, "#2 vCPU 0  nested-entry  L1->L2")) << o.out;
    EXPECT_TRUE(has(o.out, "0x103001")) << o.out;
    EXPECT_FALSE(has(o.out, "\x1b")) << "colour is for terminals";
    EXPECT_TRUE(has(o.err, "One probe was left out.")) << o.err;
}

TEST_F(Vmxscopectl, OneVcpuStepsWhileTheOthersRunOn) {
    script->vcpus = 2;
    const Outcome o = run_vmxscopectl({"step", uri(), "-n", "2", "--json", "--vcpu", "1"});
    EXPECT_EQ(o.status, 0) << o.err;
    for (const Json& line : lines_of(o.out)) EXPECT_EQ(line["vcpu"], 1);
    ASSERT_TRUE(let_go());
    ASSERT_EQ(script->resumed.size(), 2u);
    for (const auto& actions : script->resumed) {
        ASSERT_FALSE(actions.empty());
        bool others_run = false;
        for (const core::Action& a : actions) {
            if (a.vcpu == 1u) {
                EXPECT_TRUE(a.step);
            } else {
                others_run |= !a.step;
            }
        }
        EXPECT_TRUE(others_run);
    }
}

TEST_F(Vmxscopectl, TheGuestsEndIsASentenceAndAFailure) {
    script->ends_after = 3;
    const Outcome o = run_vmxscopectl({"step", uri(), "-n", "10", "--json"});
    EXPECT_EQ(o.status, 1);
    EXPECT_EQ(lines_of(o.out).size(), 3u);
    EXPECT_TRUE(has(o.err, "The guest has ended.")) << o.err;
    EXPECT_TRUE(has(o.err, "3 of 10 steps were made.")) << o.err;
}

TEST_F(Vmxscopectl, AGuestThatNeverComesToAStepIsGivenUpWithARemedy) {
    script->kinds.clear();
    const Outcome o = run_vmxscopectl({"step", uri(), "-n", "1", "--kind", "entry", "--timeout", "1"});
    EXPECT_EQ(o.status, 1);
    EXPECT_TRUE(has(o.err, "the next nested entry did not come")) << o.err;
    EXPECT_TRUE(has(o.err, "vCPU 0")) << o.err;
    EXPECT_TRUE(has(o.err, "--timeout")) << o.err;
    EXPECT_TRUE(let_go());
}

TEST_F(Vmxscopectl, ShowsTheFieldsAskedFor) {
    const Outcome o = run_vmxscopectl({"show", uri(), "--fields", "PDPTR", "--json"});
    EXPECT_EQ(o.status, 0) << o.err;
    const auto lines = lines_of(o.out);
    ASSERT_EQ(lines.size(), 1u);
    ASSERT_EQ(lines[0]["fields"].size(), 4u);
    EXPECT_EQ(lines[0]["fields"][0]["vmcs12"], "0x103001");
    EXPECT_EQ(lines[0]["kind"], "nested-entry") << "none was seen yet, so it ran to the first";
    EXPECT_TRUE(let_go());
}

TEST_F(Vmxscopectl, ShowsEveryFieldOrOnlyTheChangedOnes) {
    const Outcome all = run_vmxscopectl({"show", uri()});
    EXPECT_TRUE(has(all.out, "GUEST_CR0") && has(all.out, "HOST_RIP")) << all.out;
    EXPECT_TRUE(has(all.out, "unsupported"));
    const Outcome changed = run_vmxscopectl({"show", uri(), "--changed"});
    EXPECT_EQ(changed.status, 0) << changed.err;
    EXPECT_FALSE(has(changed.out, "HOST_RIP")) << changed.out;
}

TEST_F(Vmxscopectl, ABadPatternIsRefusedBeforeAnythingIsStopped) {
    const Outcome o = run_vmxscopectl({"show", uri(), "--fields", "("});
    EXPECT_EQ(o.status, 1);
    EXPECT_TRUE(has(o.err, "regular expression")) << o.err;
    EXPECT_EQ(script->detached, 0) << "nobody attached";
}

TEST_F(Vmxscopectl, AnInterruptLeavesTheGuestRunning) {
    script->kinds.clear();
    OnTerminal program({"step", uri(), "-n", "0", "--timeout", "0"});
    ASSERT_TRUE(program.wait_for("waiting for the next transition")) << program.screen();
    program.signal(SIGINT);
    EXPECT_EQ(program.finish(), 130) << program.screen();
    EXPECT_TRUE(has(program.screen(), "the guest runs on")) << program.screen();
    EXPECT_TRUE(let_go());
}

TEST_F(Vmxscopectl, StepsKeyByKeyOnATerminal) {
    OnTerminal program({"step", uri()});
    ASSERT_TRUE(program.wait_for("leave, the guest runs on")) << program.screen();
    program.type("t");
    ASSERT_TRUE(program.wait_for("#1 vCPU 0  l1-exit")) << program.screen();
    program.type("x");
    ASSERT_TRUE(program.wait_for("#5 vCPU 0  nested-exit")) << program.screen();
    program.type("e");
    ASSERT_TRUE(program.wait_for("#8 vCPU 0  nested-entry")) << program.screen();
    program.type("\n");
    ASSERT_TRUE(program.wait_for("#9 vCPU 0  l2-entry")) << program.screen();
    program.type("n");
    ASSERT_TRUE(program.wait_for("#11 vCPU 0  nested-exit")) << program.screen();
    program.type("f");
    ASSERT_TRUE(program.wait_for("HOST_RIP")) << program.screen();
    program.type("c");
    program.type(" ");  // any key stops
    ASSERT_TRUE(program.wait_for("#11 vCPU 0  nested-exit")) << "the newest transition again" << program.screen();
    program.type("h");
    ASSERT_TRUE(program.wait_for("next nested entry or exit")) << program.screen();
    program.type("q");
    EXPECT_EQ(program.finish(), 0);
    EXPECT_TRUE(let_go());
}

TEST_F(Vmxscopectl, AnInterruptAtThePromptLeavesToo) {
    OnTerminal program({"step", uri()});
    ASSERT_TRUE(program.wait_for("leave, the guest runs on")) << program.screen();
    program.type("\x03");
    EXPECT_EQ(program.finish(), 130) << program.screen();
    EXPECT_TRUE(let_go());
}

TEST(VmxscopectlAlone, EveryHelpHasExamples) {
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"--help"}, {"step", "--help"}, {"show", "--help"}, {"targets", "--help"}, {"lab", "--help"}}) {
        const Outcome o = run_vmxscopectl(arguments);
        EXPECT_EQ(o.status, 0);
        EXPECT_TRUE(has(o.out, "Examples:\n  vmxscopectl")) << o.out;
    }
}

TEST(VmxscopectlAlone, WrongUseIsStatus2) {
    EXPECT_EQ(run_vmxscopectl({}).status, 2);
    EXPECT_EQ(run_vmxscopectl({"step"}).status, 2);
    EXPECT_EQ(run_vmxscopectl({"leap", "kvm"}).status, 2);
    EXPECT_EQ(run_vmxscopectl({"step", "kvm", "--kind", "leap"}).status, 2);
    EXPECT_EQ(run_vmxscopectl({"step", "kvm", "-n", "many"}).status, 2);
    EXPECT_EQ(run_vmxscopectl({"--version"}).status, 0);
}

TEST(VmxscopectlAlone, AWrongTargetIsASentenceWithARemedy) {
    const Outcome scheme = run_vmxscopectl({"step", "nosuch:thing"});
    EXPECT_EQ(scheme.status, 1);
    EXPECT_TRUE(has(scheme.err, "'nosuch:thing' is not a target.")) << scheme.err;
    EXPECT_TRUE(has(scheme.err, "vmxscopectl targets")) << scheme.err;
    const Outcome socket = run_vmxscopectl({"step", "unix:/nonexistent/socket"});
    EXPECT_EQ(socket.status, 1);
    EXPECT_TRUE(has(socket.err, "/nonexistent/socket")) << socket.err;
}

TEST(VmxscopectlAlone, TargetsAreListedForPeopleAndForScripts) {
    const Outcome people = run_vmxscopectl({"targets"});
    EXPECT_EQ(people.status, 0);
    EXPECT_FALSE(people.out.empty());
    const Outcome scripts = run_vmxscopectl({"targets", "--json"});
    EXPECT_EQ(scripts.status, 0);
    for (const Json& line : lines_of(scripts.out))
        EXPECT_TRUE(line["uri"].is_string() && line["available"].is_boolean());
}

}  // namespace
}  // namespace vmxscope::test
