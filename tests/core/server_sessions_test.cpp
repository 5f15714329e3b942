// What a client that does not record its session itself leaves behind: a trace of it, and no trouble where there can be
// none.
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>

#include "core/trace/trace.h"
#include "server_fixture.h"

namespace vmxscope::core::rsp {
namespace {

namespace fs = std::filesystem;
using test::becomes_true;
using test::RawClient;

class KeptSessions : public test::Served {
  protected:
    KeptSessions() {
        server.emplace(script, ServerOptions{[this](std::string_view line) { tell(line); }, sessions});
    }
    ~KeptSessions() override {
        server.reset();
        test::remove_folder(folder);
    }

    void tell(std::string_view line) {
        const std::lock_guard lock(mutex);
        lines.emplace_back(line);
    }
    /// Lines of the log with `text` in it.
    std::vector<std::string> told(std::string_view text) {
        const std::lock_guard lock(mutex);
        std::vector<std::string> some;
        std::ranges::copy_if(lines, std::back_inserter(some),
                             [&](const auto& line) { return line.find(text) != line.npos; });
        return some;
    }
    std::vector<fs::path> files() const {
        std::vector<fs::path> all;
        if (fs::exists(sessions))
            for (const auto& entry : fs::directory_iterator(sessions)) all.push_back(entry.path());
        return all;
    }
    /// How many transitions are in the file.
    std::uint64_t so_far() const {
        const auto trace = files().empty() ? fail("There is no file.") : trace::Trace::open(files()[0]);
        return trace ? trace->count() : 0;
    }
    /// Ends the session of the client that drives, and waits until the server has done so, too.
    void leave(RawClient& client) {
        client.close();
        EXPECT_TRUE(becomes_true([this] { return script->attached == 0 && !told("and the guest runs on").empty(); }));
    }
    static void step(RawClient& client, int times) {
        for (int i = 0; i < times; ++i) ASSERT_TRUE(client.ask("vCont;s:p1.1").starts_with("T05")) << i;
    }

    std::string folder = test::make_folder();
    fs::path sessions = fs::path(folder) / "state/sessions";
    std::mutex mutex;
    std::vector<std::string> lines;  // guarded by mutex
};

TEST_F(KeptSessions, OfAClientThatVanishesIsAWholeTrace) {
    RawClient gdb = connect();
    gdb.ask("?");
    step(gdb, 7);
    gdb.send("vCont;c");
    leave(gdb);
    ASSERT_EQ(files().size(), 1u);
    const auto trace = trace::Trace::open(files()[0]);
    ASSERT_TRUE(trace) << trace.error().text();
    EXPECT_TRUE(trace->damage().empty());
    EXPECT_EQ(trace->info().target.name, "scripted:guest");
    ASSERT_TRUE(trace->info().capabilities);
    EXPECT_EQ(trace->info().capabilities->l1.maxphyaddr, test::example_capabilities().l1.maxphyaddr);
    ASSERT_EQ(trace->count(), 7u);
    for (std::uint64_t seq = 1; seq <= 7; ++seq)
        EXPECT_EQ(trace->transition(seq).value(), test::example_transition(seq, 0, script->kinds[(seq - 1) % 6]))
            << seq;
    EXPECT_EQ(told("this session is recorded into " + files()[0].string()).size(), 1u);
}

TEST_F(KeptSessions, AreInTheirFileBeforeTheyEnd) {
    RawClient gdb = connect();
    gdb.ask("?");
    step(gdb, 3);
    EXPECT_TRUE(becomes_true([this] { return so_far() == 3; }));
    step(gdb, 1);
    EXPECT_TRUE(becomes_true([this] { return so_far() == 4; }));
    EXPECT_NE(monitor(gdb, "info").find("This session is recorded into " + files()[0].string()), std::string::npos);
    RawClient looker = connect();
    EXPECT_NE(monitor(looker, "info").find("This session is recorded into "), std::string::npos);
}

TEST_F(KeptSessions, GoOnInThePast) {
    RawClient gdb = connect();
    gdb.ask("?");
    step(gdb, 3);
    EXPECT_TRUE(gdb.ask("bs").starts_with("T05"));
    step(gdb, 2);
    leave(gdb);
    ASSERT_EQ(files().size(), 1u);
    EXPECT_EQ(trace::Trace::open(files()[0]).value().count(), 4u);
}

TEST_F(KeptSessions, OfOurOwnClientsAreTheirs) {
    RawClient ours = connect("multiprocess+;vmx+");
    ours.ask("?");
    step(ours, 3);
    leave(ours);
    EXPECT_FALSE(fs::exists(sessions));
}

TEST_F(KeptSessions, InWhichNothingWasSeenLeaveNothing) {
    RawClient gdb = connect();
    gdb.ask("?");
    leave(gdb);
    EXPECT_TRUE(files().empty());
}

TEST_F(KeptSessions, GoOnWhereTheyCannotBeWritten) {
    fs::create_directories(sessions.parent_path());
    std::ofstream(sessions) << "a file where the folder would be";
    RawClient gdb = connect();
    gdb.ask("?");
    step(gdb, 3);
    EXPECT_TRUE(becomes_true([this] { return told("The session is not recorded: " + sessions.string()).size() == 1; }));
    step(gdb, 5);
    EXPECT_EQ(monitor(gdb, "info").find("recorded"), std::string::npos);
    leave(gdb);
    EXPECT_EQ(told("recorded").size(), 1u);
    EXPECT_EQ(script->detached, 1);
}

TEST_F(KeptSessions, EndWhereTheDiskDoesAndTheClientGoesOn) {
    fs::create_directories(sessions.parent_path());
    RawClient gdb = connect();
    gdb.ask("?");
    step(gdb, 3);
    ASSERT_TRUE(becomes_true([this] { return so_far() > 0; }));
    // Nothing more fits into any file of this process, as on a disk that is full.
    rlimit before{}, none{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    none = {fs::file_size(files()[0]), before.rlim_max};
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &none), 0);
    step(gdb, 5);
    EXPECT_TRUE(becomes_true([this] { return told("cannot be written").size() == 1; }));
    step(gdb, 5);
    leave(gdb);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    std::signal(SIGXFSZ, handler);
    EXPECT_EQ(told("cannot be written").size(), 1u);
    const auto trace = trace::Trace::open(files()[0]);
    ASSERT_TRUE(trace) << trace.error().text();
    EXPECT_GE(trace->count(), 1u);
    EXPECT_LT(trace->count(), 13u);
}

}  // namespace
}  // namespace vmxscope::core::rsp
