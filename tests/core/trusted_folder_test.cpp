// Where root writes: nothing that somebody else could lead elsewhere.
#include "core/trusted_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

namespace vmxscope::core {
namespace {

namespace fs = std::filesystem;

class TrustedFolder : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = fs::temp_directory_path() / "vmxscope-trusted-XXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        base = fs::canonical(name);
    }
    void TearDown() override { fs::remove_all(base); }

    std::string refused(const fs::path& folder, uid_t owner) const {
        const auto made = make_trusted_folder(folder, owner);
        return made ? "" : made.error().text();
    }

    fs::path base;
    const uid_t me = ::geteuid();
};

TEST_F(TrustedFolder, IsMadeWithAllOnTheWayForItsOwnerAlone) {
    EXPECT_EQ(refused(base / "a/b/", me), "");
    for (const char* made : {"a", "a/b"})
        EXPECT_EQ(fs::status(base / made).permissions(), fs::perms::owner_all) << made;
    fs::permissions(base / "a/b", fs::perms::group_read | fs::perms::group_exec, fs::perm_options::add);
    EXPECT_EQ(refused(base / "a/b", me), "") << "others may read what is there if its owner wants it";
    EXPECT_EQ(refused(base / "a/../a/b", me), "");
}

TEST_F(TrustedFolder, IsNoneThatOthersMayChangeOnTheWayOrInTheEnd) {
    fs::create_directories(base / "shared/a");
    fs::permissions(base / "shared", fs::perms::group_write, fs::perm_options::add);
    EXPECT_NE(refused(base / "shared", me).find("may change " + (base / "shared").string() + "."), std::string::npos);
    EXPECT_NE(refused(base / "shared/a", me).find("may change " + (base / "shared").string() + "."), std::string::npos);
    EXPECT_NE(refused(base / "shared/new", me), "");
    EXPECT_FALSE(fs::exists(base / "shared/new"));
}

TEST_F(TrustedFolder, OnTheWayMayBeOneWhereEachRemovesOnlyTheirOwn) {
    fs::create_directory(base / "tmp");
    fs::permissions(base / "tmp", fs::perms::all | fs::perms::sticky_bit);
    EXPECT_EQ(refused(base / "tmp/new", me), "");
    EXPECT_NE(refused(base / "tmp", me), "");
}

TEST_F(TrustedFolder, IsNoneOfSomebodyElses) {
    if (me == 0) {
        ASSERT_EQ(::chown(base.c_str(), 1, 1), 0);
    }
    EXPECT_NE(refused(base, me == 0 ? 0 : me + 1).find("may change " + base.string() + "."), std::string::npos);
}

TEST_F(TrustedFolder, IsReachedByNoLink) {
    fs::create_directory(base / "real");
    fs::create_directory_symlink(base / "real", base / "link");
    fs::create_symlink(base / "nowhere", base / "dangling");
    std::ofstream(base / "file") << "x";
    for (const char* name : {"link", "link/a", "link/../a", "dangling", "dangling/a", "file", "file/a"})
        EXPECT_NE(refused(base / name, me), "") << name;
    EXPECT_TRUE(fs::is_empty(base / "real"));
    EXPECT_FALSE(fs::exists(base / "nowhere"));
}

}  // namespace
}  // namespace vmxscope::core
