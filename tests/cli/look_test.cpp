// memory, walk and bitmaps from outside, and what step adds: the real program against a server whose guest is a script.
#include <gtest/gtest.h>

#include <filesystem>

#include "program.h"
#include "scripted_target.h"
#include "tests/text.h"

namespace vmxscope::test {
namespace {

using core::test::RunningServer;
using core::test::Script;
using nested::Kind;

class Look : public ::testing::Test {
  protected:
    Look() {
        script->kinds = {Kind::L1Exit, Kind::NestedEntry, Kind::L2Entry, Kind::L2Exit, Kind::NestedExit, Kind::L1Entry};
    }
    std::string uri() const { return server.endpoint().text(); }

    std::shared_ptr<Script> script = std::make_shared<Script>();
    RunningServer server{script};
};

TEST_F(Look, MemoryIsDumpedSixteenBytesALine) {
    const Outcome o = run_vmxscopectl({"memory", uri(), "0x400000", "32", "--space", "l2-phys"});
    EXPECT_EQ(o.status, 0) << o.err;
    EXPECT_TRUE(has(o.out, "nested-entry")) << o.out;
    EXPECT_TRUE(has(o.out, "          400000  ")) << o.out;
    EXPECT_TRUE(has(o.out, "          400010  ")) << o.out;
    EXPECT_FALSE(has(o.out, "400020")) << o.out;
}

TEST_F(Look, MemoryThatIsNotMappedIsASentence) {
    const Outcome o = run_vmxscopectl({"memory", uri(), "0x10", "--space", "l1-phys"});
    EXPECT_EQ(o.status, 1);
    EXPECT_TRUE(has(o.err, "not mapped")) << o.err;
    EXPECT_EQ(run_vmxscopectl({"memory", uri(), "here"}).status, 1);
    EXPECT_EQ(run_vmxscopectl({"memory", uri(), "0x400000", "65537"}).status, 2);
    EXPECT_EQ(run_vmxscopectl({"memory", uri(), "0x400000", "--space", "l3-phys"}).status, 2);
}

TEST_F(Look, AWalkShowsL0sEntriesInWords) {
    const Outcome o = run_vmxscopectl({"walk", uri(), "0x40000000"});
    EXPECT_EQ(o.status, 0) << o.err;
    EXPECT_TRUE(has(o.out, "EPT12")) << o.out;
    EXPECT_TRUE(has(o.out, "PML4E")) << o.out;
    EXPECT_TRUE(has(o.out, "not present")) << o.out;
}

TEST_F(Look, BitmapsAreOfThreeVmcss) {
    const Outcome o = run_vmxscopectl({"bitmaps", uri()});
    EXPECT_EQ(o.status, 0) << o.err;
    for (const char* of : {"vmcs12", "vmcs01", "vmcs02"})
        EXPECT_TRUE(has(o.out, std::string("MSR bitmap of ") + of)) << o.out;
    EXPECT_TRUE(has(o.out, "RDMSR: every one exits")) << o.out;
}

TEST_F(Look, ARefusedEntryComesWithTheRuleThatItBreaks) {
    script->kinds = {Kind::L1Exit, Kind::NestedEntryFailed, Kind::L1Entry};
    const Outcome o = run_vmxscopectl({"step", uri(), "--kind", "entry"});
    EXPECT_EQ(o.status, 0) << o.err;
    EXPECT_TRUE(has(o.out, "VM-instruction error of vmcs12")) << o.out;
}

TEST_F(Look, ReportsGoIntoAFolderThatIsThere) {
    const Outcome o = run_vmxscopectl({"step", uri(), "-n", "2", "--kind", "nested", "--reports", "/nowhere/at/all"});
    EXPECT_EQ(o.status, 2);
    const auto folder = std::filesystem::temp_directory_path() / "vmxscope-reports";
    std::filesystem::create_directories(folder);
    EXPECT_EQ(run_vmxscopectl({"step", uri(), "-n", "2", "--kind", "nested", "--reports", folder.string()}).status, 0);
    std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace vmxscope::test
