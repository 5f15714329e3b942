#include "plugins/lab/instance.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "temporary_folder.h"

using namespace vmxscope::lab;

namespace {

class InstanceTest : public testing::Test {
  protected:
    void SetUp() override { setenv("VMXSCOPE_RUNTIME_DIR", (folder_.path() / "run").c_str(), 1); }
    void TearDown() override { unsetenv("VMXSCOPE_RUNTIME_DIR"); }

    TemporaryFolder folder_;
};

}  // namespace

TEST_F(InstanceTest, a_new_one_is_private_and_lives_as_long_as_its_lock_is_held) {
    auto made = create_instance("one");
    ASSERT_TRUE(made) << made.error().text();
    struct stat st {};
    ASSERT_EQ(stat(made->instance.folder().c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0700u);
    EXPECT_TRUE(find_running("one"));
    EXPECT_FALSE(find_running("two"));
    made->lock.reset();
    EXPECT_FALSE(find_running("one"));
}

TEST_F(InstanceTest, a_living_one_is_not_replaced_and_a_dead_one_is) {
    auto first = create_instance("one");
    ASSERT_TRUE(first);
    const auto second = create_instance("one");
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().what.find("runs already"), std::string::npos);
    std::ofstream(first->instance.folder() / "left") << "over";
    first->lock.reset();
    ASSERT_TRUE(create_instance("one"));
    EXPECT_FALSE(std::filesystem::exists(first->instance.folder() / "left"));
}

TEST_F(InstanceTest, its_description_is_read_back) {
    auto made = create_instance("one");
    ASSERT_TRUE(made);
    EXPECT_FALSE(made->instance.info());
    ASSERT_TRUE(made->instance.write_info({"one", "pae-ept", 2, true, 11, 12, 13}));
    const auto info = made->instance.info();
    ASSERT_TRUE(info);
    EXPECT_EQ(info->id, "one");
    EXPECT_EQ(info->name, "pae-ept");
    EXPECT_EQ(info->cpus, 2u);
    EXPECT_TRUE(info->leashed);
    EXPECT_EQ(info->agent_port, 11);
    EXPECT_EQ(info->shell_port, 12);
    EXPECT_EQ(info->loader_port, 13);
}

TEST_F(InstanceTest, those_that_live_or_ended_by_themselves_are_listed) {
    auto alive = create_instance("b-alive");
    auto ended = create_instance("a-ended");
    auto dead = create_instance("c-dead");
    ASSERT_TRUE(alive && ended && dead);
    std::ofstream(ended->instance.end_file()) << "bochs-bin ended with status 1.\n";
    ended->lock.reset();
    dead->lock.reset();
    const auto all = list_instances();
    ASSERT_TRUE(all);
    ASSERT_EQ(all->size(), 2u);
    EXPECT_EQ((*all)[0].id(), "a-ended");
    EXPECT_EQ((*all)[0].ended(), "bochs-bin ended with status 1.");
    EXPECT_EQ((*all)[1].id(), "b-alive");
    ASSERT_TRUE((*all)[0].stop());
    EXPECT_FALSE(std::filesystem::exists((*all)[0].folder()));
}

TEST_F(InstanceTest, a_name_that_would_leave_the_folder_is_refused) {
    for (const char* id : {"", ".", "..", "../x", "a/b", ".hidden", "a b", "a\n"})
        EXPECT_FALSE(create_instance(id)) << id;
    EXPECT_FALSE(create_instance(std::string(65, 'a')));
    EXPECT_FALSE(find_running("../run"));
}

TEST_F(InstanceTest, a_folder_that_others_may_enter_is_refused) {
    std::filesystem::create_directory(folder_.path() / "run");
    std::filesystem::permissions(folder_.path() / "run", std::filesystem::perms::all);
    const auto folder = instances_folder();
    ASSERT_FALSE(folder);
    EXPECT_NE(folder.error().what.find("not yours alone"), std::string::npos);
}

TEST_F(InstanceTest, a_link_in_the_place_of_the_folder_is_refused) {
    std::filesystem::create_directory(folder_.path() / "elsewhere");
    std::filesystem::permissions(folder_.path() / "elsewhere", std::filesystem::perms::owner_all);
    std::filesystem::create_symlink(folder_.path() / "elsewhere", folder_.path() / "run");
    EXPECT_FALSE(instances_folder());
}
