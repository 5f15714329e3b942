// The debuggers that people use, as Debian ships them, attach to a server of ours.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "core/trace/trace.h"
#include "scripted_target.h"
#include "server_fixture.h"

namespace vmxscope::core::rsp {
namespace {

using nested::Kind;
using test::RunningServer;
using test::Script;

/// Everything that a command line prints. A debugger that hangs is ended after two minutes.
std::string output_of(const std::string& command) {
    FILE* pipe = ::popen(("LC_ALL=C.UTF-8 HOME=/nonexistent timeout 120 " + command + " 2>&1 </dev/null").c_str(), "r");
    if (pipe == nullptr) return "popen failed";
    std::string text;
    std::array<char, 4096> buffer{};
    for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) text.append(buffer.data(), n);
    ::pclose(pipe);
    return text;
}

class Peers : public testing::Test {
  protected:
    /// Runs gdb with each of `commands`; "ADDRESS" in them is where the server listens.
    std::string run_gdb(const std::string& gdb, const std::vector<std::string>& commands) {
        std::string line = gdb + " -nx -batch";
        for (std::string c : commands) {
            if (const auto at = c.find("ADDRESS"); at != std::string::npos) c.replace(at, 7, address());
            line += fmt::format(" -ex '{}'", c);
        }
        return output_of(line);
    }
    std::string address() { return fmt::format("127.0.0.1:{}", server().endpoint().port); }

    std::shared_ptr<Script> script = [] {
        auto s = std::make_shared<Script>();
        s->vcpus = 2;
        s->kinds = {Kind::L1Exit, Kind::NestedEntry, Kind::L2Entry, Kind::L2Exit, Kind::NestedExit, Kind::L1Entry};
        return s;
    }();

    /// Started when first asked for: by then the script is written.
    RunningServer& server() {
        if (!server_)
            server_.emplace([s = script]() -> Result<std::unique_ptr<Target>> { return test::make_scripted_target(s); },
                            "tcp:127.0.0.1:0", options);
        return *server_;
    }
    ServerOptions options;

  private:
    std::optional<RunningServer> server_;
};

#define EXPECT_HAS(text, words) \
    EXPECT_NE((text).find(words), std::string::npos) << "no '" << (words) << "' in:\n" << (text)
#define EXPECT_HAS_NOT(text, words) \
    EXPECT_EQ((text).find(words), std::string::npos) << "'" << (words) << "' in:\n" << (text)

void check_session(const std::string& out) {
    EXPECT_HAS(out, "Thread 1.1 \"vCPU 0, L1\" (L1 runs, held)");
    EXPECT_HAS(out, "Thread 1.2 \"vCPU 1, L1\" (L1 runs, held)");
    EXPECT_HAS(out, "$1 = 0x100010");
    EXPECT_HAS(out, "$2 = 0x100020");
    EXPECT_HAS(out, "$3 = 0x100030");
    EXPECT_HAS(out, "$4 = 0x3003");
    EXPECT_HAS(out, "$5 = [ PE NE PG ]");
    EXPECT_HAS(out, "$6 = <unavailable>");
    EXPECT_HAS(out, "nested-entry");  // said at the stop, unasked
    EXPECT_HAS(out, "0x103001");
    EXPECT_HAS(out, "detached");
    for (const char* trouble : {"Remote failure", "rror", "internal-error", "ignored", "not available"})
        EXPECT_HAS_NOT(out, trouble);
}

const std::vector<std::string> kSession = {"target remote ADDRESS",
                                           "info threads",
                                           "stepi",
                                           "p/x $rip",
                                           "stepi",
                                           "p/x $rip",
                                           "stepi",
                                           "p/x $rip",
                                           "p/x $vmcs12_guest_cr3",
                                           "p $vmcs12_guest_cr0",
                                           "p $vmcs12_host_rip",
                                           "info registers rip",
                                           "monitor pdptr",
                                           "monitor fields GUEST_PDPTR0",
                                           "detach"};

TEST_F(Peers, GdbAttachesStepsReadsAndDetaches) {
    if (std::string(GDB).empty()) GTEST_SKIP() << "gdb is not installed";
    check_session(run_gdb(GDB, kSession));
    EXPECT_EQ(script->detached, 1);
    check_session(run_gdb(GDB, kSession));  // and again
}

TEST_F(Peers, GdbMultiarchDoesTheSame) {
    if (std::string(GDB_MULTIARCH).empty()) GTEST_SKIP() << "gdb-multiarch is not installed";
    check_session(run_gdb(GDB_MULTIARCH, kSession));
}

TEST_F(Peers, GdbStepsTheThreadThatIsChosen) {
    if (std::string(GDB).empty()) GTEST_SKIP() << "gdb is not installed";
    const std::string out = run_gdb(GDB, {"target remote ADDRESS", "thread 2", "stepi", "p/x $rip", "thread 1",
                                          "p/x $rip", "set scheduler-locking on", "stepi", "p/x $rip"});
    EXPECT_HAS(out, "$1 = 0x1100010");
    EXPECT_HAS(out, "$2 = 0x8000000000000000");  // nobody has read it
    EXPECT_HAS(out, "$3 = 0x100020");
}

TEST_F(Peers, GdbStepsByTheKindThatMonitorSets) {
    if (std::string(GDB).empty()) GTEST_SKIP() << "gdb is not installed";
    const std::string out =
        run_gdb(GDB, {"target remote ADDRESS", "monitor stepi exit", "stepi", "p/x $rip", "monitor step entry",
                      "maintenance flush register-cache", "p/x $rip", "kill"});
    EXPECT_HAS(out, "$1 = 0x100050");
    EXPECT_HAS(out, "nested-entry");
    EXPECT_HAS(out, "$2 = 0x100080");
}

TEST_F(Peers, GdbSeesTheGuestEnd) {
    if (std::string(GDB).empty()) GTEST_SKIP() << "gdb is not installed";
    script->ends_after = 1;
    const std::string out = run_gdb(GDB, {"target remote ADDRESS", "stepi", "stepi"});
    EXPECT_HAS(out, "QEMU ended with status 0.");
    EXPECT_HAS(out, "exited normally");
}

TEST_F(Peers, GdbThatComesSecondLooksOn) {
    if (std::string(GDB).empty()) GTEST_SKIP() << "gdb is not installed";
    test::RawClient first(server().connect());
    first.ask("qSupported:multiprocess+");
    first.ask("?");
    first.ask("vCont;s:p1.1");
    const std::string out = run_gdb(GDB, {"target remote ADDRESS", "p/x $rip", "p/x $vmcs12_guest_cr3", "monitor info", "stepi",
                                          "info threads", "detach"});
    EXPECT_HAS(out, "$1 = 0x100010");
    EXPECT_HAS(out, "$2 = 0x3001");
    EXPECT_HAS(out, "vCPU 0: held before its next VM-entry");
    EXPECT_HAS(out, "drives this guest; this connection only looks.");
    EXPECT_HAS(out, "detached");
    EXPECT_EQ(first.ask("vCont;s:p1.1"), "T05thread:p1.1;vmxwhy:transition;vmxseq:2;");
    EXPECT_EQ(script->detached, 0);
}

TEST_F(Peers, GdbGoesBackThroughWhatItHasSeenOfALiveGuest) {
    if (std::string(GDB).empty()) GTEST_SKIP() << "gdb is not installed";
    const std::string out = run_gdb(GDB, {"target remote ADDRESS", "stepi", "stepi", "stepi", "reverse-stepi", "p/x $rip",
                                          "reverse-continue", "p/x $rip", "continue", "p/x $rip", "stepi", "p/x $rip"});
    EXPECT_HAS(out, "$1 = 0x100020");
    EXPECT_HAS(out, "$2 = 0x100010");
    EXPECT_HAS(out, "$3 = 0x100030");
    EXPECT_HAS(out, "$4 = 0x100040");
    EXPECT_HAS(out, "No more reverse-execution history");
    EXPECT_HAS(out, "What was seen of this guest begins here.");
    EXPECT_HAS(out, "This is the present");
}

TEST_F(Peers, GdbContinuesToAConditionAndToItsOwnBreakpoint) {
    if (std::string(GDB).empty()) GTEST_SKIP() << "gdb is not installed";
    const std::string out = run_gdb(
        GDB, {"target remote ADDRESS", "monitor break if kind == nested-exit && vcpu == 0", "continue", "p/x $rip", "continue",
              "p/x $rip", "monitor breaks", "reverse-continue", "p/x $rip", "monitor delete 1", "break *$2", "continue", "p/x $rip"});
    EXPECT_HAS(out, "Break 1: kind == nested-exit && vcpu == 0");
    EXPECT_HAS(out, "(hit 2 times)");
    const auto at = out.find("$1 = ") + 5;
    EXPECT_HAS(out, "$3 = " + out.substr(at, out.find('\n', at) - at));
    EXPECT_HAS(out, "KVM_SET_GUEST_DEBUG");
    const auto second = out.find("$2 = ") + 5;
    EXPECT_HAS(out, "$4 = " + out.substr(second, out.find('\n', second) - second));
}

TEST_F(Peers, SessionsOfBothAreRecorded) {
    if (std::string(GDB).empty() || std::string(LLDB).empty()) GTEST_SKIP() << "gdb or lldb is not installed";
    const std::string folder = test::make_folder();
    options.sessions = folder + "/sessions";
    const std::string gdb = run_gdb(GDB, {"target remote ADDRESS", "stepi", "stepi", "monitor info", "detach"});
    EXPECT_HAS(gdb, "This session is recorded into " + folder + "/sessions/");
    const std::string lldb = output_of(
        fmt::format("{} --no-lldbinit --batch -o 'gdb-remote {}' -o 'thread step-inst' -o 'detach'", LLDB, address()));
    EXPECT_HAS(lldb, "detached");
    ASSERT_TRUE(test::becomes_true([&] { return script->attached == 0; }));
    std::vector<std::uint64_t> counts;
    for (const auto& file : std::filesystem::directory_iterator(options.sessions)) {
        const auto trace = trace::Trace::open(file.path());
        ASSERT_TRUE(trace) << trace.error().text();
        counts.push_back(trace->count());
    }
    std::ranges::sort(counts);
    EXPECT_EQ(counts, (std::vector<std::uint64_t>{1, 2}));
    test::remove_folder(folder);
}

TEST_F(Peers, LldbAttachesStepsReadsAndDetaches) {
    if (std::string(LLDB).empty()) GTEST_SKIP() << "lldb is not installed";
    std::string line = std::string(LLDB) + " --no-lldbinit --batch -o \"gdb-remote " + address() + "\"";
    for (const char* c : {"thread list", "thread step-inst", "register read rip", "thread step-inst",
                          "register read rip", "register read vmcs12_guest_cr3", "register read vmcs12_host_rip",
                          "register read r15 rax", "process plugin packet monitor info", "detach"})
        line += fmt::format(" -o '{}'", c);
    const std::string out = output_of(line);
    EXPECT_HAS(out, "tid = 0x0001");
    EXPECT_HAS(out, "tid = 0x0002");
    EXPECT_HAS(out, "rip = 0x0000000000100010");
    EXPECT_HAS(out, "rip = 0x0000000000100020");
    EXPECT_HAS(out, "vmcs12_guest_cr3 = 0x0000000000003002");
    EXPECT_HAS(out, "rax = 0x0000000000001002");
    EXPECT_HAS_NOT(out, "0xcccc");  // its filler for what it cannot read
    EXPECT_HAS(out, "detached");
    EXPECT_EQ(script->detached, 1);
}

TEST_F(Peers, CtrlCInGdbInterruptsTheGuest) {
    if (std::string(GDB).empty()) GTEST_SKIP() << "gdb is not installed";
    script->kinds.clear();
    const std::string folder = test::make_folder();
    std::thread at_the_keyboard([&] {
        while (script->resumed_times == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        pid_t pid = 0;
        std::ifstream(folder + "/pid") >> pid;
        ASSERT_GT(pid, 0);
        EXPECT_EQ(::kill(pid, SIGINT), 0);
    });
    const std::string out = run_gdb(fmt::format("sh -c 'echo $$ >{}/pid; exec \"$0\" \"$@\"' {}", folder, GDB),
                                    {"target remote ADDRESS", "continue", "info threads", "detach"});
    at_the_keyboard.join();
    test::remove_folder(folder);
    EXPECT_HAS(out, "received signal SIGINT");
    EXPECT_HAS(out, "(L1 runs, held)");
    EXPECT_HAS(out, "detached");
}

TEST_F(Peers, GdbReadsMemoryOfTheLevelThatRuns) {
    if (std::string(GDB).empty()) GTEST_SKIP() << "gdb is not installed";
    const std::string out = run_gdb(GDB, {"target remote ADDRESS", "x/4xb 0x400000", "x/xb 0x41ffff", "x/xb 0x420000"});
    EXPECT_HAS(out, "0x400000:\t0x01\t0x08\t0x0f\t0x16");
    EXPECT_HAS(out, "0x41ffff:\t0xfa");
    EXPECT_HAS(out, "Cannot access memory at address 0x420000");
}

TEST_F(Peers, GdbDisassemblesAndNamesL2sCodeByItsSymbols) {
    if (std::string(GDB).empty()) GTEST_SKIP() << "gdb is not installed";
    const std::string folder = test::make_folder();
    std::ofstream(folder + "/guest.s")
        << ".globl _start\n_start: nop\n.org 0x20, 0x90\nl2_loop: cpuid\njmp l2_loop\n";
    const std::string made = output_of(fmt::format("sh -c 'cd {} && as -o guest.o guest.s && ld -Ttext=0x400000 -o guest guest.o'", folder));
    script->code = std::string(0x20, '\x90') + "\x0f\xa2\xeb\xfc";
    script->kinds = {Kind::NestedEntry, Kind::L2Entry, Kind::L2Exit, Kind::NestedExit};
    const std::string out = run_gdb(
        GDB, {"target remote ADDRESS", "symbol-file " + folder + "/guest", "stepi", "stepi", "x/2i $pc", "info symbol $pc",
              "find /b 0x400000, +0x100, 0x0f, 0xa2", "p $pc == l2_loop", "monitor space l1-phys", "maintenance flush dcache",
              "x/2xb 0x400020", "monitor space default", "maintenance flush dcache", "x/2xb 0x400020", "find /b 0x41ff00, +0x200, 0x00"});
    test::remove_folder(folder);
    EXPECT_HAS(out, "=> 0x400020 <l2_loop>:\tcpuid");
    EXPECT_HAS(out, "0x400022 <l2_loop+2>:\tjmp    0x400020 <l2_loop>");
    EXPECT_HAS(out, "l2_loop in section .text");
    EXPECT_HAS(out, "1 pattern found.");
    EXPECT_HAS(out, "$1 = 1");
    EXPECT_HAS(out, fmt::format("0x400020 <l2_loop>:\t{:#04x}", static_cast<unsigned>(test::example_byte(Space::L1Physical, 0x400020))));
    EXPECT_HAS(out, "0x400020 <l2_loop>:\t0x0f\t0xa2");
    EXPECT_HAS_NOT(out, "No symbol");
    EXPECT_EQ(made, "");
}

TEST_F(Peers, GdbIsToldThatMemoryAndRegistersAreNotForIt) {
    if (std::string(GDB).empty()) GTEST_SKIP() << "gdb is not installed";
    const std::string out = run_gdb(GDB, {"target remote ADDRESS", "stepi", "x/i $pc", "p/x $rip"});
    EXPECT_HAS(out, "Cannot access memory at address 0x100010");
    EXPECT_HAS(out, "$1 = 0x100010");
}

}  // namespace
}  // namespace vmxscope::core::rsp
