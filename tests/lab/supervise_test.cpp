// The real supervisor program, with a `sleep` in the place of Bochs.
#include "plugins/lab/supervise.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "plugins/lab/instance.h"
#include "plugins/lab/spawn.h"
#include "temporary_folder.h"
#include "wait_until.h"

using namespace vmxscope;
using namespace vmxscope::lab;

namespace {

/// Not even as a zombie that nobody has waited for (whoever inherits it may be slow to).
bool gone(pid_t pid) {
    const std::string stat = content_of("/proc/" + std::to_string(pid) + "/stat");
    const std::size_t end = stat.rfind(") ");
    return end == std::string::npos || stat[end + 2] == 'Z' || stat[end + 2] == 'X';
}

bool holds_leash(pid_t pid) {
    std::error_code error;
    const auto fd = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(kLeashDescriptor);
    return !std::filesystem::read_symlink(fd, error).empty();
}

class SuperviseTest : public testing::Test {
  protected:
    void SetUp() override { setenv("VMXSCOPE_RUNTIME_DIR", (folder_.path() / "run").c_str(), 1); }
    void TearDown() override {
        leash_.reset();
        if (instance_) (void)instance_->stop();
        unsetenv("VMXSCOPE_RUNTIME_DIR");
    }

    /// Starts `script` under a supervisor and waits until it has written its process id into ./pid.
    void start(const std::string& script) {
        auto made = create_instance("one");
        ASSERT_TRUE(made) << made.error().text();
        auto pipe = make_pipe();
        ASSERT_TRUE(pipe);
        instance_ = made->instance;
        const auto child =
            spawn({SUPERVISOR, made->instance.folder().string(), "sh", "-c", "echo $$ >pid; " + script},
                  {.descriptors = {{pipe->read.get(), kLeashDescriptor}, {made->lock.get(), kLockDescriptor}},
                   .output = {},
                   .folder = "/"});
        ASSERT_TRUE(child) << child.error().text();
        ASSERT_EQ(wait_for_end(*child, std::chrono::minutes(1)), 0);
        leash_ = std::move(pipe->write);
        ASSERT_TRUE(
            wait_until([&] { return !content_of(instance_->folder() / "pid").empty() || !instance_->alive(); }));
        program_ = std::atoi(content_of(instance_->folder() / "pid").c_str());
    }
    pid_t supervisor() const { return std::atoi(content_of(instance_->supervisor_file()).c_str()); }

    TemporaryFolder folder_;
    std::optional<Instance> instance_;
    core::Fd leash_;
    pid_t program_ = -1;
};

}  // namespace

TEST_F(SuperviseTest, cutting_the_leash_kills_the_program_and_clears_up) {
    start("exec sleep 1000");
    EXPECT_TRUE(instance_->alive());
    ASSERT_GT(program_, 1);
    leash_.reset();
    EXPECT_TRUE(wait_until([&] { return gone(program_) && !instance_->alive(); }));
    EXPECT_TRUE(wait_until([&] { return !std::filesystem::exists(instance_->folder()); }));
}

TEST_F(SuperviseTest, a_program_that_heeds_no_signal_is_killed_too) {
    start("trap '' TERM INT HUP; while :; do sleep 1; done");
    ASSERT_GT(program_, 1);
    leash_.reset();
    EXPECT_TRUE(wait_until([&] { return gone(program_) && !instance_->alive(); }));
}

TEST_F(SuperviseTest, let_go_it_lives_on_and_stop_ends_it) {
    start("exec sleep 1000");
    ASSERT_EQ(write(leash_.get(), &kLetGo, 1), 1);
    leash_.reset();
    ASSERT_TRUE(wait_until([&] { return !holds_leash(supervisor()) || !instance_->alive(); }));
    EXPECT_FALSE(gone(program_));
    EXPECT_TRUE(instance_->alive());
    ASSERT_TRUE(instance_->stop());
    EXPECT_TRUE(wait_until([&] { return gone(program_); }));
    EXPECT_FALSE(std::filesystem::exists(instance_->folder()));
}

TEST_F(SuperviseTest, a_killed_supervisor_takes_the_program_with_it) {
    start("exec sleep 1000");
    ASSERT_EQ(kill(supervisor(), SIGKILL), 0);
    EXPECT_TRUE(wait_until([&] { return gone(program_) && !instance_->alive(); }));
}

TEST_F(SuperviseTest, a_program_that_ends_leaves_word_of_it) {
    start("exit 5");
    ASSERT_TRUE(wait_until([&] { return !instance_->alive(); }));
    EXPECT_EQ(instance_->ended(), "sh ended with status 5.");
}

TEST_F(SuperviseTest, a_program_that_is_killed_leaves_word_of_the_signal) {
    start("exec sleep 1000");
    ASSERT_EQ(kill(program_, SIGKILL), 0);
    ASSERT_TRUE(wait_until([&] { return !instance_->alive(); }));
    EXPECT_EQ(instance_->ended(), "sh was killed by signal 9.");
}

TEST_F(SuperviseTest, the_program_has_a_terminal_and_its_output_is_kept) {
    start("test -t 0 && test -t 1 && echo on a terminal of type $TERM");
    ASSERT_TRUE(wait_until([&] { return !instance_->alive(); }));
    EXPECT_NE(content_of(instance_->folder() / "terminal.log").find("on a terminal of type linux"), std::string::npos);
}

TEST_F(SuperviseTest, the_program_inherits_neither_the_leash_nor_the_lock) {
    start("ls -l /proc/self/fd >fds; exec sleep 1000");
    ASSERT_TRUE(wait_until([&] { return content_of(instance_->folder() / "fds").find("2 ->") != std::string::npos; }));
    const std::string fds = content_of(instance_->folder() / "fds");
    EXPECT_EQ(fds.find("pipe:"), std::string::npos) << fds;
    EXPECT_EQ(fds.find("/lock"), std::string::npos) << fds;
}
