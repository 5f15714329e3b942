// Labs that really run, on Bochs.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "lab_fixture.h"
#include "plugins/lab/backend.h"
#include "plugins/lab/spawn.h"
#include "temporary_folder.h"
#include "wait_until.h"

using namespace vmxscope;
using namespace vmxscope::lab;

namespace {

/// The process ids of the Bochs that run in this folder's instances.
std::vector<pid_t> bochs_below(const std::filesystem::path& folder) {
    std::vector<pid_t> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
        const pid_t pid = std::atoi(entry.path().filename().c_str());
        const auto runs_in = std::filesystem::read_symlink(entry.path() / "cwd", error).string();
        if (pid > 0 && runs_in.starts_with(folder.string()) && content_of(entry.path() / "comm") == "bochs-bin\n")
            found.push_back(pid);
    }
    return found;
}

/// Instances of the present test alone.
class OwnRuntime : public testing::Test {
  protected:
    void SetUp() override {
        const char* now = getenv("VMXSCOPE_RUNTIME_DIR");
        if (now) before_ = now;
        setenv("VMXSCOPE_RUNTIME_DIR", (folder_.path() / "run").c_str(), 1);
    }
    void TearDown() override {
        if (before_.empty())
            unsetenv("VMXSCOPE_RUNTIME_DIR");
        else
            setenv("VMXSCOPE_RUNTIME_DIR", before_.c_str(), 1);
    }
    bool no_bochs_is_left() const {
        return wait_until([&] { return bochs_below(folder_.path()).empty(); });
    }

    TemporaryFolder folder_;
    std::string before_;
};

}  // namespace

TEST(LabRuns, real_KVM_with_nested_virtualization_on_an_unmodified_kernel) {
    Lab& lab = running_lab("pae-ept");
    EXPECT_EQ(sh(lab, "cat /sys/module/kvm_intel/parameters/nested"), "Y\n");
    EXPECT_NE(sh(lab, "uname -r").find("-cloud-amd64"), std::string::npos);
    EXPECT_NE(sh(lab, "lsmod").find("vmxscope"), std::string::npos);
}

TEST(LabRuns, the_guest_waits_before_its_first_instruction) {
    Lab& lab = running_lab("pae-ept");
    EXPECT_EQ(sh(lab, "cat /sys/kernel/debug/kvm/exits"), "0\n");
    EXPECT_EQ(sh(lab, "cat /run/l1.log"), "");
}

TEST(LabRuns, exec_gives_output_and_status) {
    const auto result = running_lab("pae-ept").run("echo out; echo err >&2; exit 7");
    ASSERT_TRUE(result) << result.error().text();
    EXPECT_EQ(result->output, "out\nerr\n");
    EXPECT_EQ(result->status, 7);
}

TEST(LabRuns, its_state_is_told) {
    EXPECT_EQ(state_of(running_lab("pae-ept").instance()), "ready");
}

TEST_F(OwnRuntime, two_labs_run_side_by_side) {
    StartOptions options;
    options.name = "pae-shadow";
    options.detached = true;
    auto one = Lab::start(options, told_on_stderr());
    ASSERT_TRUE(one) << one.error().text();
    EXPECT_FALSE(Lab::start(options, {}));  // the same name again
    options.instance = "two";
    auto two = Lab::start(options, told_on_stderr());
    ASSERT_TRUE(two) << two.error().text();
    sh(*one, "echo one >/tmp/who");
    sh(*two, "echo two >/tmp/who");
    EXPECT_EQ(sh(*one, "cat /tmp/who"), "one\n");
    EXPECT_EQ(sh(*two, "cat /tmp/who"), "two\n");
    ASSERT_TRUE(one->stop());
    EXPECT_EQ(sh(*two, "cat /tmp/who"), "two\n");
    ASSERT_TRUE(two->stop());
    EXPECT_TRUE(no_bochs_is_left());
}

TEST_F(OwnRuntime, a_program_killed_while_it_starts_a_lab_leaves_no_bochs) {
    const auto starter = spawn({VMXSCOPECTL, "lab", "start", "pae-ept"}, {});
    ASSERT_TRUE(starter);
    ASSERT_TRUE(wait_until([&] { return !bochs_below(folder_.path()).empty(); }));
    kill(*starter, SIGKILL);
    EXPECT_TRUE(wait_for_end(*starter, std::chrono::minutes(1)));
    EXPECT_TRUE(no_bochs_is_left());
}

TEST_F(OwnRuntime, a_bochs_that_dies_ends_the_start_at_once_with_a_sentence) {
    StartOptions options;
    options.name = "pae-ept";
    options.from_boot = true;
    bool killed = false;
    const auto started = Lab::start(options, [&](std::string_view, double) {
        for (const pid_t bochs : bochs_below(folder_.path())) killed = kill(bochs, SIGKILL) == 0;
        return true;
    });
    ASSERT_FALSE(started);
    EXPECT_TRUE(killed);
    EXPECT_NE(started.error().what.find("killed by signal 9"), std::string::npos) << started.error().what;
}

TEST_F(OwnRuntime, an_image_of_the_users_own_runs_with_its_command_line) {
    StartOptions options;
    options.kernel = std::filesystem::path(GUESTS) / "pae-ept.elf";
    options.append = "it's \"mine\"";
    options.qemu_args = "-m 96 -name 'two words'";
    auto lab = Lab::start(options, told_on_stderr());
    ASSERT_TRUE(lab) << lab.error().text();
    const std::string arguments = sh(*lab, "tr '\\0' '\\n' </proc/$(cat /run/qemu.pid)/cmdline");
    EXPECT_NE(arguments.find("\nit's \"mine\"\n"), std::string::npos) << arguments;
    EXPECT_NE(arguments.find("\n-m\n96\n-name\ntwo words\n"), std::string::npos) << arguments;
    ASSERT_TRUE(lab->stop());
}

TEST_F(OwnRuntime, a_guest_that_QEMU_refuses_ends_the_start_with_QEMUs_words) {
    StartOptions options;
    options.name = "pae-ept";
    options.qemu_args = "-device no-such-device";
    const auto lab = Lab::start(options, told_on_stderr());
    ASSERT_FALSE(lab);
    EXPECT_NE(lab.error().what.find("no-such-device"), std::string::npos) << lab.error().what;
    EXPECT_TRUE(no_bochs_is_left());
}

TEST_F(OwnRuntime, the_target_lab_starts_one_and_ends_it_at_detach) {
    auto target = lab_backend()->attach("pae-ept", told_on_stderr());
    ASSERT_TRUE(target) << target.error().text();
    EXPECT_EQ((*target)->info().name, "lab:pae-ept");
    EXPECT_EQ(bochs_below(folder_.path()).size(), 1u);
    ASSERT_TRUE((*target)->detach());
    EXPECT_TRUE(no_bochs_is_left());
}
