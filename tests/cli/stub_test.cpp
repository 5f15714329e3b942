// The command line at QEMU's own GDB stub: registers, instructions and memory, and a clear word on what is not there.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "program.h"
#include "tests/remote/stubs.h"
#include "tests/text.h"

namespace vmxscope::test {
namespace {

class AtAStub : public testing::Test {
  protected:
    void SetUp() override {
        if (::system("command -v qemu-system-x86_64 >/dev/null") != 0) GTEST_SKIP() << "QEMU is not installed";
    }
    Qemu qemu;
};

TEST_F(AtAStub, StepsInstructionsAndLeavesTheGuestRunning) {
    const Outcome steps = run_vmxscopectl({"step", qemu.uri(), "-n", "3"});
    EXPECT_EQ(steps.status, 0) << steps.err;
    EXPECT_TRUE(has(steps.out, "vCPU 0 at rip 0x000000000000e05b, before this instruction")) << steps.out;
    EXPECT_TRUE(has(steps.out, "rax")) << steps.out;
    EXPECT_TRUE(has(steps.err, "The VMCS needs a vmxscope-agent on L0")) << steps.err;
    EXPECT_TRUE(has(qemu.monitor("info status"), "running"));
}

TEST_F(AtAStub, ShowsRegistersAsTextAndAsJson) {
    const Outcome text = run_vmxscopectl({"show", qemu.uri()});
    EXPECT_EQ(text.status, 0) << text.err;
    EXPECT_TRUE(has(text.out, "rip      0x000000000000fff0")) << text.out;
    const Outcome json = run_vmxscopectl({"show", qemu.uri(), "--json"});
    const auto shown = nlohmann::json::parse(json.out);
    EXPECT_EQ(shown["vcpu"], 0);
    EXPECT_TRUE(shown["registers"]["cr0"].is_string()) << json.out;
}

TEST_F(AtAStub, ShowsMemoryByLinearAndPhysicalAddresses) {
    for (const std::vector<std::string>& space : {std::vector<std::string>{}, {"--space", "l1-phys"}}) {
        std::vector<std::string> arguments = {"memory", qemu.uri(), "ffff0", "16"};
        arguments.insert(arguments.end(), space.begin(), space.end());
        const Outcome dump = run_vmxscopectl(arguments);
        EXPECT_EQ(dump.status, 0) << dump.err;
        EXPECT_TRUE(has(dump.out, "ffff0  ea 5b e0 00 f0")) << "the jump that a PC begins with: " << dump.out;
    }
}

TEST_F(AtAStub, SaysWhatNeedsAnAgent) {
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"step", qemu.uri(), "-n", "1", "--kind", "nested"}, {"step", qemu.uri(), "--until", "pdptr.alarm"},
          {"bitmaps", qemu.uri()}}) {
        const Outcome refused = run_vmxscopectl(arguments);
        EXPECT_EQ(refused.status, 1);
        EXPECT_TRUE(has(refused.err, "vmxscope-agent on L0")) << refused.err;
    }
}

}  // namespace
}  // namespace vmxscope::test
