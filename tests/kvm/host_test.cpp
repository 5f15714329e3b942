// What a host is told that cannot do this: by the functions, and by vmxscope-agent itself.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <regex>

#include "plugins/kvm/processes.h"

namespace vmxscope::kvm {
namespace {

constexpr std::uint32_t kNoProcess = 0x7ffffffe;  // above every pid_max (2^22)

bool host_has_vtx() {
    std::ifstream in("/proc/cpuinfo");
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    return std::regex_search(text, std::regex(R"((^|\n)flags\s*:[^\n]*\bvmx\b)"));
}

struct Outcome {
    int status = -1;
    std::string text;  // stdout and stderr
};

Outcome run_agent(const std::string& arguments) {
    Outcome out;
    FILE* pipe = ::popen((std::string(VMXSCOPE_AGENT " ") + arguments + " 2>&1 </dev/null").c_str(), "r");
    if (!pipe) return out;
    char buffer[256];
    while (std::fgets(buffer, sizeof buffer, pipe)) out.text += buffer;
    const int status = ::pclose(pipe);
    out.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return out;
}

TEST(CheckHost, WithoutVtxTheLabIsNamedAsTheRemedy) {
    if (host_has_vtx()) GTEST_SKIP() << "this host has VT-x";
    const auto ok = check_host();
    ASSERT_FALSE(ok);
    EXPECT_NE(ok.error().what.find("no VT-x"), std::string::npos) << ok.error().what;
    EXPECT_NE(ok.error().remedy.find("vmxscope lab:"), std::string::npos) << ok.error().remedy;
}

TEST(CheckHost, WithVtxOnlyKvmIntelCanBeWhatIsMissing) {
    if (!host_has_vtx()) GTEST_SKIP() << "this host has no VT-x";
    const auto ok = check_host();
    if (ok) return;
    EXPECT_NE(ok.error().what.find("kvm_intel"), std::string::npos) << ok.error().what;
    EXPECT_NE(ok.error().remedy.find("modprobe kvm_intel nested=1"), std::string::npos) << ok.error().remedy;
}

TEST(ChooseProcess, AProcessThatIsNotThereIsNamed) {
    const auto p = choose_process(kNoProcess);
    ASSERT_FALSE(p);
    EXPECT_EQ(p.error().what, "There is no process 2147483646.");
    EXPECT_NE(p.error().remedy.find("vmxscopectl targets"), std::string::npos);
}

TEST(ChooseProcess, AProcessWithoutAKvmGuestIsRefused) {
    const auto own = static_cast<std::uint32_t>(::getpid());
    const auto p = choose_process(own);
    ASSERT_FALSE(p);
    EXPECT_EQ(p.error().what, "Process " + std::to_string(own) + " runs no KVM guest.");
    EXPECT_NE(p.error().remedy.find("QEMU"), std::string::npos);
}

TEST(ChooseProcess, WithoutAnyGuestTheUserIsToldToStartOne) {
    if (!kvm_processes().empty()) GTEST_SKIP() << "this host runs KVM guests";
    const auto p = choose_process(0);
    ASSERT_FALSE(p);
    EXPECT_EQ(p.error().what, "No process runs a KVM guest.");
    EXPECT_NE(p.error().remedy.find("vmxscope lab:"), std::string::npos);
}

TEST(Agent, WhereItCannotWorkItEndsWithStatusOneAndOneSentenceThatSaysWhy) {
    if (::geteuid() == 0 && host_has_vtx()) GTEST_SKIP() << "this host has VT-x, and root runs the test";
    for (const char* arguments : {"--plan", "--listen unix:agent-test.sock", "--listen tcp:127.0.0.1:0"}) {
        const Outcome o = run_agent(arguments);
        EXPECT_EQ(o.status, 1) << arguments;
        EXPECT_TRUE(o.text.starts_with("vmxscope-agent: ")) << o.text;
        EXPECT_EQ(std::count(o.text.begin(), o.text.end(), '\n'), 1) << o.text;
        const char* why = ::geteuid() == 0 ? "no VT-x" : "needs root";
        EXPECT_NE(o.text.find(why), std::string::npos) << o.text;
    }
}

TEST(Agent, AnUnknownOptionIsRefusedWithAnotherStatus) {
    const Outcome o = run_agent("--no-such-option");
    EXPECT_GT(o.status, 1);
    EXPECT_NE(o.text.find("--no-such-option"), std::string::npos) << o.text;
}

TEST(Agent, HelpNamesTheOptionsAnywhere) {
    const Outcome o = run_agent("--help");
    EXPECT_EQ(o.status, 0);
    for (const char* option : {"--pid", "--listen", "--group", "--resume-qmp", "--plan", "--sessions", "--no-sessions"})
        EXPECT_NE(o.text.find(option), std::string::npos) << option;
}

}  // namespace
}  // namespace vmxscope::kvm
