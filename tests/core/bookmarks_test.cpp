#include "core/bookmarks.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace vmxscope::core {
namespace {

class BookmarksTest : public ::testing::Test {
  protected:
    BookmarksTest() { std::filesystem::create_directories(folder); }
    ~BookmarksTest() override { std::filesystem::remove_all(folder); }
    std::size_t files() const {
        return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
    }
    std::filesystem::path folder = ::testing::TempDir() + "vmxscope-bookmarks-" + std::to_string(getpid());
    std::filesystem::path trace = folder / "a.vxt";
};

TEST_F(BookmarksTest, AreKeptBesideTheTrace) {
    auto none = Bookmarks::of(trace);
    ASSERT_TRUE(none) << none.error().what;
    EXPECT_TRUE(none->all().empty());
    ASSERT_TRUE(none->set(7, "PAE \"on\"\nhere, für L2"));
    ASSERT_TRUE(none->set(~0ull, ""));
    ASSERT_TRUE(none->save());
    EXPECT_EQ(none->path(), folder / "a.vxt.notes.json");
    EXPECT_EQ(files(), 1u) << "nothing else is left behind";
    auto again = Bookmarks::of(trace);
    ASSERT_TRUE(again) << again.error().what;
    EXPECT_EQ(again->all(), none->all());
    EXPECT_TRUE(again->remove(7));
    EXPECT_FALSE(again->remove(7));
    ASSERT_TRUE(again->save());
    EXPECT_EQ(Bookmarks::of(trace)->all().size(), 1u);
    EXPECT_TRUE(again->remove(~0ull));
    ASSERT_TRUE(again->save());
    EXPECT_EQ(files(), 0u) << "without bookmarks there is no file";
}

TEST_F(BookmarksTest, WhatIsNoFileOfThemIsNotTakenForOne) {
    for (const char* text : {"no JSON", "[]", "{}", "{\"notes\":7}", "{\"notes\":[{\"seq\":-1,\"note\":\"\"}]}",
                             "{\"notes\":[{\"seq\":1}]}", "{\"notes\":[{\"seq\":1,\"note\":2}]}", "{\"notes\":[1]}"}) {
        std::ofstream(folder / "a.vxt.notes.json") << text;
        const auto read = Bookmarks::of(trace);
        ASSERT_FALSE(read) << text;
        EXPECT_NE(read.error().what.find("a.vxt.notes.json"), std::string::npos);
    }
    std::filesystem::remove(folder / "a.vxt.notes.json");
    std::filesystem::create_directory(folder / "a.vxt.notes.json");
    EXPECT_FALSE(Bookmarks::of(trace));
}

TEST_F(BookmarksTest, HaveLimits) {
    auto bookmarks = *Bookmarks::of(trace);
    EXPECT_FALSE(bookmarks.set(1, std::string(Bookmarks::kLongestNote + 1, 'x')));
    for (std::uint64_t i = 0; i < Bookmarks::kMost; ++i) ASSERT_TRUE(bookmarks.set(i, "x"));
    EXPECT_FALSE(bookmarks.set(Bookmarks::kMost, "x"));
    EXPECT_TRUE(bookmarks.set(3, "another"));
}

TEST_F(BookmarksTest, WhereNothingCanBeWrittenTheOldOnesStay) {
    auto bookmarks = *Bookmarks::of(folder / "missing" / "a.vxt");
    ASSERT_TRUE(bookmarks.set(1, "x"));
    EXPECT_FALSE(bookmarks.save());
}

}  // namespace
}  // namespace vmxscope::core
