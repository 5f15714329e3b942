// How the agent becomes root.
#include "plugins/kvm/agent_process.h"

#include <gtest/gtest.h>

namespace vmxscope::kvm {
namespace {

const std::string kPkexec = "/usr/bin/pkexec", kSudo = "/usr/bin/sudo", kAgent = "/usr/bin/vmxscope-agent";

Surroundings place(bool root, bool desktop, bool terminal, const std::string& pkexec, const std::string& sudo) {
    Surroundings here;
    here.root = root;
    here.desktop = desktop;
    here.terminal = terminal;
    here.pkexec = pkexec;
    here.sudo = sudo;
    return here;
}

TEST(AgentProcess, RootNeedsNobodysLeave) {
    EXPECT_EQ(rights(place(true, true, true, kPkexec, kSudo)), Rights::Ours);
    EXPECT_EQ(agent_command(place(true, true, true, kPkexec, kSudo), kAgent, 7),
              (std::vector<std::string>{kAgent, "--connection", "0", "--pid", "7"}));
}

TEST(AgentProcess, PolkitAsksInADesktopAndSudoInATerminal) {
    EXPECT_EQ(rights(place(false, true, true, kPkexec, kSudo)), Rights::Pkexec);
    EXPECT_EQ(rights(place(false, true, true, "", kSudo)), Rights::Sudo);
    EXPECT_EQ(rights(place(false, false, true, kPkexec, kSudo)), Rights::Sudo);
    EXPECT_EQ(agent_command(place(false, true, false, kPkexec, ""), kAgent, 7),
              (std::vector<std::string>{kPkexec, kAgent, "--connection", "0", "--pid", "7"}));
    EXPECT_EQ(agent_command(place(false, false, true, "", kSudo), kAgent, 7),
              (std::vector<std::string>{kSudo, "--", kAgent, "--connection", "0", "--pid", "7"}));
}

TEST(AgentProcess, WhereNobodyCanBeAskedItSaysWhatToDo) {
    EXPECT_EQ(rights(place(false, true, false, "", kSudo)), Rights::None);
    EXPECT_EQ(rights(place(false, false, false, kPkexec, kSudo)), Rights::None);
    EXPECT_EQ(rights(place(false, false, true, kPkexec, "")), Rights::None);
    EXPECT_NE(need_root(7).remedy.find("sudo vmxscope-agent --pid 7"), std::string::npos);
}

}  // namespace
}  // namespace vmxscope::kvm
