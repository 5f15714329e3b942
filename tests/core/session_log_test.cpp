// What a session leaves behind: whole files, what a killed program had written, no more than a few, none for nothing.
#include "core/session_log.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include <fmt/format.h>

#include <fstream>

#include "core/bookmarks.h"
#include "core/trace/trace.h"
#include "trace_samples.h"

namespace vmxscope::core {
namespace {

namespace fs = std::filesystem;

class SessionLogs : public ::testing::Test {
  protected:
    SessionLogs() { folder = fs::temp_directory_path() / "vmxscope-sessions-XXXXXX"; }
    void SetUp() override {
        std::string name = folder.string();
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        folder = name;
        info.target.name = "lab:pae-ept/../x";
    }
    void TearDown() override { fs::remove_all(folder); }

    std::vector<fs::path> files() const {
        std::vector<fs::path> all;
        for (const auto& entry : fs::directory_iterator(sessions())) all.push_back(entry.path());
        std::sort(all.begin(), all.end());
        return all;
    }
    fs::path sessions() const { return folder / "state/sessions"; }
    static std::uint64_t count(const fs::path& file) {
        const auto trace = trace::Trace::open(file);
        EXPECT_TRUE(trace) << trace.error().text();
        return trace ? trace->count() : 0;
    }

    fs::path folder;
    trace::TraceInfo info;
    test::RoundTrips source{3};
};

TEST_F(SessionLogs, NothingSeenLeavesNothing) {
    SessionLog log(sessions(), info);
    EXPECT_TRUE(log.flush());
    EXPECT_TRUE(log.finish());
    EXPECT_TRUE(log.file().empty());
    EXPECT_FALSE(fs::exists(sessions()));
}

TEST_F(SessionLogs, WhatWasFlushedIsThereThoughTheProgramIsKilled) {
    SessionLog log(sessions(), info);
    for (int i = 0; i < 7; ++i) ASSERT_TRUE(log.add(source.next()));
    ASSERT_TRUE(log.flush());
    const fs::path copy = folder / "copy.vxt";  // as it is now: without its end
    fs::copy_file(log.file(), copy);
    EXPECT_EQ(count(copy), 7u);
    ASSERT_TRUE(log.add(source.next()));
    ASSERT_TRUE(log.finish());
    EXPECT_EQ(count(log.file()), 8u);
    EXPECT_EQ(log.file().parent_path(), sessions());
    EXPECT_NE(log.file().string().find("-lab-pae-ept-"), std::string::npos) << log.file();
    EXPECT_EQ(fs::status(sessions()).permissions(), fs::perms::owner_all);
}

TEST_F(SessionLogs, OneThatWasMovedGoesOn) {
    SessionLog first(sessions(), info);
    ASSERT_TRUE(first.add(source.next()));
    SessionLog second(std::move(first));
    ASSERT_TRUE(second.add(source.next()));
    ASSERT_TRUE(second.finish());
    EXPECT_EQ(count(second.file()), 2u);
}

TEST_F(SessionLogs, OnlyTheNewestStayAndTheirNotes) {
    fs::create_directories(sessions());
    for (char c = 'a'; c <= 'l'; ++c) {
        const fs::path old = sessions() / fmt::format("20200101-000000-000-{}.vxt", c);
        std::ofstream(old) << "x";
        std::ofstream(Bookmarks::path_of(old)) << "x";
    }
    for (const char* mine : {"mine.txt", "10-boots.vxt", "20200101-my-boots.vxt"})
        std::ofstream(sessions() / mine) << "x";
    SessionLog log(sessions(), info);
    ASSERT_TRUE(log.add(source.next()));
    const auto all = files();
    EXPECT_EQ(std::count_if(all.begin(), all.end(), [](const fs::path& f) { return f.extension() == ".vxt"; }), 10 + 2);
    EXPECT_FALSE(fs::exists(sessions() / "20200101-000000-000-c.vxt"));
    EXPECT_FALSE(fs::exists(sessions() / "20200101-000000-000-c.vxt.notes.json"));
    EXPECT_TRUE(fs::exists(sessions() / "20200101-000000-000-d.vxt.notes.json"));
    for (const char* mine : {"mine.txt", "10-boots.vxt", "20200101-my-boots.vxt"})
        EXPECT_TRUE(fs::exists(sessions() / mine)) << mine;
}

TEST_F(SessionLogs, OneThatIsBeingWrittenStays) {
    SessionLog long_one(sessions(), info);
    ASSERT_TRUE(long_one.add(source.next()));
    const fs::path kept = long_one.file();
    // Later ones, by their names.
    for (char c = 'a'; c <= 'l'; ++c) std::ofstream(sessions() / fmt::format("99990101-000000-000-{}.vxt", c)) << "x";
    SessionLog other(sessions(), info);
    ASSERT_TRUE(other.add(source.next()));
    EXPECT_TRUE(fs::exists(kept));
    EXPECT_TRUE(fs::exists(other.file())) << "though the clock went back";
    ASSERT_TRUE(long_one.finish());
    SessionLog third(sessions(), info);
    ASSERT_TRUE(third.add(source.next()));
    EXPECT_FALSE(fs::exists(kept));
}

TEST_F(SessionLogs, RootWritesIntoNoFolderThatOthersMayChange) {
    if (::geteuid() != 0) GTEST_SKIP() << "root's sessions are meant";
    fs::create_directories(sessions());
    fs::permissions(sessions(), fs::perms::all);
    SessionLog log(sessions(), info);
    const auto first = log.add(source.next());
    ASSERT_FALSE(first);
    EXPECT_EQ(first.error().what,
              "The session is not recorded: Others than root may change " + sessions().string() + ".");
    EXPECT_TRUE(fs::is_empty(sessions()));
}

TEST_F(SessionLogs, LeaveADiskSomeRoom) {
    fs::create_directories(sessions());
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("small", sessions().c_str(), "tmpfs", 0, "size=100m,mode=700") != 0)
        GTEST_SKIP() << "a disk that is small cannot be made here";
    SessionLog log(sessions(), info);
    const auto first = log.add(source.next());
    EXPECT_TRUE(fs::is_empty(sessions()));
    EXPECT_EQ(::umount(sessions().c_str()), 0);
    ASSERT_FALSE(first);
    EXPECT_EQ(first.error().what,
              "The session is not recorded: Less than 128 MiB are free where " + sessions().string() + " is.");
}

TEST_F(SessionLogs, WhereNothingCanBeWrittenItIsToldOnce) {
    fs::create_directories(folder / "state");
    std::ofstream(sessions()) << "a file where the folder would be";
    SessionLog log(sessions(), info);
    const auto first = log.add(source.next());
    ASSERT_FALSE(first);
    EXPECT_NE(first.error().what.find(sessions().string()), std::string::npos) << first.error().text();
    EXPECT_TRUE(log.add(source.next()));
    EXPECT_TRUE(log.flush());
    EXPECT_TRUE(log.finish());
}

}  // namespace
}  // namespace vmxscope::core
