// The image builder is a program; here a small shell script stands where it is started from, to see what is made of
// what a builder prints. The builder itself is tested by the labs that run.
#include "plugins/lab/image.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

#include "temporary_folder.h"
#include "wait_until.h"

using namespace vmxscope::lab;

namespace {

class ImageTest : public testing::Test {
  protected:
    void builder_is(const std::string& script) {
        const auto file = folder_.write("builder", "#!/bin/sh\n" + script);
        std::filesystem::permissions(file, std::filesystem::perms::owner_all);
        setenv("VMXSCOPE_LAB_BUILDER", file.c_str(), 1);
    }
    void TearDown() override { unsetenv("VMXSCOPE_LAB_BUILDER"); }

    TemporaryFolder folder_;
};

}  // namespace

TEST_F(ImageTest, what_the_builder_prints_is_told_and_the_paths_are_taken) {
    builder_is("echo 'lab image: fetching Linux'\necho noise\necho /cache/system-1\necho /cache/product-2.cpio\n");
    std::vector<std::string> steps;
    const auto image = make_image(2, [&](std::string_view step, double) {
        steps.emplace_back(step);
        return true;
    });
    ASSERT_TRUE(image) << image.error().text();
    EXPECT_EQ(image->boot_cd, "/cache/system-1/boot.iso");
    EXPECT_EQ(image->machine, "/cache/system-1/machine-2");
    EXPECT_EQ(image->product, "/cache/product-2.cpio");
    EXPECT_NE(std::find(steps.begin(), steps.end(), "lab image: fetching Linux"), steps.end());
}

TEST_F(ImageTest, the_builders_last_words_are_the_error) {
    builder_is("echo 'lab image: fetching Linux'\necho 'error: apt knows no kernel.' >&2\nexit 1\n");
    const auto image = make_image(1, {});
    ASSERT_FALSE(image);
    EXPECT_NE(image.error().what.find("apt knows no kernel."), std::string::npos);
    EXPECT_FALSE(image.error().remedy.empty());
}

TEST_F(ImageTest, a_builder_that_is_not_there_is_named) {
    setenv("VMXSCOPE_LAB_BUILDER", "/nowhere/build", 1);
    const auto image = make_image(1, {});
    ASSERT_FALSE(image);
    EXPECT_NE(image.error().what.find("/nowhere/build"), std::string::npos);
}

TEST_F(ImageTest, giving_up_ends_the_builder_and_what_it_started) {
    builder_is("sleep 1000 & echo $! >" + (folder_.path() / "pid").string() + "\nwait\n");
    const auto started = [&] { return !content_of(folder_.path() / "pid").empty(); };
    const auto image = make_image(1, [&](std::string_view, double) { return !started(); });
    ASSERT_FALSE(image);
    const pid_t sleeper = std::atoi(content_of(folder_.path() / "pid").c_str());
    ASSERT_GT(sleeper, 1);
    EXPECT_TRUE(wait_until([&] { return kill(sleeper, 0) != 0; }));
}
