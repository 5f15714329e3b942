// Against a server that does what the lab's two do: hands each connection to a shell command.
#include "plugins/lab/sockets.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <set>
#include <string>

#include "core/fd.h"

using namespace vmxscope;
using namespace vmxscope::lab;

namespace {

/// A process that listens on a port of loopback and runs `command` with each connection as its input and output.
class Server {
  public:
    explicit Server(const char* command) {
        listener_ = core::Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        EXPECT_EQ(bind(listener_.get(), generic, size), 0);
        EXPECT_EQ(getsockname(listener_.get(), generic, &size), 0);
        EXPECT_EQ(listen(listener_.get(), 5), 0);
        port = ntohs(address.sin_port);
        pid_ = fork();
        if (pid_ == 0) serve(command);
    }
    ~Server() {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    std::uint16_t port = 0;

  private:
    [[noreturn]] void serve(const char* command) {
        signal(SIGCHLD, SIG_IGN);
        for (;;) {
            const int connection = accept(listener_.get(), nullptr, nullptr);
            if (fork() == 0) {
                dup2(connection, 0);
                dup2(connection, 1);
                dup2(connection, 2);
                close(connection);
                execl("/bin/sh", "sh", "-c", command, nullptr);
                _exit(127);
            }
            close(connection);
        }
    }

    core::Fd listener_;
    pid_t pid_ = -1;
};

const KeepOn kGoOn = [] { return core::Result<void>{}; };

}  // namespace

TEST(Sockets, free_ports_differ) {
    const auto ports = free_ports(20);
    ASSERT_TRUE(ports);
    EXPECT_EQ(std::set<std::uint16_t>(ports->begin(), ports->end()).size(), 20u);
}

TEST(Sockets, a_command_gives_its_output_and_its_status) {
    const Server shell("exec sh");
    const auto result = run_command(shell.port, "echo one; echo two >&2; exit 3", kGoOn);
    ASSERT_TRUE(result) << result.error().text();
    EXPECT_EQ(result->output, "one\ntwo\n");
    EXPECT_EQ(result->status, 3);
}

TEST(Sockets, a_command_reads_nothing_of_the_connection_and_may_be_of_several_lines) {
    const Server shell("exec sh");
    const auto result = run_command(shell.port, "cat\nprintf 'no newline'", kGoOn);
    ASSERT_TRUE(result) << result.error().text();
    EXPECT_EQ(result->output, "no newline");
    EXPECT_EQ(result->status, 0);
}

TEST(Sockets, output_is_told_as_it_comes_and_without_the_status) {
    const Server shell("exec sh");
    std::string told;
    const auto result = run_command(shell.port, "seq 1 20000", kGoOn, [&](std::string_view piece) { told += piece; });
    ASSERT_TRUE(result);
    EXPECT_EQ(told, result->output);
    EXPECT_TRUE(told.ends_with("19999\n20000\n"));
}

TEST(Sockets, a_shell_that_ends_early_is_an_error) {
    const Server shell("read line; exit");
    EXPECT_FALSE(run_command(shell.port, "true", kGoOn));
}

TEST(Sockets, an_archive_is_sent_whole) {
    const Server loader("n=$(wc -c); if [ $n = 3000000 ]; then echo loaded; else echo got $n; fi");
    const auto sent = send_archive(loader.port, std::string(3000000, 'x'), kGoOn);
    EXPECT_TRUE(sent) << (sent ? "" : sent.error().text());
}

TEST(Sockets, a_loader_that_cannot_unpack_is_quoted) {
    const Server loader("cat >/dev/null; echo cpio: bad magic");
    const auto sent = send_archive(loader.port, "x", kGoOn);
    ASSERT_FALSE(sent);
    EXPECT_NE(sent.error().what.find("bad magic"), std::string::npos);
}

TEST(Sockets, waiting_for_a_listener_ends_when_it_is_not_to_go_on) {
    const auto ports = free_ports(1);
    ASSERT_TRUE(ports);
    int asked = 0;
    const KeepOn thrice = [&]() -> core::Result<void> {
        if (++asked < 3) return {};
        return core::fail("enough");
    };
    const auto sent = send_archive((*ports)[0], "x", thrice);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().what, "enough");
}

TEST(Sockets, words_are_quoted_and_a_single_one_is_a_command_line) {
    EXPECT_EQ(shell_command({"echo $HOME; true"}), "echo $HOME; true");
    EXPECT_EQ(shell_command({"echo", "it's", "$HOME"}), R"('echo' 'it'\''s' '$HOME')");
}
